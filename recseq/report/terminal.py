"""Tables in the terminal."""

import math
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from recseq.metrics.significance import TESTS, Significance
from recseq.metrics.summary import Summary, is_measure
from recseq.splitting import Fold


def console() -> Console:
    """Standard output; wide enough for a table where it is not a terminal."""
    out = Console()
    return out if out.is_terminal else Console(width=240)


def print_fold(fold: Fold) -> None:
    """One line a fold: range, sizes, and what each filter dropped."""
    counts = fold.counts
    dropped = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in fold.dropped.items())
    span = "" if fold.train.clock == "steps" else f" test {fold.test_start} to {fold.test_end};"
    console().print(
        f"Fold {fold.index}:{span} "
        f"train {counts['train_rows']:,} rows, {counts['train_users']:,} users, {counts['train_items']:,} items; "
        f"test {counts['test_rows']:,} rows, {counts['test_users']:,} users, {counts['test_items']:,} items; "
        f"dropped rows: {dropped or 'none'}",
        highlight=False,
        soft_wrap=True,
    )


def print_results(
    label: str, folds: pl.DataFrame, summary: Summary, model: str, significance: Significance, folder: Path, hint: str | None
) -> None:
    """The result tables, the run folder and the command that opens the tracker's UI.

    Args:
        label: The dataset's name for people.
        folds: The table of `metrics.csv`.
        summary: Mean, std and n by model and metric.
        model: The model asked for; its row is emphasised and marked where it differs from every reference model.
        significance: Its intervals and comparisons.
        folder: The run's folder.
        hint: Command that shows the run in the tracker.
    """
    n_folds = folds["fold"].n_unique()
    table = Table(
        title=f"{label}, {n_folds} fold{'s' if n_folds > 1 else ''}" + (", mean ± std" if n_folds > 1 else ""), title_justify="left"
    )
    columns = [name for name in folds.columns if is_measure(name)]
    columns = [name for name in columns if "@" in name] + [name for name in columns if "@" not in name]
    table.add_column("model", no_wrap=True)
    for name in columns:
        table.add_column(name.replace("_seconds", " s"), justify="right")
    out = console()
    higher_lower = ("^", "v") if out.options.ascii_only else ("▲", "▼")
    marks = _marks(significance.comparisons, *higher_lower)
    for name, values in summary.items():
        cells = [_cell(column, values[column]) if column in values else "" for column in columns]
        if name == model:
            cells = [f"{marks[column]} {cell}" if column in marks else cell for cell, column in zip(cells, columns, strict=True)]
        table.add_row(name, *cells, style="bold" if name == model else None)
    out.print(table)
    out.print(_intervals(model, significance, *higher_lower))
    out.print(_legend(significance, *higher_lower), highlight=False, soft_wrap=True)
    out.print(f"Run folder: {folder}", highlight=False, soft_wrap=True)
    if hint is not None:
        out.print(f"MLflow UI:  {hint}", highlight=False, soft_wrap=True)


def _intervals(model: str, significance: Significance, higher: str, lower: str) -> Table:
    """A row a metric: the model's mean and its difference from each reference model, each with its interval."""
    others = significance.comparisons["other"].unique(maintain_order=True).to_list()
    table = Table(title=f"{model} with {_percent(significance)} intervals", title_justify="left")
    table.add_column("metric", no_wrap=True)
    for heading in (model, *(f"{model} - {other}" for other in others)):
        table.add_column(heading, justify="right")
    compared = {(row["metric"], row["other"]): row for row in significance.comparisons.iter_rows(named=True)}
    for row in significance.intervals.iter_rows(named=True):
        cells = [_with_interval(row["mean"], row["low"], row["high"])]
        for other in others:
            found = compared.get((row["metric"], other))
            cell = "" if found is None else _with_interval(found["difference"], found["low"], found["high"], sign="+")
            if found is not None and found["significant"]:
                cell = f"{higher if found['difference'] > 0 else lower} {cell}"
            cells.append(cell)
        table.add_row(row["metric"], *cells)
    return table


def _marks(comparisons: pl.DataFrame, higher: str, lower: str) -> dict[str, str]:
    """The mark of each metric in which the model is significantly higher, or lower, than every reference model."""
    marks, n_others = {}, comparisons["other"].n_unique()
    for (metric,), rows in comparisons.group_by("metric", maintain_order=True):
        if rows["significant"].all() and rows.height == n_others:
            if (rows["difference"] > 0).all():
                marks[str(metric)] = higher
            elif (rows["difference"] < 0).all():
                marks[str(metric)] = lower
    return marks


def _legend(significance: Significance, higher: str, lower: str) -> str:
    """What marks and intervals are."""
    options, others = significance.options, significance.comparisons["other"].unique(maintain_order=True).to_list()
    bootstrap = (
        f"Intervals: percentile bootstrap, {options.n_resamples:,} resamples of the test users; of this training run, not of others."
    )
    if not others:
        return bootstrap
    holm = ", Holm's correction" if len(others) > 1 else ""
    than = others[0] if len(others) == 1 else f"each of {', '.join(others)}"
    return f"{higher} {lower} significantly higher, lower than {than}: {TESTS[options.test]}{holm}, {_percent(significance)}. {bootstrap}"


def _percent(significance: Significance) -> str:
    return f"{100 * significance.options.confidence:g} %"


def _with_interval(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """`0.4122 [0.3897, 0.4344]`: four digits of the largest, six decimals at most; differences three; empty without a value."""
    if value is None or low is None or high is None:
        return ""
    largest = max(abs(value), abs(low), abs(high))
    digits = 3 if sign else 4
    decimals = digits if largest == 0 else min(max(digits - 1 - math.floor(math.log10(largest)), 0), 6)
    shown = [f"{round(x, decimals) + 0.0:{sign},.{decimals}f}" for x in (value, low, high)]  # + 0.0: no minus before a zero
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _cell(column: str, values: Mapping[str, float]) -> str:
    if column.endswith("_seconds"):
        return f"{values['mean']:.1f}"
    return number(values["mean"]) + (f" ± {number(values['std'])}" if "std" in values else "")


def number(value: float) -> str:
    """Six decimals as the field's tables have them, fewer for large numbers."""
    return f"{value:.6f}" if abs(value) < 10 else f"{value:,.2f}"
