"""Tables in the terminal."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from recseq.splitting import Fold

Summary = Mapping[str, Mapping[str, Mapping[str, float]]]


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


def print_results(label: str, folds: pl.DataFrame, summary: Summary, model: str, folder: Path, hint: str | None) -> None:
    """The result table, the run folder and the command that opens the tracker's UI.

    Args:
        label: The dataset's name for people.
        folds: The table of `metrics.csv`.
        summary: Mean, std and n by model and metric.
        model: The model asked for; its row is emphasised.
        folder: The run's folder.
        hint: Command that shows the run in the tracker.
    """
    n_folds = folds["fold"].n_unique()
    table = Table(
        title=f"{label}, {n_folds} fold{'s' if n_folds > 1 else ''}" + (", mean ± std" if n_folds > 1 else ""), title_justify="left"
    )
    columns = [name for name in folds.columns if "@" in name or name.endswith("_seconds")]
    columns = [name for name in columns if "@" in name] + [name for name in columns if "@" not in name]
    table.add_column("model", no_wrap=True)
    for name in columns:
        table.add_column(name.replace("_seconds", " s"), justify="right")
    for name, values in summary.items():
        cells = [_cell(column, values[column]) if column in values else "" for column in columns]
        table.add_row(name, *cells, style="bold" if name == model else None)
    out = console()
    out.print(table)
    out.print(f"Run folder: {folder}", highlight=False, soft_wrap=True)
    if hint is not None:
        out.print(f"MLflow UI:  {hint}", highlight=False, soft_wrap=True)


def _cell(column: str, values: Mapping[str, float]) -> str:
    if column.endswith("_seconds"):
        return f"{values['mean']:.1f}"
    return number(values["mean"]) + (f" ± {number(values['std'])}" if "std" in values else "")


def number(value: float) -> str:
    """Six decimals as the field's tables have them, fewer for large numbers."""
    return f"{value:.6f}" if abs(value) < 10 else f"{value:,.2f}"
