"""A file of item features, wide or long, in canonical form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from recseq.data.interactions import ItemFeatures
from recseq.data.sources.columns import ids
from recseq.data.sources.files import Table, read_table
from recseq.errors import DataError
from recseq.options import did_you_mean

LONG = {"feature": pl.String, "value": pl.String}


@dataclass(frozen=True, kw_only=True)
class ItemTable:
    """Where item features are and how they lie.

    Args:
        path: CSV, TSV or Parquet file; `None` for no features.
        item_id: Column of item ids.
        layout: `wide` has a row per item and a column per feature, `long` a row per item, feature and value.
        features: Features to take; `None` takes all (wide: all columns but ids and title).
        numeric: Which of them are numbers; the others are categories.
        feature: Column of feature names, long layout only.
        value: Column of values, long layout only.
        value_separator: What separates several values in one field, spaces around them are dropped; `None` for one value a field.
        title: Column with a title for display; `None` for none.
    """

    path: str | None
    item_id: str
    layout: Literal["wide", "long"]
    features: list[str] | None
    numeric: list[str]
    feature: str
    value: str
    value_separator: str | None
    title: str | None

    def read(self, path: Path, separator: str | None) -> "Items":
        """Read the file.

        Args:
            path: The file (`self.path`, expanded).
            separator: Field separator of a text file; `None` goes by the file name.

        Raises:
            DataError: A column or a feature is missing, or an id is.
        """
        titles = [] if self.title is None else [self.title]
        if self.layout == "long":
            table = read_table(path, [self.item_id, self.feature, self.value, *titles], separator)
            long = self.from_long(table)
        else:
            # Without a list the columns are known only from the header, so all are read.
            table = read_table(path, None if self.features is None else [self.item_id, *self.features, *titles], separator)
            require_names(path, "column", [self.item_id, *titles], table.frame.columns)
            long = self.from_wide(table, [name for name in table.frame.columns if name not in (self.item_id, *titles)])
        require_names(path, "feature", self.numeric, long["feature"].unique().to_list())
        is_number = pl.col("feature").is_in(self.numeric)
        numeric = long.filter(is_number).with_columns(number=pl.col("value").cast(pl.Float64, strict=False))
        bad = numeric.filter(pl.col("number").is_null() | ~pl.col("number").is_finite())
        if not bad.is_empty():
            row, feature, value, _ = bad.row(0)
            raise DataError(f"{path}, {table.place(row)}, feature {feature!r}: the value is {value!r}, must be a finite number")
        item_id = ids(table, self.item_id)
        long = long.filter(~is_number)
        return Items(
            item_id,
            long,
            numeric.select("row", "feature", value="number"),
            table.frame[self.title].cast(pl.String) if self.title is not None else None,
        )

    def from_long(self, table: Table) -> pl.DataFrame:
        """Columns `row`, `feature`, `value` of a long table."""
        table.refuse(self.feature, table.frame[self.feature].is_null(), "the name of a feature")
        long = table.frame.select(pl.col(self.feature).cast(pl.String).alias("feature"), pl.col(self.value).alias("value"))
        long = long.with_row_index("row")
        if self.features is not None:
            require_names(table.path, "feature", self.features, long["feature"].unique().to_list())
            long = long.filter(pl.col("feature").is_in(self.features))
        return one_value_a_row(long, self.value_separator)

    def from_wide(self, table: Table, features: Sequence[str]) -> pl.DataFrame:
        """Columns `row`, `feature`, `value` of a wide table, feature by feature."""
        empty = pl.DataFrame(schema={"row": pl.UInt32, **LONG})
        parts = (table.frame.select(pl.lit(name).alias("feature"), pl.col(name).alias("value")).with_row_index("row") for name in features)
        return pl.concat([empty, *(one_value_a_row(part, self.value_separator) for part in parts)], how="vertical_relaxed")


@dataclass(frozen=True)
class Items:
    """What an item file holds.

    Args:
        item_id: Ids, one a row of the file.
        categorical: Columns `row` (into `item_id`), `feature`, `value`.
        numeric: The same columns, values Float64.
        title: Titles, one a row of the file, or None.
    """

    item_id: pl.Series
    categorical: pl.DataFrame
    numeric: pl.DataFrame
    title: pl.Series | None

    def features(self, dtype: pl.DataType) -> ItemFeatures:
        """All features, ids in the given type."""
        ids = self.item_id.cast(dtype)
        tables = [table.select(ids.gather(table["row"]).alias("item_id"), "feature", "value") for table in (self.categorical, self.numeric)]
        return ItemFeatures.from_long(*tables)

    def titles(self, dtype: pl.DataType) -> pl.DataFrame | None:
        """Columns `item_id`, `title`, the first title of each item; None without titles."""
        if self.title is None:
            return None
        titles = pl.DataFrame({"item_id": self.item_id.cast(dtype), "title": self.title})
        return titles.drop_nulls().unique("item_id", keep="first", maintain_order=True)


def one_value_a_row(long: pl.DataFrame, separator: str | None) -> pl.DataFrame:
    """Split fields with several values, spell values as text, drop missing and empty ones."""
    if isinstance(long.schema["value"], pl.List):
        long = long.explode("value")
    value = pl.col("value").cast(pl.String)
    if separator is None:
        long = long.with_columns(value)
    else:
        long = long.with_columns(value.str.split(separator)).explode("value").with_columns(pl.col("value").str.strip_chars())
    return long.filter(pl.col("value") != "")


def require_names(path: Path, what: str, wanted: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a file that lacks a column or a feature.

    Raises:
        DataError: It does.
    """
    for name in wanted:
        if name not in names:
            raise DataError(f"{path} has no {what} {name!r}; {did_you_mean(name, names)}")
