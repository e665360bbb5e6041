"""The whole flow of a run: read, split, fit, recommend, score, write, log. The only file that knows all of it."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from omegaconf import DictConfig

from recseq.config import MetricOptions, check_config
from recseq.data.interactions import Dataset
from recseq.data.prepared import read_prepared
from recseq.environment import config_hash, digest, provenance, seed_everything, split_hash
from recseq.errors import ConfigError
from recseq.files import write_json, write_text, written_aside
from recseq.metrics import Catalogue, Evaluation, Metric, means, values_per_user
from recseq.model_specs import ModelSpec, choose_models, groups_used, log_unused_groups
from recseq.models import MODELS, Request
from recseq.report.terminal import print_fold, print_results
from recseq.splitting import SPLITTERS, Fold
from recseq.sweeps.callback import parent_of
from recseq.sweeps.references import SharedReferences
from recseq.tracking import TRACKERS, Tracker, flatten, tracked
from recseq.training.context import FitContext
from recseq.training.trainer import TrainerOptions, require_device

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldScores:
    """One model on one fold.

    Args:
        recommendations: Columns `user_id`, `item_id`, `score`, `rank`.
        seconds: `fit_seconds` and `recommend_seconds`.
        facts: Numbers about the fitted model.
    """

    recommendations: pl.DataFrame
    seconds: dict[str, float]
    facts: dict[str, float]


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
        metrics: Built metrics.
        tracker: Where the run is logged.
        references: Where jobs of a sweep share the results of reference models.
    """

    config: Mapping[str, Any]
    folder: Path
    dataset: Dataset
    split_hash: str
    models: list[ModelSpec]
    options: MetricOptions
    metrics: list[Metric]
    tracker: Tracker
    references: SharedReferences


def run(composed: DictConfig, folder: Path, sweep_folder: Path | None = None) -> float:
    """Check a composed config and do what its `mode` says.

    Args:
        composed: The config as Hydra composed it.
        folder: The run's folder.
        sweep_folder: Folder of the sweep that the run is a job of; None for a single run.

    Returns:
        The value of `metrics.objective`, for a sweep to optimise; NaN of a mode that measures nothing.

    Raises:
        RecseqError: Anything that the user can mend.
    """
    config = check_config(composed)
    if config["mode"] == "describe":
        if sweep_folder is not None:
            raise ConfigError("mode=describe looks at one dataset and is no job of a sweep; leave out -m")
        from recseq.report.describe import describe  # here, not above: it brings plotly and matplotlib, which no other mode needs

        describe(config, read_dataset(config), folder)
        return math.nan
    return cross_validate(config, folder, sweep_folder)


def cross_validate(config: dict[str, Any], folder: Path, sweep_folder: Path | None) -> float:
    """Fit and score the model and its references on every fold; write the run folder and log the run.

    Args:
        config: A checked config.
        folder: The run's folder; `summary.json` is written last, a folder without it is no result.
        sweep_folder: Folder of the sweep that the run is a job of; None for a single run.

    Returns:
        The mean over folds of `metrics.objective`.
    """
    require_fresh(folder)
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    options = MetricOptions(**config["metrics"])
    models = choose_models(config)
    log_unused_groups(models[-1], config)
    splitter = SPLITTERS.build(config["splitter"])
    if "trainer" in MODELS.find(config["model"]["type"], "model.type").uses:
        require_device(TrainerOptions(**config["trainer"]))
    tracker = TRACKERS.build(config["tracking"])
    dataset = read_dataset(config)
    tags = identity(config, dataset)
    origin = provenance(config["trainer"]["accelerator"]) | {"notes": dataset.notes, "preprocessing": dataset.dropped} | tags
    write_json(folder / "provenance.json", origin)
    tags |= {f"recseq.{key}": str(origin[key]) for key in ("git_commit", "git_dirty")} | {"recseq.folder": str(folder)}
    this = Run(
        config=config,
        folder=folder,
        dataset=dataset,
        split_hash=tags["recseq.split_hash"],
        models=models,
        options=options,
        metrics=options.scoring().metrics,
        tracker=tracker,
        references=SharedReferences(sweep_folder),
    )
    name = models[-1].name
    rows: list[dict[str, Any]] = []
    with tracked(tracker, run_name(config), "run", flatten(config), tags, parent_of(sweep_folder)) as run_id:
        for fold in splitter.split(dataset.interactions):
            with tracked(tracker, f"fold {fold.index}", "fold", {}, {"recseq.fold": str(fold.index)}, run_id) as fold_id:
                rows += run_fold(this, fold, fold_id)
                own = {column: value for column, value in rows[-1].items() if is_measure(column)}
                tracker.log_metrics(fold_id, own)
                tracker.log_metrics(run_id, own, step=fold.index)
        table = pl.DataFrame(rows, infer_schema_length=None)
        with written_aside(folder / "metrics.csv") as aside:
            table.write_csv(aside)
        summary = summarise(table)
        finals = {f"{column}_{kind}": value for column, values in summary[name].items() for kind, value in values.items()}
        tracker.log_metrics(run_id, finals)
        objective = summary[name][options.objective_column]["mean"]
        result = {"model": name, "run_id": run_id, "objective": {options.objective_column: objective}, "models": summary}
        write_json(folder / "summary.json", result)
        for file in ("config.yaml", "metrics.csv", "summary.json", "provenance.json", "run.log"):
            if (folder / file).exists():
                tracker.log_artifact(run_id, folder / file)
    print_results(dataset.label, table, summary, name, folder, tracker.hint())
    return objective


def require_fresh(folder: Path) -> None:
    """Refuse a folder that holds results: a new config beside an old `summary.json` would be taken for one run.

    Raises:
        ConfigError: It does.
    """
    if (folder / "summary.json").exists() or any(folder.glob("fold_*")):
        raise ConfigError(f"the run folder {folder} holds results of another run; choose another hydra.run.dir or remove it")


def read_dataset(config: Mapping[str, Any]) -> Dataset:
    """Read the data, preprocess it, and say what it is."""
    started = time.perf_counter()
    dataset = read_prepared(config["dataset"], config["preprocessing"], Path(config["paths"]["cache"]))
    interactions = dataset.interactions
    log.info(
        "%s: %s rows, %s users, %s items, %s to %s; %.2f %% of rows share user and time with another; read in %.1f s",
        dataset.label,
        f"{len(interactions):,}",
        f"{interactions.n_users:,}",
        f"{interactions.n_items:,}",
        interactions.frame["datetime"].min(),
        interactions.frame["datetime"].max(),
        100 * interactions.tied_rows / len(interactions),
        time.perf_counter() - started,
    )
    for note in dataset.notes:
        log.info("%s: %s", dataset.label, note)
    for step, n_rows in dataset.dropped.items():
        log.info("%s: preprocessing, %s: dropped %s rows", dataset.label, step, f"{n_rows:,}")
    return dataset


def identity(config: Mapping[str, Any], dataset: Dataset) -> dict[str, str]:
    """Tags that say what was run on what: the dataset and the hashes of data, split and config."""
    features = dataset.item_features
    data_hash = digest([dataset.interactions.fingerprint, features.fingerprint if features else None])
    return {
        "recseq.dataset": dataset.label,
        "recseq.simulated": str(dataset.simulated).lower(),
        "recseq.data_hash": data_hash,
        "recseq.split_hash": split_hash(config, data_hash),
        "recseq.config_hash": config_hash(config, data_hash),
    }


def run_fold(this: Run, fold: Fold, fold_id: str) -> list[dict[str, Any]]:
    """Fit and score all models on one fold and write its folder.

    Args:
        this: The run.
        fold: The fold.
        fold_id: Id of the fold's run in the tracker.

    Returns:
        One row of `metrics.csv` a model, the model asked for last.
    """
    print_fold(fold)
    catalogue = Catalogue.from_train(fold.train.frame)
    test_pairs = fold.test.frame.select("user_id", "item_id").unique(maintain_order=True)
    request = Request(
        user_ids=test_pairs["user_id"].unique().sort(),
        history=fold.train,
        k=max(*this.options.cutoffs, this.options.ref_k or 1),
    )
    with written_aside(this.folder / f"fold_{fold.index}") as aside:
        aside.mkdir()
        scores = {spec.name: score_reference(this, spec, fold, request) for spec in this.models[:-1]}
        own = this.models[-1]
        epochs: dict[int, dict[str, float]] = {}

        def log_epoch(values: dict[str, float], epoch: int) -> None:
            epochs[epoch] = {"epoch": epoch} | epochs.get(epoch, {}) | values
            this.tracker.log_metrics(fold_id, values, step=epoch)

        context = FitContext(aside / "checkpoints", this.config["seed"], log_epoch, label=f"{own.name}, fold {fold.index}")
        scores[own.name] = fit_and_recommend(this, own, fold, request, context)
        if epochs:
            pl.DataFrame(list(epochs.values()), infer_schema_length=None).write_csv(aside / "epochs.csv")
        references = {spec.name: scores[spec.name].recommendations for spec in this.models if spec.is_reference}
        about = {
            "fold": fold.index,
            "test_start": fold.test_start.isoformat(sep=" "),
            "test_end": fold.test_end.isoformat(sep=" "),
            "seed": this.config["seed"],
        }
        rows, per_user = [], []
        for name, score in scores.items():
            evaluation = Evaluation.of(score.recommendations, test_pairs, catalogue, references)
            values = values_per_user(this.metrics, evaluation, this.options.cutoffs)
            per_user.append(values.select(pl.lit(name).alias("model"), pl.all()))
            rows.append({"model": name} | about | score.seconds | means(values))
        recommendations = [score.recommendations.select(pl.lit(name).alias("model"), pl.all()) for name, score in scores.items()]
        pl.concat(recommendations).write_parquet(aside / "recommendations.parquet")
        test_pairs.write_parquet(aside / "test.parquet")
        pl.concat(per_user).write_parquet(aside / "per_user.parquet")
        facts = scores[own.name].facts
        write_json(aside / "fold.json", {"counts": fold.counts, "dropped": fold.dropped, "facts": facts})
    dropped = {f"dropped_{name}": n for name, n in fold.dropped.items()}
    this.tracker.log_metrics(fold_id, {**fold.counts, **dropped, **facts})
    return rows


def score_reference(this: Run, spec: ModelSpec, fold: Fold, request: Request) -> FoldScores:
    """A reference model on one fold; jobs of a sweep that share data, split, seed and reference fit it once."""
    context = FitContext(folder=None, seed=this.config["seed"], label=f"{spec.name}, fold {fold.index}")

    def compute() -> tuple[pl.DataFrame, dict[str, float]]:
        scores = fit_and_recommend(this, spec, fold, request, context)
        return scores.recommendations, scores.seconds

    key = digest([this.split_hash, fold.index, groups_used(spec.config), this.config["metrics"], context.seed, request.k])
    return FoldScores(*this.references.get(key, compute), facts={})


def fit_and_recommend(this: Run, spec: ModelSpec, fold: Fold, request: Request, context: FitContext) -> FoldScores:
    """Fit one model on a fold's train part, seeded anew, and recommend to its test users."""
    seed_everything(context.seed, this.config["trainer"]["deterministic"])
    model = spec.build()
    started = time.perf_counter()
    model.fit(fold.train, this.dataset.item_features, context)
    fitted = time.perf_counter()
    recommendations = model.recommend(request)
    seconds = {"fit_seconds": round(fitted - started, 3), "recommend_seconds": round(time.perf_counter() - fitted, 3)}
    log.info("%s: fitted in %.1f s, recommended in %.1f s", context.label, *seconds.values())
    if model.facts():
        log.info("%s: %s", context.label, ", ".join(f"{name} {fact(value)}" for name, value in model.facts().items()))
    return FoldScores(recommendations, seconds, model.facts())


def is_measure(column: str) -> bool:
    """Whether a column of `metrics.csv` holds a measured number: a metric or seconds."""
    return "@" in column or column.endswith("_seconds")


def summarise(table: pl.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Mean, standard deviation (n - 1; absent for one fold) and n over folds of each metric of each model."""
    summary: dict[str, dict[str, dict[str, float]]] = {}
    for (name,), rows in table.group_by("model", maintain_order=True):
        summary[str(name)] = {}
        for column in rows.columns:
            if is_measure(column):
                values = rows[column].drop_nulls()
                found = {"mean": float(values.mean() or 0.0), "n": values.len()}  # type: ignore[arg-type]
                if values.len() > 1:
                    found["std"] = float(values.std() or 0.0)  # type: ignore[arg-type]
                summary[str(name)][column] = found
    return summary


def run_name(config: Mapping[str, Any]) -> str:
    """Name for people: model and dataset."""
    return f"{config['model']['name']}-{config['dataset']['type']}"


def fact(value: float) -> str:
    """A number about a model for the log: whole with separators, shares with three digits."""
    return f"{value:.3f}" if isinstance(value, float) and abs(value) <= 1 else f"{value:,.0f}"
