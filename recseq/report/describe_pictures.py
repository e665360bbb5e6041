"""Four pictures of a dataset: lengths of histories, popularity, rows over time, folds. Plotly for a page, matplotlib for PNG."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from recseq.data.description import Description
from recseq.data.interactions import NO_TIMES

# Colours that stay apart for people who see few of them (after Okabe and Ito, 2008).
MAIN, SHADE = "#0072B2", "#E69F00"
PARTS = ("#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#56B4E9", "#999999")
TITLES = ("Users with at least so many rows", "Popularity of items", "Rows {per}, test ranges shaded", "Test rows of the folds")
PER = {"1h": "an hour", "1d": "a day", "1w": "a week"}
CURVE_POINTS = 500

Folds = Sequence[Mapping[str, Any]]


def at_least(description: Description) -> tuple[list[int], list[float]]:
    """Lengths, and the share of users whose history is at least so long."""
    lengths = description.lengths
    share = lengths["n_users"].cum_sum(reverse=True) / lengths["n_users"].sum()
    return lengths["length"].to_list(), share.to_list()


def popularity_curve(description: Description) -> tuple[list[int], list[int]]:
    """Rank and rows of items; of many items ranks evenly spaced on a log scale."""
    n = len(description.popularity)
    ranks = np.unique(np.geomspace(1, n, CURVE_POINTS).round().astype(np.int64))
    return ranks.tolist(), description.popularity[ranks - 1].tolist()


def fold_parts(folds: Folds) -> dict[str, list[int]]:
    """Test rows of each fold by what became of them: kept, or dropped by a filter."""
    names = dict.fromkeys(name for fold in folds for name in fold if name.startswith("dropped_"))
    parts = {"kept": [int(fold["test_rows"]) for fold in folds]}
    return parts | {name.replace("_", " ").replace("dropped", "dropped:"): [int(fold.get(name, 0)) for fold in folds] for name in names}


def with_range(folds: Folds) -> Folds:
    """The folds that test a range of time; none of data without times."""
    return [fold for fold in folds if fold["test_start"] is not None]


def titles(description: Description) -> list[str]:
    """Titles of the four."""
    return [title.format(per=PER[description.every]) for title in TITLES]


def draw_interactive(description: Description, folds: Folds) -> go.Figure:
    """The four for a browser."""
    figure = make_subplots(rows=2, cols=2, subplot_titles=titles(description), horizontal_spacing=0.1, vertical_spacing=0.16)
    line = {"color": MAIN, "width": 2}
    x, y = at_least(description)
    figure.add_scatter(x=x, y=y, line=line, mode="lines+markers" if len(x) < 20 else "lines", name="users", showlegend=False, row=1, col=1)
    ranks, counts = popularity_curve(description)
    figure.add_scatter(x=ranks, y=counts, mode="lines", line=line, name="items", showlegend=False, row=1, col=2)
    time = description.rows_over_time
    figure.add_scatter(
        x=time["start"].to_list(), y=time["n_rows"].to_list(), mode="lines", line=line, name="rows", showlegend=False, row=2, col=1
    )
    for place, fold in enumerate(with_range(folds)):
        shade = {"fillcolor": SHADE, "opacity": (0.35, 0.2)[place % 2], "line_width": 0}  # neighbours stay apart
        figure.add_vrect(x0=fold["test_start"], x1=fold["test_end"], row=2, col=1, **shade)
    names = [f"fold {fold['fold']}" for fold in folds]
    for place, (name, values) in enumerate(fold_parts(folds).items()):
        figure.add_bar(x=names, y=values, name=html.escape(name), marker_color=PARTS[place % len(PARTS)], row=2, col=2)
    if time.is_empty():
        figure.add_annotation(text=NO_TIMES, showarrow=False, xref="x3 domain", yref="y3 domain", x=0.5, y=0.5)
    if not folds:
        figure.add_annotation(text="no folds", showarrow=False, xref="x4 domain", yref="y4 domain", x=0.5, y=0.5)
    figure.update_xaxes(title_text="rows a user", type="log", row=1, col=1)
    figure.update_yaxes(title_text="share of users", tickformat=".0%", rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title_text="rank", type="log", row=1, col=2)
    figure.update_yaxes(title_text="rows an item", type="log", row=1, col=2)
    figure.update_yaxes(title_text="rows", rangemode="tozero", row=2, col=1)
    figure.update_yaxes(title_text="rows", row=2, col=2)
    figure.update_layout(template="plotly_white", height=760, barmode="stack", margin={"l": 70, "r": 20, "t": 60, "b": 50})
    return figure


def draw_png(description: Description, folds: Folds, path: Path) -> None:
    """The four on paper."""
    figure = Figure(figsize=(11, 7.6), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    (lengths, popularity), (time, parts) = figure.subplots(2, 2)
    for axes, title in zip((lengths, popularity, time, parts), titles(description), strict=True):
        axes.set_title(title, loc="left", fontsize=11)
        axes.grid(color="#eeeeee")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    lengths.plot(*at_least(description), color=MAIN, marker="o" if description.lengths.height < 20 else None)
    lengths.set(xscale="log", xlabel="rows a user", ylabel="share of users", ylim=(0, 1.03))
    lengths.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    popularity.plot(*popularity_curve(description), color=MAIN)
    popularity.set(xscale="log", yscale="log", xlabel="rank", ylabel="rows an item")
    over_time: pl.DataFrame = description.rows_over_time
    time.plot(over_time["start"].to_numpy(), over_time["n_rows"].to_numpy(), color=MAIN, linewidth=1)
    for place, fold in enumerate(with_range(folds)):
        time.axvspan(fold["test_start"], fold["test_end"], color=SHADE, alpha=(0.35, 0.2)[place % 2], linewidth=0)
    if over_time.is_empty():
        time.text(0.5, 0.5, NO_TIMES, transform=time.transAxes, ha="center")
    locator = AutoDateLocator()
    time.xaxis.set_major_locator(locator)
    time.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    time.set(ylabel="rows")
    time.set_ylim(bottom=0)
    time.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    bottom = np.zeros(len(folds))
    for place, (name, values) in enumerate(fold_parts(folds).items()):
        parts.bar([f"fold {fold['fold']}" for fold in folds], values, bottom=bottom, width=0.6, label=name, color=PARTS[place % len(PARTS)])
        bottom += values
    if folds:
        parts.legend(fontsize=9, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
        parts.set_xlim(-1, len(folds))
        parts.margins(y=0.05)
    else:
        parts.text(0.5, 0.5, "no folds", transform=parts.transAxes, ha="center")
    parts.set(ylabel="rows")
    parts.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    figure.suptitle(
        f"{description.label}: {description.n_rows:,} rows, {description.n_users:,} users, {description.n_items:,} items".replace(
            "$", r"\$"
        ),
        x=0.01,
        ha="left",
    )
    figure.savefig(path, format="png")
