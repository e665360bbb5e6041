"""The whole flow of a run: read, split, fit, recommend, score, write, log. The only file that knows all of it."""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from omegaconf import DictConfig

from recseq.config import MetricOptions, check_config, compose_reference, groups_of, model_options
from recseq.data.interactions import Dataset
from recseq.data.sources import SOURCES
from recseq.environment import config_hash, digest, provenance, seed_everything, split_hash
from recseq.errors import ConfigError, DataError
from recseq.files import write_json, write_text, written_aside
from recseq.metrics import METRICS, Catalogue, Evaluation, Metric, means, values_per_user
from recseq.models import MODELS, Recommender, Request
from recseq.report.terminal import print_fold, print_results
from recseq.splitting import SPLITTERS, Fold
from recseq.tracking import TRACKERS, Tracker
from recseq.training.trainer import FitContext

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSpec:
    """A model of the run: the one asked for, or a reference.

    Args:
        name: What tables call it.
        config: Its composed config, plain Python.
        is_reference: Others are measured against it.
    """

    name: str
    config: Mapping[str, Any]
    is_reference: bool

    def build(self) -> Recommender:
        """The recommender, not yet fitted."""
        return MODELS.build(model_options(self.config["model"]), groups=groups_of(self.config))


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


def run(composed: DictConfig, folder: Path) -> float:
    """Check a composed config and do what its `mode` says.

    Args:
        composed: The config as Hydra composed it.
        folder: The run's folder.

    Returns:
        The value of `metrics.objective`, for a sweep to optimise.

    Raises:
        RecseqError: Anything that the user can mend.
    """
    return cross_validate(check_config(composed), folder)


def cross_validate(config: dict[str, Any], folder: Path) -> float:
    """Fit and score the model and its references on every fold; write the run folder and log the run.

    Args:
        config: A checked config.
        folder: The run's folder; `summary.json` is written last, a folder without it is no result.

    Returns:
        The mean over folds of `metrics.objective`.
    """
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    options = MetricOptions(**config["metrics"])
    metrics = [METRICS.build({"type": name, **(inner or {})}, ref_k=options.ref_k) for name, inner in options.include.items()]
    models = choose_models(config)
    log_unused_groups(models[-1], config)
    dataset = read_dataset(config)
    splitter = SPLITTERS.build(config["splitter"])
    data_hash = hash_of_data(dataset)
    tags = {
        "recseq.dataset": dataset.label,
        "recseq.simulated": str(dataset.simulated).lower(),
        "recseq.data_hash": data_hash,
        "recseq.split_hash": split_hash(config, data_hash),
        "recseq.config_hash": config_hash(config, data_hash),
    }
    origin = provenance(config["trainer"]["accelerator"]) | {"notes": dataset.notes} | tags
    tags |= {"recseq.git_commit": str(origin["git_commit"]), "recseq.git_dirty": str(origin["git_dirty"]), "recseq.folder": str(folder)}
    write_json(folder / "provenance.json", origin)
    tracker = TRACKERS.build(config["tracking"])
    rows: list[dict[str, Any]] = []
    with tracked(tracker, run_name(config), "run", flatten(config), tags) as run_id:
        for fold in splitter.split(dataset.interactions):
            with tracked(tracker, f"fold {fold.index}", "fold", {}, {"recseq.fold": str(fold.index)}, run_id) as fold_id:
                rows += run_fold(fold, dataset, models, metrics, options, config, folder, tracker, fold_id)
                own = {name: value for name, value in rows[-1].items() if "@" in name or name.endswith("_seconds")}
                tracker.log_metrics(fold_id, own)
                tracker.log_metrics(run_id, own, step=fold.index)
        table = pl.DataFrame(rows, infer_schema_length=None)
        with written_aside(folder / "metrics.csv") as aside:
            table.write_csv(aside)
        summary = summarise(table)
        own_summary = summary[models[-1].name]
        tracker.log_metrics(run_id, {f"{name}_{kind}": value for name, values in own_summary.items() for kind, value in values.items()})
        write_json(folder / "summary.json", {"models": summary, "objective": {options.objective: own_summary[options.objective]["mean"]}})
        for name in ("config.yaml", "metrics.csv", "summary.json", "provenance.json", "run.log"):
            if (folder / name).exists():
                tracker.log_artifact(run_id, folder / name)
    print_results(dataset.label, table, summary, models[-1].name, folder, tracker.hint())
    return own_summary[options.objective]["mean"]


def choose_models(config: dict[str, Any]) -> list[ModelSpec]:
    """The reference models and, last, the model asked for; a reference that is that very model is not fitted twice.

    Raises:
        ConfigError: Two different models under one name.
    """
    own = ModelSpec(config["model"]["name"], config, is_reference=False)
    specs: dict[str, ModelSpec] = {}
    for name in config["reference_models"]:
        reference = compose_reference(name)
        reference["trainer"] = config["trainer"]
        spec = ModelSpec(reference["model"]["name"], reference, is_reference=True)
        if spec.name == own.name:
            if spec.config["model"] != own.config["model"]:
                raise ConfigError(
                    f"model.name is {own.name!r}, which is also the name of a reference model with other options; "
                    f"give one of them another name: model.name=... or reference_models=[...]"
                )
            own = ModelSpec(own.name, config, is_reference=True)
        else:
            specs[spec.name] = spec
    return [*specs.values(), own]


def log_unused_groups(model: ModelSpec, config: Mapping[str, Any]) -> None:
    """Say once which groups the model has no use for."""
    uses = MODELS.find(config["model"]["type"], "model.type").uses
    unused = [group for group in ("loss", "item_net", "optimizer", "trainer") if group not in uses]
    if unused:
        log.info("model %s has no use for the groups %s; they are ignored", model.name, ", ".join(unused))


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


def hash_of_data(dataset: Dataset) -> str:
    """Identity of all that a model may learn from."""
    features = dataset.item_features
    return digest([dataset.interactions.fingerprint, features.fingerprint if features else None])


def run_fold(
    fold: Fold,
    dataset: Dataset,
    models: list[ModelSpec],
    metrics: list[Metric],
    options: MetricOptions,
    config: Mapping[str, Any],
    folder: Path,
    tracker: Tracker,
    fold_id: str,
) -> list[dict[str, Any]]:
    """Fit and score all models on one fold and write its folder.

    Returns:
        One row of `metrics.csv` a model, the model asked for last.
    """
    print_fold(fold)
    catalogue = Catalogue.from_train(fold.train.frame)
    test_pairs = fold.test.frame.select("user_id", "item_id").unique(maintain_order=True)
    request = Request(
        user_ids=test_pairs["user_id"].unique().sort(),
        history=fold.train,
        k=max(*options.cutoffs, options.ref_k or 1),
    )
    scores: dict[str, FoldScores] = {}
    with written_aside(folder / f"fold_{fold.index}") as aside:
        aside.mkdir()
        for spec in models:
            own = spec is models[-1]
            context = FitContext(
                folder=aside / "checkpoints" if own else None,
                seed=config["seed"],
                log_epoch=(lambda values, epoch: tracker.log_metrics(fold_id, values, step=epoch)) if own else (lambda values, epoch: None),
                label=f"{spec.name}, fold {fold.index}",
            )
            scores[spec.name] = fit_and_recommend(spec, fold, dataset, request, context, config["trainer"]["deterministic"])
        references = {spec.name: scores[spec.name].recommendations for spec in models if spec.is_reference}
        rows, per_user = [], []
        for spec in models:
            score = scores[spec.name]
            evaluation = Evaluation.of(score.recommendations, test_pairs, catalogue, references)
            values = values_per_user(metrics, evaluation, options.cutoffs)
            per_user.append(values.select(pl.lit(spec.name).alias("model"), pl.all()))
            about = {
                "model": spec.name,
                "fold": fold.index,
                "test_start": fold.test_start.isoformat(sep=" "),
                "test_end": fold.test_end.isoformat(sep=" "),
                "seed": config["seed"],
            }
            rows.append(about | score.seconds | means(values))
        recommendations = [s.recommendations.select(pl.lit(name).alias("model"), pl.all()) for name, s in scores.items()]
        pl.concat(recommendations).write_parquet(aside / "recommendations.parquet")
        test_pairs.write_parquet(aside / "test.parquet")
        pl.concat(per_user).write_parquet(aside / "per_user.parquet")
        facts = scores[models[-1].name].facts
        write_json(aside / "fold.json", {"counts": fold.counts, "dropped": fold.dropped, "facts": facts})
        tracker.log_metrics(fold_id, {**fold.counts, **{f"dropped_{name}": n for name, n in fold.dropped.items()}, **facts})
    return rows


def fit_and_recommend(
    spec: ModelSpec, fold: Fold, dataset: Dataset, request: Request, context: FitContext, deterministic: bool
) -> FoldScores:
    """Fit one model on a fold's train part, seeded anew, and recommend to its test users."""
    seed_everything(context.seed, deterministic)
    model = spec.build()
    started = time.perf_counter()
    model.fit(fold.train, dataset.item_features, context)
    fitted = time.perf_counter()
    recommendations = model.recommend(request)
    seconds = {"fit_seconds": round(fitted - started, 3), "recommend_seconds": round(time.perf_counter() - fitted, 3)}
    log.info("%s: fitted in %.1f s, recommended in %.1f s", context.label, *seconds.values())
    return FoldScores(recommendations, seconds, model.facts())


def summarise(table: pl.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Mean, standard deviation (n - 1; absent for one fold) and n over folds of each metric of each model."""
    summary: dict[str, dict[str, dict[str, float]]] = {}
    for (name,), rows in table.group_by("model", maintain_order=True):
        summary[str(name)] = {}
        for column in rows.columns:
            if "@" in column or column.endswith("_seconds"):
                values = rows[column].drop_nulls()
                found = {"mean": float(values.mean() or 0.0), "n": values.len()}  # type: ignore[arg-type]
                if values.len() > 1:
                    found["std"] = float(values.std() or 0.0)  # type: ignore[arg-type]
                summary[str(name)][column] = found
    return summary


@contextmanager
def tracked(
    tracker: Tracker, name: str, level: str, params: Mapping[str, Any], tags: Mapping[str, str], parent: str | None = None
) -> Iterator[str]:
    """A run of the tracker that is closed with the status of the block, whatever happens in it."""
    run_id = tracker.start(name, level, params, tags, parent)
    try:
        yield run_id
    except KeyboardInterrupt:
        tracker.end(run_id, "KILLED")
        raise
    except BaseException:
        tracker.end(run_id, "FAILED")
        raise
    tracker.end(run_id)


def run_name(config: Mapping[str, Any]) -> str:
    """Name for people: model and dataset."""
    return f"{config['model']['name']}-{config['dataset']['type']}"


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested config to `a.b.c` keys; empty mappings vanish."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def discard(folder: Path) -> None:
    """Remove a run folder that never became one: nothing but the log in it."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {"run.log"}:
        shutil.rmtree(folder)
