"""The pivot table: models down, metrics across, means over the selected folds and over seeds."""

from collections.abc import Sequence

import polars as pl
from rich.table import Table

from recseq.report.direction import lower_is_better
from recseq.report.rows import Row, Spread, metric_columns
from recseq.report.terminal import console, number

Folds = Sequence[int] | None


def rank(rows: Sequence[Row], objective: str, folds: Folds) -> list[Row]:
    """Best first by a column; rows without it last, in their order."""
    sign = 1 if lower_is_better(objective) else -1

    def key(row: Row) -> tuple[bool, float]:
        spread = row.spread(objective, folds)
        return (spread is None, sign * spread.mean if spread is not None else 0.0)

    return sorted(rows, key=key)


def pivot_table(rows: Sequence[Row], folds: Folds) -> pl.DataFrame:
    """The table as numbers.

    Returns:
        Columns `model`, `item_net`, `n` (seeds) and the metrics' means, one row a model; where some model has several seeds also
        `<metric>_std`, their standard deviation.
    """
    several = any(len(row.runs) > 1 for row in rows)
    lines = []
    for row in rows:
        line: dict[str, object] = {"model": row.label, "item_net": row.item_net, "n": len(row.runs)}
        for column in metric_columns(rows):
            spread = row.spread(column, folds)
            line[column] = None if spread is None else spread.mean
            if several:
                line[f"{column}_std"] = None if spread is None else spread.std
        lines.append(line)
    return pl.DataFrame(lines, infer_schema_length=None)


def runs_table(rows: Sequence[Row], folds: Folds) -> pl.DataFrame:
    """The leaderboard of single runs.

    Returns:
        Columns `rank`, `model`, `seed`, `item_net`, `dataset`, means over folds of metrics and seconds, `split_hash`, `run_id`, `folder`;
        rows in the order of the models, then by seed.
    """
    lines = []
    for row in rows:
        for run in row.runs:
            table = row.scores(run, folds)
            seconds = [column for column in table.columns if column.endswith("_seconds")]
            line = {"model": row.label, "seed": run.seed, "item_net": row.item_net, "dataset": run.dataset}
            line |= {column: table[column].mean() if column in table.columns else None for column in [*metric_columns(rows), *seconds]}
            line |= {"split_hash": run.split_hash, "run_id": run.summary["run_id"] or None, "folder": str(run.folder)}
            lines.append(line)
    return pl.DataFrame(lines, infer_schema_length=None).with_row_index("rank", offset=1)


def cells(rows: Sequence[Row], folds: Folds) -> tuple[list[str], list[list[str]], list[list[bool]]]:
    """The table for people.

    Returns:
        Heads of the columns; texts of the lines, `0.107672 ± 0.000100`; and which of them are the best of their column.
    """
    columns = metric_columns(rows)
    several = any(len(row.runs) > 1 for row in rows)
    spreads = [[row.spread(column, folds) for column in columns] for row in rows]
    heads = ["model", "item net", *(["n"] if several else []), *columns]
    bests = [_best(column, [line[i] for line in spreads]) for i, column in enumerate(columns)]
    texts, marks = [], []
    for row, line in zip(rows, spreads, strict=True):
        first = [row.label, row.item_net, *([str(len(row.runs))] if several else [])]
        texts.append([*first, *(spread_text(spread) for spread in line)])
        is_best = [spread is not None and spread.mean == best for spread, best in zip(line, bests, strict=True)]
        marks.append([False] * len(first) + is_best)
    return heads, texts, marks


def _best(column: str, spreads: Sequence[Spread | None]) -> float | None:
    """The best mean of a column; None where all are the same, for then none is best."""
    means = {spread.mean for spread in spreads if spread is not None}
    if len(means) < 2:
        return None
    return min(means) if lower_is_better(column) else max(means)


def spread_text(spread: Spread | None) -> str:
    """Mean, and standard deviation where there is one, to the same decimals."""
    if spread is None:
        return ""
    text = number(spread.mean)
    return text if spread.std is None else f"{text} ± {spread.std:,.{len(text.rpartition('.')[2])}f}"


def markdown(rows: Sequence[Row], folds: Folds) -> str:
    """The table in Markdown, the best of each column bold."""
    heads, texts, marks = cells(rows, folds)
    numbers = heads.index("item net") + 1
    ruler = ["---"] * numbers + ["---:"] * (len(heads) - numbers)
    body = [
        [f"**{text}**" if best else text.replace("|", "\\|") for text, best in zip(*line, strict=True)]
        for line in zip(texts, marks, strict=True)
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, ruler, *body))


def print_pivot(rows: Sequence[Row], folds: Folds, title: str) -> None:
    """The table in the terminal, the best of each column bold."""
    heads, texts, marks = cells(rows, folds)
    table = Table(title=title, title_justify="left")
    numbers = heads.index("item net") + 1
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i < numbers else "right", no_wrap=i == 0)
    for line, best in zip(texts, marks, strict=True):
        table.add_row(*(f"[bold]{text}[/bold]" if mark else text.replace("[", "\\[") for text, mark in zip(line, best, strict=True)))
    console().print(table)
