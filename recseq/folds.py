"""One fold of a run: fit and score the model and its references, and write the fold's folder."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recseq.data.interactions import Dataset
from recseq.environment import digest, seed_everything
from recseq.errors import DataError
from recseq.files import write_json, written_aside
from recseq.group_options import MetricOptions
from recseq.lifecycle.card import Measured, about_rows
from recseq.lifecycle.folder import save_model
from recseq.metrics import AnyMetric, Catalogue, Evaluation, score
from recseq.metrics.summary import is_measure
from recseq.model_specs import ModelSpec, groups_used
from recseq.models import Recommender, Request
from recseq.report.examples import items_to_compare
from recseq.report.options import ReportOptions
from recseq.splitting import Fold
from recseq.sweeps.references import SharedReferences
from recseq.sweeps.search.trial import Trial
from recseq.tracking import Tracker
from recseq.tracking.run_folder import FOLD_FILE, MODEL_FOLDER, Epochs
from recseq.training.context import FitContext

log = logging.getLogger(__name__)

UNFINISHED = "unfinished"


@dataclass(frozen=True)
class FoldScores:
    """One model on one fold.

    Args:
        recommendations: Columns `user_id`, `item_id`, `score`, `rank`.
        seconds: `fit_seconds` and `recommend_seconds`.
        facts: Numbers about the fitted model.
        similar: Neighbours of some items, columns `item_id`, `similar_item_id`, `score`, `rank`; None where there are none.
        model: The fitted model; None of results that were shared.
    """

    recommendations: pl.DataFrame
    seconds: dict[str, float]
    facts: dict[str, float]
    similar: pl.DataFrame | None = None
    model: Recommender | None = None


@dataclass(frozen=True)
class Run:
    """What all folds of a run share.

    Args:
        config: The checked config.
        folder: The run's folder.
        dataset: The data.
        split_hash: Identity of the folds.
        models: Reference models and, last, the model asked for.
        options: The `metrics` group.
        metrics: Built metrics, those that the data has everything for.
        tracker: Where the run is logged.
        references: Where jobs of a sweep share the results of reference models.
        trial: What a search is told on the way.
        origin: Provenance of the run.
        began_from: What the models were trained on that training begins from; empty where it begins anew.
    """

    config: Mapping[str, Any]
    folder: Path
    dataset: Dataset
    split_hash: str
    models: list[ModelSpec]
    options: MetricOptions
    metrics: list[AnyMetric]
    tracker: Tracker
    references: SharedReferences
    trial: Trial
    origin: Mapping[str, Any]
    began_from: list[dict[str, Any]]


def run_fold(this: Run, fold: Fold, fold_id: str) -> None:
    """Fit and score all models on one fold and write its folder, whole or not at all.

    The state of training is kept beside it until then, so that a fold that was interrupted goes on where it was saved.

    Args:
        this: The run.
        fold: The fold.
        fold_id: Id of the fold's run in the tracker.
    """
    catalogue = Catalogue.from_train(fold.train.frame, this.dataset.item_features)
    test_pairs = fold.test.frame.select("user_id", "item_id").unique(maintain_order=True)
    request = Request(
        user_ids=test_pairs["user_id"].unique().sort(),
        history=fold.train,
        k=max(*this.options.cutoffs, this.options.ref_k or 1),
    )
    folder = fold_folder(this.folder, fold.index)
    state = this.folder / UNFINISHED / folder.name
    with written_aside(folder) as aside:
        aside.mkdir()
        scores = {spec.name: score_reference(this, spec, fold, request) for spec in this.models[:-1]}
        own = this.models[-1]
        epochs = Epochs(this.tracker, fold_id)

        def log_epoch(values: dict[str, float], epoch: int) -> None:
            epochs.log(values, epoch)
            this.trial.end_epoch(fold.index, epoch, values)

        context = FitContext(state, this.config["seed"], log_epoch, label=f"{own.name}, fold {fold.index}")
        scores[own.name] = fit_and_recommend(this, own, fold, request, context, find_neighbours=True)
        epochs.write(aside)
        references = {spec.name: scores[spec.name].recommendations for spec in this.models if spec.is_reference}
        about = {
            "fold": fold.index,
            "test_start": fold.test_start.isoformat(sep=" "),
            "test_end": fold.test_end.isoformat(sep=" "),
            "seed": this.config["seed"],
        }
        rows, per_user = [], []
        for name, result in scores.items():
            evaluation = Evaluation.of(result.recommendations, test_pairs, catalogue, references)
            measured = score(this.metrics, evaluation, this.options.cutoffs)
            per_user.append(measured.per_user.select(pl.lit(name).alias("model"), pl.all()))
            rows.append({"model": name} | about | result.seconds | measured.means)
        recommendations = [result.recommendations.select(pl.lit(name).alias("model"), pl.all()) for name, result in scores.items()]
        pl.concat(recommendations).write_parquet(aside / "recommendations.parquet")
        test_pairs.write_parquet(aside / "test.parquet")
        pl.concat(per_user).write_parquet(aside / "per_user.parquet")
        if (similar := scores[own.name].similar) is not None:
            similar.select(pl.lit(own.name).alias("model"), pl.all()).write_parquet(aside / "similar.parquet")
        about_fold = {"counts": fold.counts, "dropped": fold.dropped, "facts": scores[own.name].facts, "rows": rows}
        write_json(aside / FOLD_FILE, about_fold)
        if this.config["train"]["save_folds"]:
            save_fold(this, fold, scores[own.name], rows[-1], aside / MODEL_FOLDER)
        if state.exists():
            state.rename(aside / "checkpoints")


def save_fold(this: Run, fold: Fold, scores: FoldScores, row: Mapping[str, Any], path: Path) -> None:
    """Keep a fold's model.

    Args:
        this: The run.
        fold: The fold.
        scores: Of the model asked for.
        row: Its row of `metrics.csv`.
        path: The model's folder.
    """
    assert scores.model is not None
    trained_on = about_rows(fold.train, fold.index) | ({"began_from": this.began_from} if this.began_from else {})
    values = {column: value for column, value in row.items() if is_measure(column) and value is not None}
    measured = [Measured(f"On the test part of fold {fold.index}, {row['test_start']} to {row['test_end']}:", values)]
    save_model(path, scores.model, this.config, this.dataset.item_features, {**this.origin, "trained_on": trained_on}, measured)


def fold_folder(folder: Path, index: int) -> Path:
    """Where a run keeps a fold; there when the fold is finished."""
    return folder / f"fold_{index}"


def fold_rows(folder: Path) -> list[dict[str, Any]]:
    """Rows of `metrics.csv` of a finished fold, one a model, the model asked for last."""
    rows: list[dict[str, Any]] = json.loads((folder / FOLD_FILE).read_text(encoding="utf-8"))["rows"]
    return rows


def score_reference(this: Run, spec: ModelSpec, fold: Fold, request: Request) -> FoldScores:
    """A reference model on one fold; jobs of a sweep that share data, split, seed and reference fit it once."""
    context = FitContext(folder=None, seed=this.config["seed"], label=f"{spec.name}, fold {fold.index}")

    def compute() -> tuple[pl.DataFrame, dict[str, float]]:
        scores = fit_and_recommend(this, spec, fold, request, context)
        return scores.recommendations, scores.seconds

    key = digest([this.split_hash, fold.index, groups_used(spec.config), this.config["metrics"], context.seed, request.k])
    return FoldScores(*this.references.get(key, compute), facts={})


def fit_and_recommend(
    this: Run, spec: ModelSpec, fold: Fold, request: Request, context: FitContext, find_neighbours: bool = False
) -> FoldScores:
    """Fit one model on a fold's train part, seeded anew, and recommend to its test users.

    Args:
        this: The run.
        spec: The model.
        fold: The fold.
        request: Its test users.
        context: Of the fit.
        find_neighbours: Also look up what `report.items` names, for reports to show.
    """
    seed_everything(context.seed, this.config["trainer"]["deterministic"])
    started = time.perf_counter()
    model = spec.fitted(fold.train, this.dataset.item_features, context)
    fitted = time.perf_counter()
    recommendations = model.recommend(request)
    seconds = {"fit_seconds": round(fitted - started, 3), "recommend_seconds": round(time.perf_counter() - fitted, 3)}
    log.info("%s: fitted in %.1f s, recommended in %.1f s", context.label, *seconds.values())
    if model.facts():
        log.info("%s: %s", context.label, ", ".join(f"{name} {fact(value)}" for name, value in model.facts().items()))
    similar = find_similar(this, model, fold) if find_neighbours else None
    return FoldScores(recommendations, seconds, model.facts(), similar, model)


def find_similar(this: Run, model: Recommender, fold: Fold) -> pl.DataFrame | None:
    """Neighbours of the items that `report.items` names; None where the model compares no items."""
    options = ReportOptions(**this.config["report"])
    items = items_to_compare(fold.train.frame, options.items)["item_id"]
    try:
        return model.similar(items, options.k) if items.len() else None
    except DataError as error:
        log.warning("neighbours of report.items are not written: %s", error)
        return None


def fact(value: float) -> str:
    """A number about a model for the log: whole with separators, shares with three digits."""
    return f"{value:.3f}" if isinstance(value, float) and abs(value) <= 1 else f"{value:,.0f}"
