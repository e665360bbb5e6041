"""The report as one HTML file that needs nothing else: no network, no file beside it."""

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from recseq.report.differences import Differences
from recseq.report.direction import lower_is_better
from recseq.report.examples import Examples
from recseq.report.terminal import number

FIGURE_OPTIONS = {"displaylogo": False, "responsive": True}


@dataclass(frozen=True)
class Page:
    """What the page shows.

    Args:
        title: Head line.
        facts: Pairs of name and text about data, folds and program.
        notes: What a reader must know of it all.
        heads: Heads of the pivot table.
        lines: Its texts.
        marks: Which of them are the best of their column.
        runs: The table of single runs.
        comparison: From `compare`.
        baseline: Label of the model that the others are tested against.
        test: How they are tested.
        comparison_notes: Who cannot be compared.
        pictures: Figures by caption.
        curves: Learning curves.
        differences: From `config_differences`.
        examples: Users and items.
    """

    title: str
    facts: list[tuple[str, str]]
    notes: list[str]
    heads: list[str]
    lines: list[list[str]]
    marks: list[list[bool]]
    runs: pl.DataFrame
    comparison: pl.DataFrame
    baseline: str
    test: str
    comparison_notes: list[str]
    pictures: list[go.Figure]
    curves: list[go.Figure]
    differences: Differences
    examples: list[Examples]


def render(page: Page) -> str:
    """The page as HTML; every text is escaped, plotly.js is in it once."""
    environment = Environment(
        loader=PackageLoader("recseq.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = _number
    environment.filters["figure"] = _figure
    metrics = [] if page.comparison.is_empty() else page.comparison["metric"].unique(maintain_order=True).to_list()
    return environment.get_template("page.html.j2").render(
        page=page,
        plotly=Markup(get_plotlyjs()),
        run_columns=[column for column in page.runs.columns if column not in ("split_hash", "run_id")],
        runs=page.runs.to_dicts(),
        comparison=_by_model(page.comparison),
        comparison_metrics=metrics,
        lower={metric for metric in metrics if lower_is_better(metric)},
    )


def _by_model(comparison: pl.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """Rows of the comparison by other model and metric."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for line in comparison.iter_rows(named=True):
        found.setdefault(line["other"], {})[line["metric"]] = line
    return found


def _number(value: object) -> str:
    return number(value) if isinstance(value, float) else "" if value is None else str(value)


def _figure(figure: go.Figure) -> Markup:
    # plotly escapes what could end its script; the texts inside were escaped when the figure was made
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, config=FIGURE_OPTIONS))
