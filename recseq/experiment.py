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
from recseq.data.sources import SOURCES
from recseq.environment import config_hash, data_hash, digest, provenance, seed_everything, split_hash
from recseq.errors import ConfigError, DataError
from recseq.files import write_json, write_text, written_aside
from recseq.metrics import AnyMetric, Catalogue, Evaluation, build_metrics, score
from recseq.metrics.significance import Significance, SignificanceOptions, compare_models, mean_intervals
from recseq.metrics.summary import is_measure, summarise
from recseq.model_specs import ModelSpec, choose_models, groups_used, log_unused_groups
from recseq.models import MODELS, Recommender, Request
from recseq.report.examples import items_to_compare, print_run_examples
from recseq.report.options import ReportOptions
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
        similar: Neighbours of some items, columns `item_id`, `similar_item_id`, `score`, `rank`; None where there are none.
    """

    recommendations: pl.DataFrame
    seconds: dict[str, float]
    facts: dict[str, float]
    similar: pl.DataFrame | None = None


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
    if config["mode"] == "report":
        if sweep_folder is not None:
            raise ConfigError("mode=report looks at finished runs and is no job of a sweep; leave out -m and experiment=")
        from recseq.report.command import report  # here, not above: it brings plotly and matplotlib, which no other mode needs

        report(config, folder)
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
    if splitter.leak is not None:
        log.warning("splitter %s leaks: %s", config["splitter"]["type"], splitter.leak)
    if "trainer" in MODELS.find(config["model"]["type"], "model.type").uses:
        require_device(TrainerOptions(**config["trainer"]))
    tracker = TRACKERS.build(config["tracking"])
    dataset = read_dataset(config)
    tags = identity(config, dataset)
    origin = provenance(config["trainer"]["accelerator"]) | {"notes": dataset.notes} | tags
    write_json(folder / "provenance.json", origin)
    tags |= {f"recseq.{key}": str(origin[key]) for key in ("git_commit", "git_dirty")} | {"recseq.folder": str(folder)}
    this = Run(
        config=config,
        folder=folder,
        dataset=dataset,
        split_hash=tags["recseq.split_hash"],
        models=models,
        options=options,
        metrics=build_metrics(options.include, options.ref_k, dataset.item_features, options.objective),
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
        significance = assess(this, table)
        summary = summarise(table)
        finals = {f"{column}_{kind}": value for column, values in summary[name].items() for kind, value in values.items()}
        tracker.log_metrics(run_id, finals)
        if options.objective_column not in summary[name]:
            raise DataError(f"metrics.objective is {options.objective!r}, a band that no test user of any fold belongs to")
        objective = summary[name][options.objective_column]["mean"]
        result = {"model": name, "run_id": run_id, "objective": {options.objective_column: objective}, "models": summary}
        write_json(folder / "summary.json", result)
        for file in ("config.yaml", "metrics.csv", "significance.csv", "summary.json", "provenance.json", "run.log"):
            if (folder / file).exists():
                tracker.log_artifact(run_id, folder / file)
    print_results(dataset.label, table, summary, name, significance, folder, tracker.hint())
    if config["report"]["show_examples"]:
        print_run_examples(folder, dataset, ReportOptions(**config["report"]))
    return objective


def require_fresh(folder: Path) -> None:
    """Refuse a folder that holds results: a new config beside an old `summary.json` would be taken for one run.

    Raises:
        ConfigError: It does.
    """
    if (folder / "summary.json").exists() or any(folder.glob("fold_*")):
        raise ConfigError(f"the run folder {folder} holds results of another run; choose another hydra.run.dir or remove it")


def read_dataset(config: Mapping[str, Any]) -> Dataset:
    """Read the data and say what it is."""
    started = time.perf_counter()
    dataset = SOURCES.build(config["dataset"]).read()
    interactions = dataset.interactions
    if len(interactions) == 0:
        raise DataError(f"dataset {dataset.name} has no interactions")
    frame = interactions.frame
    log.info(
        "%s: %s rows, %s users, %s items, %s to %s; %.2f %% of rows share user and time with another; read in %.1f s",
        dataset.label,
        f"{frame.height:,}",
        f"{frame['user_id'].n_unique():,}",
        f"{frame['item_id'].n_unique():,}",
        frame["datetime"].min(),
        frame["datetime"].max(),
        100 * interactions.tied_rows / frame.height,
        time.perf_counter() - started,
    )
    for note in dataset.notes:
        log.info("%s: %s", dataset.label, note)
    return dataset


def identity(config: Mapping[str, Any], dataset: Dataset) -> dict[str, str]:
    """Tags that say what was run on what: the dataset and the hashes of data, split and config."""
    of_data = data_hash(dataset)
    return {
        "recseq.dataset": dataset.label,
        "recseq.simulated": str(dataset.simulated).lower(),
        "recseq.data_hash": of_data,
        "recseq.split_hash": split_hash(config, of_data),
        "recseq.config_hash": config_hash(config, of_data),
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
    catalogue = Catalogue.from_train(fold.train.frame, this.dataset.item_features)
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
        scores[own.name] = fit_and_recommend(this, own, fold, request, context, find_neighbours=True)
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
        facts = scores[own.name].facts
        write_json(aside / "fold.json", {"counts": fold.counts, "dropped": fold.dropped, "facts": facts})
    dropped = {f"dropped_{name}": n for name, n in fold.dropped.items()}
    this.tracker.log_metrics(fold_id, {**fold.counts, **dropped, **facts})
    return rows


def assess(this: Run, table: pl.DataFrame) -> Significance:
    """How sure the means of the model asked for are; writes `significance.csv`, where there are reference models to compare it with.

    Args:
        this: The run, its folds written.
        table: The table of `metrics.csv`.
    """
    folds = table["fold"].unique(maintain_order=True).to_list()
    files = [this.folder / f"fold_{fold}" / "per_user.parquet" for fold in folds]
    per_user = pl.concat([pl.read_parquet(file).with_columns(fold=pl.lit(fold)) for file, fold in zip(files, folds, strict=True)])
    *others, name = [spec.name for spec in this.models]
    options = SignificanceOptions(**this.options.significance)
    columns = [column for column in table.columns if is_measure(column)]
    seed = this.config["seed"]
    comparisons = compare_models(per_user, name, others, columns, options, seed)
    if others:
        with written_aside(this.folder / "significance.csv") as aside:
            comparisons.write_csv(aside)
    return Significance(mean_intervals(per_user, [name], columns, options, seed), comparisons, options)


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
    model = spec.build()
    started = time.perf_counter()
    model.fit(fold.train, this.dataset.item_features, context)
    fitted = time.perf_counter()
    recommendations = model.recommend(request)
    seconds = {"fit_seconds": round(fitted - started, 3), "recommend_seconds": round(time.perf_counter() - fitted, 3)}
    log.info("%s: fitted in %.1f s, recommended in %.1f s", context.label, *seconds.values())
    if model.facts():
        log.info("%s: %s", context.label, ", ".join(f"{name} {fact(value)}" for name, value in model.facts().items()))
    similar = find_similar(this, model, fold) if find_neighbours else None
    return FoldScores(recommendations, seconds, model.facts(), similar)


def find_similar(this: Run, model: Recommender, fold: Fold) -> pl.DataFrame | None:
    """Neighbours of the items that `report.items` names; None where the model compares no items."""
    options = ReportOptions(**this.config["report"])
    items = items_to_compare(fold.train.frame, options.items)["item_id"]
    try:
        return model.similar(items, options.k) if items.len() else None
    except DataError as error:
        log.warning("neighbours of report.items are not written: %s", error)
        return None


def run_name(config: Mapping[str, Any]) -> str:
    """Name for people: model and dataset."""
    return f"{config['model']['name']}-{config['dataset']['type']}"


def fact(value: float) -> str:
    """A number about a model for the log: whole with separators, shares with three digits."""
    return f"{value:.3f}" if isinstance(value, float) and abs(value) <= 1 else f"{value:,.0f}"
