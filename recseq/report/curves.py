"""Learning curves: what `fold_<i>/epochs.csv` holds, mean over folds and seeds."""

import html
from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from recseq.report.pictures import COLOURS
from recseq.report.pivot import Folds
from recseq.report.rows import Row

DASHES = ("solid", "dash", "dot", "dashdot")


def curves_of(row: Row, folds: Folds) -> pl.DataFrame | None:
    """A model's curves.

    Returns:
        Column `epoch`, from 1, and one a recorded number: its mean over the folds and seeds that reached the epoch; None where nothing is
        recorded, as for references and models without epochs.
    """
    if row.is_reference:
        return None
    tables = [
        table
        for run in row.runs
        for fold in (run.folds if folds is None else folds)
        if (table := run.table(fold, "epochs.csv")) is not None
    ]
    if not tables:
        return None
    numbers = [table.select(pl.col("epoch"), pl.exclude("epoch").cast(pl.Float64, strict=False)) for table in tables]
    return pl.concat(numbers, how="diagonal").group_by("epoch").mean().sort("epoch")


def draw_curves(rows: Sequence[Row], folds: Folds) -> list[go.Figure]:
    """A figure for each recorded number, a line a model; none where nothing is recorded."""
    curves = {row.label: curve for row in rows if (curve := curves_of(row, folds)) is not None}
    columns = sorted({column for curve in curves.values() for column in curve.columns if column != "epoch"}, key=_order)
    return [_draw(column, {label: curve for label, curve in curves.items() if column in curve.columns}) for column in columns]


def _order(column: str) -> tuple[bool, bool, str]:
    """Training before validation, losses before metrics."""
    return (column.startswith("val_"), not column.endswith("loss"), column)


def _draw(column: str, curves: dict[str, pl.DataFrame]) -> go.Figure:
    figure = go.Figure()
    for i, (label, curve) in enumerate(curves.items()):
        known = curve.select("epoch", column).drop_nulls()
        style = {"color": COLOURS[i % len(COLOURS)], "dash": DASHES[i // len(COLOURS) % len(DASHES)], "width": 2}
        figure.add_scatter(
            x=known["epoch"].to_list(),
            y=known[column].to_list(),
            mode="lines+markers",
            name=html.escape(label),
            line=style,
            showlegend=True,
        )
    note = "<br><sup>losses of different kinds are not on one scale</sup>" if column.endswith("loss") else ""
    figure.update_layout(
        title={"text": f"{html.escape(column)} by epoch{note}", "x": 0.01, "xanchor": "left"},
        xaxis={"title": {"text": "epoch"}, "dtick": 1 if max(curve["epoch"].max() for curve in curves.values()) <= 20 else None},  # type: ignore[type-var, operator]
        yaxis={"title": {"text": html.escape(column)}, "exponentformat": "none"},
        template="plotly_white",
        height=440,
        margin={"l": 80, "r": 20, "t": 70, "b": 60},
    )
    return figure
