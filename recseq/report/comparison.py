"""The models beside one of them, user by user, where they were tested on the same users."""

from collections.abc import Sequence

import polars as pl

from recseq.errors import ConfigError
from recseq.metrics.significance import SCHEMA, SignificanceOptions, compare_models
from recseq.options import did_you_mean
from recseq.report.pivot import Folds
from recseq.report.rows import Row, metric_columns


def find_baseline(rows: Sequence[Row], name: str) -> Row:
    """The row that the others are tested against.

    Args:
        rows: Best first.
        name: A label or the name of a model, or `best`.

    Raises:
        ConfigError: No such row, or several of the name.
    """
    if name == "best":
        return rows[0]
    found = [row for row in rows if row.label == name] or [row for row in rows if row.model == name]
    if not found:
        raise ConfigError(f"report.baseline is {name!r}; {did_you_mean(name, ['best', *(row.label for row in rows)])}")
    if len(found) > 1:
        raise ConfigError(f"report.baseline is {name!r}, which may be any of {', '.join(row.label for row in found)}; give one of these")
    return found[0]


def per_user(row: Row, folds: Folds) -> pl.DataFrame:
    """Metrics of every user, mean over seeds.

    Returns:
        Columns `model` (the label), `fold`, `user_id` and the metrics.
    """
    tables = []
    for run in row.runs:
        for fold in run.folds if folds is None else folds:
            table = run.table(fold, "per_user.parquet")
            if table is not None:
                mine = table.filter(pl.col("model") == row.model).drop("model")
                tables.append(mine.select(pl.lit(fold, pl.Int64).alias("fold"), pl.all()))
    if not tables:
        return pl.DataFrame(schema={"model": pl.String, "fold": pl.Int64, "user_id": pl.Int64})
    together = pl.concat(tables, how="diagonal_relaxed").group_by("fold", "user_id", maintain_order=True).mean()
    return together.select(pl.lit(row.label).alias("model"), pl.all())


def compare(rows: Sequence[Row], baseline: Row, folds: Folds, options: SignificanceOptions, seed: int) -> tuple[pl.DataFrame, list[str]]:
    """Test the others against the baseline.

    Args:
        rows: All models.
        baseline: One of them.
        folds: Selected folds.
        options: Of the tests.
        seed: Of the resampling.

    Returns:
        The table of `compare_models` with the baseline as `model`, and notes about the models that cannot be compared with it.
    """
    same = [row for row in rows if row.split_hash == baseline.split_hash]
    notes = [
        f"{row.label} is not comparable with {baseline.label}: it was tested on other folds or data" for row in rows if row not in same
    ]
    tables = {row.label: per_user(row, folds) for row in same}
    empty = [label for label, table in tables.items() if table.is_empty()]
    notes += [f"{label} is not comparable: its runs have no per_user.parquet" for label in empty]
    known = [table for label, table in tables.items() if label not in empty]
    others = [row.label for row in same if row.label not in {baseline.label, *empty}]
    if baseline.label in empty or not others:
        return pl.DataFrame(schema=SCHEMA), notes
    metrics = [column for column in metric_columns(same) if all(column in table.columns for table in known)]
    return compare_models(pl.concat(known, how="diagonal_relaxed"), baseline.label, others, metrics, options, seed), notes
