"""What a report shows of the runs that were found: the options, held against what the runs have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from recseq.errors import ConfigError
from recseq.report.comparison import find_baseline
from recseq.report.options import ReportOptions
from recseq.report.pivot import Folds, rank
from recseq.report.points import choose_axes
from recseq.report.rows import Row, check_colour, check_folds, make_rows
from recseq.report.runs import FinishedRun, Found

T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """What is shown.

    Args:
        runs: The runs.
        rows: The models, best first.
        folds: The folds; None for all of each run.
        axes: Columns of the picture, across and up.
        color: What it is coloured by.
        baseline: The row that the others are tested against.
        notes: What a reader must know.
    """

    runs: list[FinishedRun]
    rows: list[Row]
    folds: Folds
    axes: tuple[str, str]
    color: str
    baseline: Row
    notes: list[str]

    @property
    def datasets(self) -> str:
        """Names of the data."""
        return " and ".join(dict.fromkeys(run.dataset for run in self.runs))

    @property
    def description(self) -> str:
        """Data, folds and seeds in a line."""
        folds = sorted({fold for run in self.runs for fold in run.folds}) if self.folds is None else list(self.folds)
        tables = [run.metrics.filter(pl.col("fold").is_in(folds)) for run in self.runs]
        start, end = min(table["test_start"].min() for table in tables), max(table["test_end"].max() for table in tables)  # type: ignore[type-var]
        return f"{self.datasets}, {_counted('fold', folds)} ({str(start)[:10]} to {str(end)[:10]}), {_counted('seed', self.seeds)}"

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs."""
        return sorted({run.seed for run in self.runs})

    @property
    def by_split(self) -> list[list[Row]]:
        """The rows by the folds that they were tested on."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row.split_hash, []).append(row)
        return list(groups.values())

    @property
    def origin(self) -> list[tuple[str, str]]:
        """Program, commits and devices of the runs."""
        found = []
        for name, key in (("recseq", "recseq"), ("commit", "git_commit"), ("device", "device"), ("python", "python")):
            values = dict.fromkeys(str(run.provenance[key])[:12] for run in self.runs if run.provenance.get(key) is not None)
            if values:
                found.append((name, ", ".join(values)))
        return found


def select(found: Found, options: ReportOptions, strict: bool) -> Selection:
    """Hold the options against the runs.

    Args:
        found: The runs.
        options: The `report` group.
        strict: Refuse what the runs do not have; else take what they have and note it, as at the end of a sweep.

    Raises:
        ConfigError: An option names what no run has, when strict.
    """
    notes = list(found.notes)

    def settle(check: Callable[[], T], otherwise: T) -> T:
        try:
            return check()
        except ConfigError as error:
            if strict:
                raise
            notes.append(str(error))
            return otherwise

    everything: tuple[list[FinishedRun], list[str], Folds] = (found.runs, [], None)
    runs, left_out, folds = settle(lambda: (*check_folds(found.runs, options.folds), options.folds), everything)
    notes += left_out
    rows = rank(make_rows(runs), runs[0].objective, folds)
    color = settle(lambda: check_colour(rows, options.color), "model")
    baseline = settle(lambda: find_baseline(rows, options.baseline), rows[0])
    axes, changed = choose_axes(rows, folds, options.x, options.y, strict)
    notes += changed
    if len({row.split_hash for row in rows}) > 1:
        notes.append("The models were tested on different data or folds: numbers of different ones are not comparable.")
    return Selection(runs, rows, folds, axes, color, baseline, notes)


def _counted(word: str, numbers: Sequence[int]) -> str:
    return f"{word}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
