"""`mode=describe`: what the data is and what the chosen splitter leaves of it, as tables, as one page and as one picture."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly
import polars as pl
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.table import Table

from recseq.data.description import TOP_ITEMS, Description, describe_dataset
from recseq.data.interactions import NO_TIMES, Dataset
from recseq.errors import DataError
from recseq.files import write_json, write_text, written_aside
from recseq.report.describe_pictures import draw_interactive, draw_png
from recseq.report.terminal import console
from recseq.splitting import SPLITTERS, Fold, Splitter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Text:
    """A table for people.

    Args:
        title: Its head line.
        heads: Heads of the columns; the first one is text, the others numbers.
        rows: Texts.
    """

    title: str
    heads: list[str]
    rows: list[list[str]]


def describe(config: Mapping[str, Any], dataset: Dataset, folder: Path) -> None:
    """Describe a dataset: print tables, and write the same as `description.json`, `.html` (last) and `.png`, `features.csv`, `folds.csv`.

    Args:
        config: A checked config.
        dataset: The data, preprocessed.
        folder: Where the files go.
    """
    write_text(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))
    description = describe_dataset(dataset)
    folds, refused = describe_folds(SPLITTERS.build(config["splitter"]), dataset)
    if refused is not None:
        log.warning("the chosen splitter does not fit the data: %s", refused)
    table = pl.DataFrame(folds, infer_schema_length=None)
    write_json(folder / "description.json", numbers(description) | {"folds": folds, "splitter_refused": refused})
    for name, frame in (("features.csv", description.features), ("folds.csv", table)):
        with written_aside(folder / name) as aside:
            frame.write_csv(aside)
    with written_aside(folder / "description.png") as aside:
        draw_png(description, folds, aside)
    texts = [text for text in tables(description, folds) if text.rows]
    write_text(folder / "description.html", page(description, folds, texts, refused))
    out = console()
    for text in texts:
        out.print(rich_table(text))
    if refused is not None:
        out.print(f"No folds: {refused}", highlight=False, soft_wrap=True)
    out.print(f"Page: {folder / 'description.html'}", highlight=False, soft_wrap=True)


def describe_folds(splitter: Splitter, dataset: Dataset) -> tuple[list[dict[str, Any]], str | None]:
    """What each fold holds and what each filter drops of its test part.

    Returns:
        One row a fold, and the reason where the splitter refuses the data: that is worth knowing too.
    """
    rows: list[dict[str, Any]] = []
    try:
        rows.extend(fold_row(fold) for fold in splitter.split(dataset.interactions))
    except DataError as error:
        return rows, str(error)
    return rows, None


def fold_row(fold: Fold) -> dict[str, Any]:
    """Range (None without times), sizes and dropped rows of a fold; `test_rows_before` counts the test part before its filters."""
    timed = fold.test.clock == "time"
    return {
        "fold": fold.index,
        "test_start": fold.test_start if timed else None,
        "test_end": fold.test_end if timed else None,
        "test_rows_before": fold.test.frame.height + sum(fold.dropped.values()),
        **{f"dropped_{name}": count for name, count in fold.dropped.items()},
        **fold.counts,
    }


def numbers(description: Description) -> dict[str, Any]:
    """The description as JSON takes it, without the curves."""
    left_out = {"lengths", "popularity", "rows_over_time", "every", "features"}
    found = {name: value for name, value in vars(description).items() if name not in left_out}
    return found | {
        "length_quantiles": {f"{level:g}": value for level, value in description.length_quantiles.items()},
        "features": description.features.to_dicts(),
    }


def tables(description: Description, folds: Sequence[Mapping[str, Any]]) -> list[Text]:
    """All tables: sizes, lengths, steps of preprocessing, features, folds; empty ones have no rows."""
    d = description
    sizes = [
        ["rows", f"{d.n_rows:,}"],
        ["users", f"{d.n_users:,}"],
        ["items", f"{d.n_items:,}"],
        *span(d),
        ["density", percent(d.density, 4)],
        ["rows that share user and time with another", percent(d.tied_share)],
        ["rows that repeat an earlier user and item", percent(d.repeat_share)],
        ["rows with the item of the user's row before", percent(d.consecutive_share)],
        [f"rows of the {TOP_ITEMS} most popular items", percent(d.top_share)],
        ["rows of the most popular 1 % of items", percent(d.top_percent_share)],
        ["Gini coefficient of rows an item", f"{d.gini:.4f}"],
    ]
    levels = [("least" if level == 0 else "most" if level == 1 else f"{level:.0%}") for level in d.length_quantiles]
    lengths = ["rows a user", f"{d.mean_length:.2f}", *(f"{value:,}" for value in d.length_quantiles.values()), percent(d.single_row_users)]
    features = [
        [
            *(row["feature"], row["kind"], f"{row['n_values']:,}", f"{row['values_per_item']:.2f}", f"{row['n_items']:,}"),
            *(percent(row["item_coverage"]), percent(row["row_coverage"])),
        ]
        for row in d.features.iter_rows(named=True)
    ]
    dropped = list(dict.fromkeys(name for fold in folds for name in fold if name.startswith("dropped_")))
    sizes_of_fold = [f"{part}_{what}" for part in ("train", "test") for what in ("rows", "users", "items")]
    columns = [*sizes_of_fold[:3], "test_rows_before", *dropped, *sizes_of_fold[3:]]
    heads = [name.replace("test_rows_before", "test rows before filters").replace("_", " ") for name in columns]
    return [
        Text(d.label, ["", "value"], sizes),
        Text("Histories", ["", "mean", *levels, "one row only"], [lengths]),
        Text("Preprocessing, in this order", ["step", "dropped rows"], [[name, f"{count:,}"] for name, count in d.dropped.items()]),
        Text("Item features", ["feature", "kind", "values", "values an item", "items with one", "of items taken", "of rows"], features),
        Text(
            "Folds",
            ["fold", *heads],
            [
                [
                    f"{fold['fold']}" + (f": {fold['test_start']} to {fold['test_end']}" if fold["test_start"] else ""),
                    *(f"{fold.get(name, 0):,}" for name in columns),
                ]
                for fold in folds
            ],
        ),
    ]


def span(description: Description) -> list[list[str]]:
    """Rows of the table of sizes that say when the data was."""
    first, last = description.first, description.last
    if first is None or last is None:
        return [["from, to", NO_TIMES]]
    return [["from", str(first)], ["to", str(last)], ["days", f"{(last - first).total_seconds() / 86400:,.1f}"]]


def percent(share: float, digits: int = 2) -> str:
    """A share for people."""
    return f"{100 * share:.{digits}f} %"


def rich_table(text: Text) -> Table:
    """The table for a terminal."""
    table = Table(title=text.title, title_justify="left")
    for place, head in enumerate(text.heads):
        table.add_column(head, justify="right" if place else "left")
    for row in text.rows:
        table.add_row(*row)
    return table


def page(description: Description, folds: Sequence[Mapping[str, Any]], texts: Sequence[Text], refused: str | None) -> str:
    """One HTML file that needs nothing else; every text is escaped."""
    environment = Environment(
        loader=PackageLoader("recseq.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    figure = draw_interactive(description, folds)
    return environment.get_template("description.html.j2").render(
        title=description.label,
        notes=[*description.notes, *([f"No folds: {refused}"] if refused is not None else [])],
        texts=texts,
        plotly=Markup(plotly.offline.get_plotlyjs()),
        # plotly escapes what could end its script
        figure=Markup(figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True})),
    )
