"""The whole flow of a run: read, split, fit, recommend, score, write, log. The only file that knows all of it."""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from recseq.data.interactions import Dataset, Interactions
from recseq.environment import seed_everything
from recseq.errors import ConfigError, DataError
from recseq.files import write_json, written_aside
from recseq.finished import require_unfinished, results_of_before
from recseq.folds import UNFINISHED, Run, fold_folder, fold_rows, run_fold
from recseq.group_options import MetricOptions
from recseq.lifecycle.card import Measured, about_rows
from recseq.lifecycle.folder import read_facts, require_saveable, save_model
from recseq.lifecycle.from_run import find_run
from recseq.lifecycle.leaks import lineage, newer_rows, own_fold, require_no_leak
from recseq.lifecycle.loading import LoadedModel
from recseq.lifecycle.of_model import earlier_model, load_for
from recseq.metrics import build_metrics
from recseq.metrics.significance import Significance, SignificanceOptions, compare_models, mean_intervals
from recseq.metrics.summary import is_measure, summarise
from recseq.model_specs import ModelSpec, Ready, WarmStarted, choose_models, log_unused_groups
from recseq.models import MODELS
from recseq.opening import begin_folder, identity, read_dataset, run_record
from recseq.report.examples import print_run_examples
from recseq.report.options import ReportOptions
from recseq.report.terminal import console, print_fold, print_results
from recseq.splitting import SPLITTERS, Fold
from recseq.sweeps.callback import parent_of, varied_of
from recseq.sweeps.references import SharedReferences
from recseq.sweeps.search.trial import trial_of
from recseq.tracking import tracked
from recseq.tracking.names import run_name
from recseq.tracking.record import RUN_FILE
from recseq.tracking.run_folder import MODEL_FOLDER, Epochs, forget_run, log_epochs, log_fold, log_results, log_trained, start_fold
from recseq.tracking.surviving import noted, open_tracker
from recseq.training.context import FitContext
from recseq.training.trainer import TrainerOptions, require_device

log = logging.getLogger(__name__)

LEAK_ADVICE = {
    "evaluate": (
        "Train it on that fold's train part (mode=train train.fold=...; train.save_folds=true keeps the models of a cross-validation), "
        "or evaluate on another fold (evaluate.fold=...) or on newer data (dataset.path=...)"
    ),
    "run": "Begin from a model of older rows (train.warm_start=...; mode=train train.fold=0 makes one), or measure on newer data",
}


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
    if config["train"]["save_folds"]:
        require_saveable(config)
    models = choose_models(config)
    earlier = earlier_model(config)
    if earlier is not None:
        models[-1] = warm_started(models[-1], earlier, keep_items=False)
    return measure(config, folder, models, sweep_folder, overrides, earlier)


def warm_started(spec: ModelSpec, earlier: LoadedModel, keep_items: bool) -> ModelSpec:
    """A model whose training begins from another's; refused, before data is read, where it has no training in steps.

    Raises:
        ConfigError: It has none, or the other is another kind of model.
    """
    warm = WarmStarted(spec.name, spec.config, spec.is_reference, earlier.model, keep_items)
    warm.build()
    return warm


def evaluate(config: dict[str, Any], folder: Path, overrides: Sequence[str] = ()) -> float:
    """Measure a model that was saved, as the cross-validation that trained it does; write and log the same.

    Args:
        config: A checked config, its groups about the model those that it was trained with.
        folder: The run's folder.
        overrides: What was typed for this run, behind the model's composition.

    Returns:
        The mean over folds of `metrics.objective`.

    Raises:
        ConfigError: The model may have learnt from a fold's test part.
    """
    loaded = load_for(config)
    *references, own = choose_models(config)
    ready = Ready(own.name, own.config, own.is_reference, loaded.model)
    return measure(config, folder, [*references, ready], None, overrides, loaded)


def measure(
    config: dict[str, Any],
    folder: Path,
    models: list[ModelSpec],
    sweep_folder: Path | None,
    overrides: Sequence[str],
    earlier: LoadedModel | None,
) -> float:
    """Fit and score models on every fold, or on the one asked for; write the run folder and log the run.

    Args:
        config: A checked config.
        folder: The run's folder; `summary.json` is written last.
        models: Reference models and, last, the model asked for.
        sweep_folder: Folder of the sweep that the run is a job of; None for a single run.
        overrides: What was typed for this run.
        earlier: The model that is measured, or that training begins from; refused where it may have learnt from a test part.

    Returns:
        The mean over folds of `metrics.objective`.
    """
    if sweep_folder is None and not config["tracking"]["skip_finished"]:
        require_unfinished(folder)
    options = MetricOptions(**config["metrics"])
    log_unused_groups(models[-1], config)
    splitter = SPLITTERS.build(config["splitter"])
    if splitter.leak is not None:
        log.warning("splitter %s leaks: %s", config["splitter"]["type"], splitter.leak)
    require_device_of(config)
    parent, varied = parent_of(sweep_folder), varied_of(sweep_folder)
    tracker = open_tracker(config["tracking"], needed=varied is None)  # a sweep goes on when its server is gone
    dataset = read_dataset(config)
    weights = None if earlier is None else earlier.weights_hash
    tags = identity(config, dataset, weights)
    evaluated = config["mode"] == "evaluate"
    only = config["evaluate"]["fold"]
    if evaluated and only is None and earlier is not None:
        only = own_fold(earlier, tags)
    if (objective := results_of_before(folder, tags, tracker)) is not None:
        return objective
    origin = begin_folder(folder, config, dataset, tags, overrides)
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
        origin=origin,
        began_from=[] if evaluated or earlier is None else lineage(earlier.provenance),
    )
    name = models[-1].name
    title = run_name(config, dataset.item_features, overrides, varied)
    record = run_record(title, folder, config, dataset, origin, overrides)
    level = "evaluate" if evaluated else "run"
    rows: list[dict[str, Any]] = []
    forget_run(tracker, folder)
    with noted(tracker, folder), tracked(tracker, record.start(tracker, level, parent, folder / RUN_FILE).run_id) as run_id:
        for fold in chosen_folds(splitter.split(dataset.interactions), only, "evaluate.fold"):
            if earlier is not None:
                require_no_leak(earlier, fold, tags, LEAK_ADVICE[level])
            this.trial.start_fold(fold.index)
            print_fold(fold)
            finished = fold_folder(folder, fold.index)
            with tracked(tracker, start_fold(tracker, title, fold.index, run_id)) as fold_id:
                if finished.is_dir():
                    log.info("fold %d was finished before", fold.index)
                    if config["train"]["save_folds"] and not (finished / MODEL_FOLDER).is_dir():
                        log.warning(
                            "fold %d was finished without its model being saved; remove %s to have it trained again", fold.index, finished
                        )
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


def require_device_of(config: Mapping[str, Any]) -> None:
    """Refuse, before data is read, devices that a model which trains on them asks for in vain.

    Raises:
        ConfigError: They are not there.
    """
    if "trainer" in MODELS.find(config["model"]["type"], "model.type").uses:
        require_device(TrainerOptions(**config["trainer"]))


def chosen_folds(folds: Iterator[Fold], only: int | None, option: str) -> Iterator[Fold]:
    """All folds, or one.

    Args:
        folds: The splitter's.
        only: Number of the one; None takes all.
        option: What asks for it, for the message.

    Raises:
        ConfigError: There is no such fold.
    """
    index = -1
    for fold in folds:
        index = fold.index
        if only in (None, index):
            yield fold
        if index == only:
            return
    if only is not None:
        raise ConfigError(f"{option} is {only}; the splitter makes the folds 0 to {index}")


def train(config: dict[str, Any], folder: Path, overrides: Sequence[str] = ()) -> None:
    """Fit the model on all rows, or on a fold's train part, and save it; the run is logged.

    Args:
        config: A checked config.
        folder: The run's folder; gets `model/`, and `summary.json` last.
        overrides: What was typed for this run.
    """
    if not config["tracking"]["skip_finished"]:
        require_unfinished(folder)
    require_saveable(config)
    spec = ModelSpec(config["model"]["name"], config, is_reference=False)
    begins_from = earlier_model(config)
    if begins_from is not None:
        spec = warm_started(spec, begins_from, keep_items=config["train"]["only_new"])
    log_unused_groups(spec, config)
    require_device_of(config)
    tracker = open_tracker(config["tracking"], needed=True)
    earlier = None if config["from_run"] is None else find_run(config["from_run"], config["tracking"])
    dataset = read_dataset(config)
    tags = identity(config, dataset, None if begins_from is None else begins_from.weights_hash)
    if results_of_before(folder, tags, tracker) is not None:
        if config["train"]["log_model"]:
            log.warning("the model was there before and is not logged or registered again; tracking.skip_finished=false trains it anew")
        return
    origin = begin_folder(folder, config, dataset, tags, overrides)
    rows = rows_to_train_on(config, dataset)
    features = dataset.item_features
    if begins_from is not None and config["train"]["only_new"]:
        rows = newer_rows(begins_from, rows)
        if begins_from.item_features is not None:  # of items that only the earlier model's data describes
            features = begins_from.item_features if features is None else features.with_others(begins_from.item_features)
        log.info("training goes on with %s rows of the %s users who have newer ones", f"{len(rows):,}", f"{rows.n_users:,}")
    title = run_name(config, dataset.item_features, overrides)
    record = run_record(title, folder, config, dataset, origin, overrides)
    forget_run(tracker, folder)
    saved = folder / MODEL_FOLDER
    state = folder / UNFINISHED / MODEL_FOLDER
    with noted(tracker, folder), tracked(tracker, record.start(tracker, "train", None, folder / RUN_FILE).run_id) as run_id:
        if saved.is_dir():
            log.info("the model was saved before")
            log_epochs(tracker, run_id, folder)
        else:
            epochs = Epochs(tracker, run_id)
            seed_everything(config["seed"], config["trainer"]["deterministic"])
            started = time.perf_counter()
            model = spec.fitted(rows, features, FitContext(state, config["seed"], epochs.log, label=spec.name))
            seconds = round(time.perf_counter() - started, 3)
            log.info("%s: fitted on %s rows in %.1f s", spec.name, f"{len(rows):,}", seconds)
            epochs.write(folder)
            trained_on = about_rows(rows, config["train"]["fold"])
            if begins_from is not None:
                trained_on["began_from"] = lineage(begins_from.provenance)
            about = {"trained_on": trained_on, "fit_seconds": seconds}
            measured = [Measured("In training, each the last epoch's that has it:", epochs.last())]
            if earlier is not None:
                differ = earlier.differences(config)
                which = f"that differs in {', '.join(differ)}" if differ else "of the same composition"
                measured.append(Measured(f"Mean over the folds of the run {earlier.place}, {which}:", earlier.metrics()))
            save_model(saved, model, config, features, origin | about, measured)
        if state.exists():
            state.rename(folder / "checkpoints")
        result = {"model": spec.name, "name": title, "run_id": run_id, "objective": {}, "facts": read_facts(saved)}
        write_json(folder / "summary.json", result)
        log_trained(tracker, run_id, folder)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    out = console()
    out.print(f"Model folder: {saved}", highlight=False, soft_wrap=True)
    if (hint := tracker.hint()) is not None:
        out.print(f"MLflow UI:  {hint}", highlight=False, soft_wrap=True)


def rows_to_train_on(config: Mapping[str, Any], dataset: Dataset) -> Interactions:
    """All rows, or the train part of `train.fold`.

    Raises:
        ConfigError: There is no such fold.
    """
    wanted = config["train"]["fold"]
    if wanted is None:
        return dataset.interactions
    (fold,) = chosen_folds(SPLITTERS.build(config["splitter"]).split(dataset.interactions), wanted, "train.fold")
    print_fold(fold)
    return fold.train


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
