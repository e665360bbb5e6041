"""From a table of ratings to interactions: a lowest rating, a weight, ids that stay texts."""

from typing import Literal

import polars as pl

from recseq.data.interactions import Interactions
from recseq.data.sources.columns import datetimes, ids, numbers
from recseq.data.sources.files import Table

Weight = Literal["one", "rating"]


def rated_interactions(
    table: Table, user: str, item: str, rating: str, time: str, unit: str, *, min_rating: float | None, weight: Weight
) -> tuple[Interactions, list[str]]:
    """Interactions of a file with a rating a row.

    Args:
        table: The file.
        user: Column of users; ids stay texts.
        item: Column of items; ids stay texts, whatever they look like ("0000031852").
        rating: Column of ratings.
        time: Column of times.
        unit: `unix_s` or `unix_ms`.
        min_rating: Rows with a lower rating are dropped; None keeps all.
        weight: Weight of an interaction: 1 or its rating.

    Returns:
        Interactions, and notes on dropped rows.

    Raises:
        DataError: A value is missing or broken; the message names file, line, column and value.
    """
    frame = pl.DataFrame(
        {
            "user_id": ids(table, user).cast(pl.String),
            "item_id": ids(table, item).cast(pl.String),
            "datetime": datetimes(table, time, unit),
            "weight": numbers(table, rating),
        }
    )
    notes = []
    if min_rating is not None:
        kept = frame.filter(pl.col("weight") >= min_rating)
        notes.append(f"{frame.height - kept.height:,} of {frame.height:,} rows have a rating below {min_rating:g} and are dropped")
        frame = kept
    if weight == "one":
        frame = frame.with_columns(weight=pl.lit(1.0, pl.Float32))
    return Interactions(frame), notes
