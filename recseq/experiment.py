"""The whole flow of a run: read, split, fit, recommend, score, write, log. The only file that knows all of it."""

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from recseq.config import MetricOptions
from recseq.data.interactions import Dataset
from recseq.data.prepared import read_prepared
from recseq.environment import config_hash, data_hash, provenance, split_hash
from recseq.errors import ConfigError, DataError
from recseq.files import write_json, write_text, written_aside
from recseq.finished import require_unfinished, results_of_before
from recseq.folds import UNFINISHED, Run, fold_folder, fold_rows, run_fold
from recseq.metrics import build_metrics
from recseq.metrics.significance import Significance, SignificanceOptions, compare_models, mean_intervals
from recseq.metrics.summary import is_measure, summarise
from recseq.model_specs import choose_models, log_unused_groups
from recseq.models import MODELS
from recseq.report.examples import print_run_examples
from recseq.report.options import ReportOptions
from recseq.report.terminal import print_fold, print_results
from recseq.secrets import without_credentials
from recseq.splitting import SPLITTERS
from recseq.sweeps.callback import parent_of, varied_of
from recseq.sweeps.references import SharedReferences
from recseq.sweeps.search.trial import trial_of
from recseq.tracking import tracked
from recseq.tracking.names import run_name
from recseq.tracking.record import RUN_FILE, RunRecord, describe_dataset, override_tags, run_params
from recseq.tracking.run_folder import ENVIRONMENT_FILE, environment_text, forget_run, log_epochs, log_fold, log_results, start_fold
from recseq.tracking.surviving import noted, open_tracker
from recseq.training.trainer import TrainerOptions, require_device

log = logging.getLogger(__name__)

IDENTITY = ("recseq.data_hash", "recseq.config_hash")


def cross_validate(config: dict[str, Any], folder: Path, sweep_folder: Path | None, overrides: Sequence[str] = ()) -> float:
    """Fit and score the model and its references on every fold; write the run folder and log the run.

    Args:
        config: A checked config.
        folder: The run's folder; `summary.json` is written last, a folder without it is no result.
        sweep_folder: Folder of the sweep that the run is a job of; None for a single run.
        overrides: What was typed for this run.

    Returns:
        The mean over folds of `metrics.objective`.
    """
    if sweep_folder is None and not config["tracking"]["skip_finished"]:
        require_unfinished(folder)
    options = MetricOptions(**config["metrics"])
    models = choose_models(config)
    log_unused_groups(models[-1], config)
    splitter = SPLITTERS.build(config["splitter"])
    if splitter.leak is not None:
        log.warning("splitter %s leaks: %s", config["splitter"]["type"], splitter.leak)
    if "trainer" in MODELS.find(config["model"]["type"], "model.type").uses:
        require_device(TrainerOptions(**config["trainer"]))
    parent, varied = parent_of(sweep_folder), varied_of(sweep_folder)
    tracker = open_tracker(config["tracking"], needed=varied is None)  # a sweep goes on when its server is gone
    dataset = read_dataset(config)
    tags = identity(config, dataset)
    if (objective := results_of_before(folder, tags, tracker)) is not None:
        return objective
    require_same(folder, tags)
    origin = provenance(config["trainer"]["accelerator"]) | {"notes": dataset.notes, "preprocessing": dataset.dropped} | tags
    write_text(folder / "config.yaml", without_credentials(yaml.safe_dump(config, sort_keys=False)))
    write_text(folder / ENVIRONMENT_FILE, environment_text())
    write_json(folder / "provenance.json", origin)
    tags |= {f"recseq.{key}": str(origin[key]) for key in ("git_commit", "git_dirty")} | {"recseq.folder": str(folder)}
    tags |= override_tags(overrides) | ({"mlflow.source.git.commit": origin["git_commit"]} if origin["git_commit"] else {})
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
        trial=trial_of(folder),
    )
    name = models[-1].name
    title = run_name(config, dataset.item_features, overrides, varied)
    record = RunRecord.new(
        title, run_params(config, dataset.item_features), tags, describe_dataset(config, dataset, tags["recseq.data_hash"])
    )
    rows: list[dict[str, Any]] = []
    forget_run(tracker, folder)
    with noted(tracker, folder), tracked(tracker, record.start(tracker, "run", parent, folder / RUN_FILE).run_id) as run_id:
        for fold in splitter.split(dataset.interactions):
            this.trial.start_fold(fold.index)
            print_fold(fold)
            finished = fold_folder(folder, fold.index)
            with tracked(tracker, start_fold(tracker, title, fold.index, run_id)) as fold_id:
                if finished.is_dir():
                    log.info("fold %d was finished before", fold.index)
                    log_epochs(tracker, fold_id, finished)
                else:
                    run_fold(this, fold, fold_id)
                log_fold(tracker, fold_id, run_id, finished)
            rows += fold_rows(finished)
            this.trial.end_fold(fold.index, rows[-1])
        table = pl.DataFrame(rows, infer_schema_length=None)
        with written_aside(folder / "metrics.csv") as aside:
            table.write_csv(aside)
        significance = assess(this, table)
        summary = summarise(table)
        if options.objective_column not in summary[name]:
            raise DataError(f"metrics.objective is {options.objective!r}, a band that no test user of any fold belongs to")
        objective = summary[name][options.objective_column]["mean"]
        result = {"model": name, "name": title, "run_id": run_id, "objective": {options.objective_column: objective}, "models": summary}
        write_json(folder / "summary.json", result)
        log_results(tracker, run_id, folder)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    print_results(dataset.label, table, summary, name, significance, folder, tracker.hint())
    if config["report"]["show_examples"]:
        print_run_examples(folder, dataset, ReportOptions(**config["report"]))
    return objective


def require_same(folder: Path, tags: Mapping[str, str]) -> None:
    """Go on in a folder where the same run was interrupted; refuse one of another run.

    Raises:
        ConfigError: It is another run's.
    """
    if not (folder / "provenance.json").exists():
        return
    before = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    differ = [key.removeprefix("recseq.") for key in IDENTITY if before.get(key) != tags[key]]
    if differ:
        raise ConfigError(
            f"the run folder {folder} holds an interrupted run with another {', '.join(differ)}; run what its config.yaml says to go on "
            f"with it, or choose another hydra.run.dir"
        )
    log.info("going on with the run that was interrupted in %s", folder)
    for partial in folder.glob(".*.partial"):  # what a kill left of things being written
        shutil.rmtree(partial) if partial.is_dir() else partial.unlink()


def read_dataset(config: Mapping[str, Any]) -> Dataset:
    """Read the data, preprocess it, and say what it is."""
    started = time.perf_counter()
    dataset = read_prepared(config)
    interactions = dataset.interactions
    log.info(
        "%s: %s rows, %s users, %s items, %s; %.2f %% of rows share user and time with another; read in %.1f s",
        dataset.label,
        f"{len(interactions):,}",
        f"{interactions.n_users:,}",
        f"{interactions.n_items:,}",
        interactions.span,
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
    of_data = data_hash(dataset)
    return {
        "recseq.dataset": dataset.label,
        "recseq.simulated": str(dataset.simulated).lower(),
        "recseq.data_hash": of_data,
        "recseq.split_hash": split_hash(config, of_data),
        "recseq.config_hash": config_hash(config, of_data),
    }


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
