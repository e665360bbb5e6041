"""Ids that the user gives, as a file or a list, and tables of them in the types that they are compared in."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recseq.data.interactions import Interactions
from recseq.data.sources.columns import ids, integers_if_lossless
from recseq.data.sources.files import read_table
from recseq.errors import ConfigError


def read_ids(given: Sequence[int | str] | str | None, column: str, where: str) -> pl.Series | None:
    """Distinct ids, by their first appearance; integers where each is written as one.

    Args:
        given: A CSV, TSV or Parquet file, a list, or None.
        column: The file's column.
        where: The option, for messages.

    Returns:
        The ids, named like the column; None for None.

    Raises:
        ConfigError: There is none.
        DataError: The file cannot be read, lacks the column, or an id is missing.
    """
    if given is None:
        return None
    if isinstance(given, str):
        found = ids(read_table(Path(given).expanduser(), [column], None), column)
    else:
        found = integers_if_lossless(pl.Series([str(each) for each in given], dtype=pl.String))
    if found.is_empty():
        raise ConfigError(f"{where} has no id")
    return found.unique(maintain_order=True).alias(column)


def as_type(given: pl.Series, kind: pl.DataType) -> pl.Series:
    """Ids as a type, Int64 or String; null where a text is not exactly what an integer would be written as."""
    if given.dtype == kind or kind == pl.String:
        return given.cast(kind)
    whole = given.cast(pl.Int64, strict=False)
    same = (whole.cast(pl.String) == given).fill_null(False)
    return whole.set(~same, None)


def with_item_type(interactions: Interactions, kind: pl.DataType) -> Interactions:
    """Interactions with items in a vocabulary's type; rows of items that cannot be in it are left out."""
    if interactions.frame.schema["item_id"] == kind:
        return interactions
    items = as_type(interactions.frame["item_id"], kind)
    return interactions.with_rows(interactions.frame.with_columns(items.alias("item_id")).drop_nulls("item_id"))


def with_common_type(users: pl.Series, interactions: Interactions) -> tuple[pl.Series, Interactions]:
    """Users and interactions with user ids of one type: texts, where one side has integers and the other has not."""
    if users.dtype == interactions.frame.schema["user_id"]:
        return users, interactions
    return users.cast(pl.String), interactions.with_rows(interactions.frame.with_columns(pl.col("user_id").cast(pl.String)))
