"""Draws a picture: plotly for HTML, matplotlib for PNG."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import ScalarFormatter

from recseq.report.numbering import number_points
from recseq.report.points import Picture, Point, axis_label

# Colours that stay apart for people who see few of them (after Okabe and Ito, 2008); shapes tell apart what shares a colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C564B")
SHAPES = (
    ("circle", "o"),
    ("square", "s"),
    ("diamond", "D"),
    ("triangle-up", "^"),
    ("x", "X"),
    ("triangle-down", "v"),
    ("star", "*"),
    ("cross", "P"),
)
FRONT_COLOUR = "#888888"
LEGEND_ROWS = 28  # of a PNG; more points take more columns
MAX_NUMBERS = 40  # more points are not numbered
MAX_LEGEND = 84  # more cannot be told apart anyway


def _styles(picture: Picture) -> Iterator[tuple[str, list[tuple[Point, str, int]]]]:
    """Groups with their points, each with colour and number of its shape: no two points of a picture share both while there are enough."""
    groups = picture.groups
    alone = all(len(points) == 1 for points in groups.values())
    for i, (name, points) in enumerate(groups.items()):
        shapes = [i // len(COLOURS) + i if alone else j + i // len(COLOURS) for j in range(len(points))]
        yield name, [(point, COLOURS[i % len(COLOURS)], shape % len(SHAPES)) for point, shape in zip(points, shapes, strict=True)]


def _is_grouped(picture: Picture) -> bool:
    return picture.color != "model"


def interactive(picture: Picture) -> go.Figure:
    """The picture for a browser: legend beside it, a tooltip with all numbers of a model, the Pareto front."""
    figure = go.Figure()
    if picture.front:
        xs, ys = picture.staircase()
        line = {"color": FRONT_COLOUR, "dash": "dot", "width": 1.5}
        same: dict[str, Any] = {"legendgroup": "Pareto front", "hoverinfo": "skip", "name": "Pareto front"}
        figure.add_scatter(x=xs, y=ys, mode="lines", line=line, showlegend=False, **same)
        ring = {"symbol": "circle-open", "size": 22, "color": FRONT_COLOUR}
        places = {"x": [point.x.mean for point in picture.front], "y": [point.y.mean for point in picture.front]}
        figure.add_scatter(**places, mode="markers", marker=ring, legendrank=10000, **same)
    for name, styled in _styles(picture):
        for place, (point, colour, shape) in enumerate(styled):
            title = {"legendgrouptitle": {"text": html.escape(f"{picture.color}: {name}")}} if _is_grouped(picture) and place == 0 else {}
            group = {"legendgroup": name} if _is_grouped(picture) else {}
            figure.add_scatter(
                x=[point.x.mean],
                y=[point.y.mean],
                error_x=_bar(point.x.std),
                error_y=_bar(point.y.std),
                mode="markers",
                name=html.escape(point.label),
                marker={"color": colour, "symbol": SHAPES[shape][0], "size": 12, "opacity": 0.8, "line": {"color": "white", "width": 1}},
                hovertemplate=_tooltip(point),
                **group,
                **title,
            )
    axis = {"exponentformat": "none", "showline": True, "linecolor": "#444", "gridcolor": "#eee", "zeroline": False, "ticks": "outside"}
    figure.update_layout(
        title={"text": f"{html.escape(picture.title)}<br><sup>{html.escape(picture.subtitle)}</sup>", "x": 0.01, "xanchor": "left"},
        xaxis={"title": {"text": html.escape(axis_label(picture.x))}, **axis},
        yaxis={"title": {"text": html.escape(axis_label(picture.y))}, **axis},
        legend={
            "groupclick": "toggleitem",
            "tracegroupgap": 6,
            "font": {"size": 12},
            "x": 1.02,
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
        },
        template="plotly_white",
        height=620,
        margin={"l": 90, "r": 20, "t": 80, "b": 70},
        hoverlabel={"align": "left"},
    )
    return figure


def _bar(std: float | None) -> dict[str, object] | None:
    return None if not std else {"type": "data", "array": [std], "thickness": 1, "width": 3}


def _tooltip(point: Point) -> str:
    lines = [f"<b>{html.escape(point.label)}</b>" + (" (on the Pareto front)" if point.on_front else "")]
    lines += [f"{html.escape(name)}: {html.escape(value)}" for name, value in point.details]
    return "<br>".join(lines).replace("%{", "% {") + "<extra></extra>"


def write_html(picture: Picture, path: Path) -> None:
    """One file that needs nothing else, plotly.js included."""
    interactive(picture).write_html(path, include_plotlyjs=True, config={"displaylogo": False})


def write_png(picture: Picture, path: Path) -> None:
    """The picture on paper; the small number beside a point stands before its name in the legend too, for points that cover each other."""
    figure = Figure(figsize=(8.5, 5.6), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    handles: list[Line2D] = []
    numbers = {point.label: str(i) for i, point in enumerate(picture.points, start=1)}
    ring: dict[str, Any] = {"color": FRONT_COLOUR, "marker": "o", "markersize": 15, "fillstyle": "none"}
    if picture.front:
        axes.plot(*picture.staircase(), color=FRONT_COLOUR, linestyle=":", linewidth=1.3, zorder=1)
        axes.plot([point.x.mean for point in picture.front], [point.y.mean for point in picture.front], linestyle="", zorder=2, **ring)
    for name, styled in _styles(picture):
        if _is_grouped(picture):
            handles.append(Line2D([], [], linestyle="", label=_plain(f"{picture.color}: {name}")))
        for point, colour, shape in styled:
            marker: dict[str, Any] = {"color": colour, "marker": SHAPES[shape][1], "markersize": 8, "alpha": 0.8}
            edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.7, "linestyle": ""}
            bars: dict[str, Any] = {"xerr": point.x.std or None, "yerr": point.y.std or None, "elinewidth": 0.8, "capsize": 2}
            axes.errorbar(point.x.mean, point.y.mean, zorder=3, **bars, **marker, **edge)
            handles.append(Line2D([], [], label=_plain(f"{numbers[point.label]}  {point.label}"), **marker, **edge))
    if picture.front:
        handles.append(Line2D([], [], label="Pareto front", linestyle=":", **ring | {"markersize": 8}))
    axes.set_xlabel(_plain(axis_label(picture.x)))
    axes.set_ylabel(_plain(axis_label(picture.y)))
    for each in (axes.xaxis, axes.yaxis):
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        each.set_major_formatter(formatter)
    axes.grid(color="#eeeeee", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(0.07)
    axes.set_title(f"{_plain(picture.title)}\n", loc="left", fontsize=13)
    axes.text(0, 1.02, _plain(picture.subtitle), transform=axes.transAxes, fontsize=9, color="#555555")
    if len(handles) <= MAX_LEGEND:
        columns = 1 + (len(handles) - 1) // LEGEND_ROWS
        legend = axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.02), fontsize=9, frameon=False, ncols=columns)
        for handle, text in zip(handles, legend.get_texts(), strict=True):
            if handle.get_marker() == "None" and handle.get_linestyle() == "None":  # the head of a group
                text.set_fontweight("bold")
    if len(numbers) <= MAX_NUMBERS:
        figure.canvas.draw()  # settles the limits
        number_points(axes, [(numbers[point.label], point.x.mean, point.y.mean) for point in picture.points])
    figure.savefig(path, format="png", bbox_inches="tight")


def _plain(text: str) -> str:
    """Text in which matplotlib sees no formula."""
    return text.replace("$", r"\$")
