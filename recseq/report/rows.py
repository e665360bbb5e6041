"""The lines of a report: one a model and configuration, over its seeds."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from recseq.environment import NOT_IDENTITY
from recseq.errors import ConfigError
from recseq.metrics.summary import over_seeds
from recseq.models import MODELS
from recseq.options import did_you_mean
from recseq.report.runs import FinishedRun
from recseq.tracking import flatten

# Groups that a model may have no use for; what their keys say of such a run means nothing.
OPTIONAL_GROUPS = ("loss", "item_net", "optimizer", "scheduler", "trainer", "validation")
NO_BLOCKS = "-"
MAX_KEYS_IN_LABEL = 3


@dataclass(frozen=True)
class Row:
    """One model in one configuration.

    Args:
        label: What tables and pictures call it; no two rows share one.
        model: Its name in the runs' files.
        runs: The runs that scored it; they differ in nothing but their seed.
        is_reference: It comes from runs of other models.
        settings: Its flat config without what has no effect on it; empty for a reference.
        item_net: Its item-net blocks, `ids+categories`; `-` where it has no use for them.
    """

    label: str
    model: str
    runs: Sequence[FinishedRun]
    is_reference: bool
    settings: Mapping[str, Any]
    item_net: str

    @property
    def split_hash(self) -> str:
        """Identity of its folds."""
        return self.runs[0].split_hash

    def scores(self, run: FinishedRun, folds: Sequence[int] | None) -> pl.DataFrame:
        """Rows of the run's `metrics.csv` that are this model's, of the selected folds."""
        mine = run.metrics.filter(pl.col("model") == self.model)
        return mine if folds is None else mine.filter(pl.col("fold").is_in(list(folds)))

    def spread(self, column: str, folds: Sequence[int] | None) -> "Spread | None":
        """Mean over folds and seeds and standard deviation over seeds; None where no run has the column."""
        tables = [table for run in self.runs if column in (table := self.scores(run, folds)).columns and table[column].count()]
        if not tables:
            return None
        found = over_seeds([table.select("model", "fold", "seed", column) for table in tables])[self.model][column]
        return Spread(found["mean"], found.get("seed_std"), int(found["n_seeds"]))


@dataclass(frozen=True)
class Spread:
    """Mean, standard deviation over seeds (n - 1; None of a single seed) and number of seeds."""

    mean: float
    std: float | None
    n: int


def make_rows(runs: Sequence[FinishedRun]) -> list[Row]:
    """The runs as rows, in their order: seeds together, a reference model only where no run of its own shows it, labels distinct."""
    groups: dict[str, list[FinishedRun]] = defaultdict(list)
    for run in runs:
        groups[run.experiment_hash].append(run)
    rows = [
        Row(
            members[0].model,
            members[0].model,
            sorted(members, key=lambda run: run.seed),
            False,
            settings_of(members[0]),
            blocks_of(members[0]),
        )
        for members in groups.values()
    ]
    shown = {(row.model, row.split_hash) for row in rows}
    references: dict[tuple[str, str], dict[int, FinishedRun]] = defaultdict(dict)
    for run in runs:
        for name in run.models[:-1]:
            if (name, run.split_hash) not in shown:
                references[name, run.split_hash].setdefault(run.seed, run)
    for (name, _), by_seed in references.items():
        members = [by_seed[seed] for seed in sorted(by_seed)]
        item_net = NO_BLOCKS if name in MODELS.names() and "item_net" not in MODELS.find(name, name).uses else "reference"
        rows.append(Row(name, name, members, True, {}, item_net))
    return [replace(row, label=label) for row, label in zip(rows, _labels(rows), strict=True)]


def settings_of(run: FinishedRun) -> dict[str, Any]:
    """Flat config of a run without its seed, what cannot change a result, and groups that its model has no use for."""
    ignored = ["seed", "size", *NOT_IDENTITY]  # sizes are in the model's keys, which take them from there
    name = str(run.config["model"]["type"])
    if name in MODELS.names():
        ignored += [group for group in OPTIONAL_GROUPS if group not in MODELS.find(name, name).uses]
    flat = flatten(run.config)
    return {key: value for key, value in flat.items() if not any(key == path or key.startswith(f"{path}.") for path in ignored)}


def blocks_of(run: FinishedRun) -> str:
    """Item-net blocks of a run's model, as fitted; `-` for a model without."""
    fitted = [name.removeprefix("n_parameters_item_net_") for name in run.facts() if name.startswith("n_parameters_item_net_")]
    uses = any(key.startswith("item_net.") for key in settings_of(run))
    names = fitted or [name for name in run.config["item_net"] if name != "auto"]
    return "+".join(sorted(names, key=lambda name: (name != "ids", name))) if uses else NO_BLOCKS


def varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys that are not the same in all settings, in the order they appear; a key that is missing somewhere varies."""
    keys = dict.fromkeys(key for each in settings for key in each)
    return [key for key in keys if len({repr(each.get(key, _MISSING)) for each in settings}) > 1]


_MISSING = object()


def _labels(rows: Sequence[Row]) -> list[str]:
    """The model's name, and what tells rows of one name apart: what runs are called where that does, else what differs."""
    by_name: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_name[row.model].append(index)
    labels = [row.model for row in rows]
    for name, indices in by_name.items():
        if len(indices) == 1:
            continue
        same = [rows[index] for index in indices]
        titles = [f"{name} (reference)" if row.is_reference else _title(row) for row in same]
        if None not in titles and len(set(titles)) == len(titles):
            for index, title in zip(indices, titles, strict=True):
                labels[index] = str(title)
            continue
        keys = [key for key in varying([row.settings for row in same]) if key != "model.name"]
        ends = [key.rpartition(".")[2] for key in keys]
        short = keys if len(set(ends)) < len(ends) else ends
        for number, (index, row) in enumerate(zip(indices, same, strict=True), start=1):
            told = [f"{end}={row.settings[key]}" for key, end in zip(keys, short, strict=True) if key in row.settings]
            if row.is_reference:
                told = ["reference"]
            labels[index] = f"{name} ({', '.join(told)})" if 0 < len(told) <= MAX_KEYS_IN_LABEL else f"{name} #{number}"
        if len({labels[index] for index in indices}) < len(indices):  # the same settings on other data
            for number, index in enumerate(indices, start=1):
                labels[index] = f"{name} #{number}"
    return labels


def _title(row: Row) -> str | None:
    """What the row's runs are called, without their seeds; None where they are called unlike or do not say."""
    titles = {re.sub(r"-seed=\d+", "", str(run.summary.get("name", ""))) for run in row.runs}
    return titles.pop() or None if len(titles) == 1 else None


def metric_columns(rows: Iterable[Row]) -> list[str]:
    """Columns of all metrics that some row has, cut-off by cut-off as the runs have them."""
    return list(dict.fromkeys(column for row in rows for run in row.runs for column in run.metrics.columns if "@" in column))


def colour_of(row: Row, by: str) -> str:
    """The value that a picture colours a row by."""
    if by == "model":
        return row.label
    if by == "item_net":
        return row.item_net
    return str(row.settings.get(by, NO_BLOCKS))


def check_colour(rows: Sequence[Row], by: str) -> str:
    """What a picture is coloured by, when it is something.

    Raises:
        ConfigError: It is no key of any run.
    """
    keys = {key for row in rows for key in row.settings}
    if by not in keys | {"model", "item_net"}:
        raise ConfigError(f"report.color is {by!r}; {did_you_mean(by, ['model', 'item_net', *keys])}")
    return by


def check_folds(runs: Sequence[FinishedRun], folds: Sequence[int] | None) -> tuple[list[FinishedRun], list[str]]:
    """The runs that have all the selected folds, and notes about the others.

    Raises:
        ConfigError: None has.
    """
    if folds is None:
        return list(runs), []
    kept = [run for run in runs if set(folds) <= set(run.folds)]
    if not folds or not kept:
        there = sorted({fold for run in runs for fold in run.folds})
        raise ConfigError(f"report.folds is {list(folds)}; the runs have the folds {', '.join(map(str, there))}")
    return kept, [f"{run.folder} is left out: it has the folds {', '.join(map(str, run.folds))}" for run in runs if run not in kept]
