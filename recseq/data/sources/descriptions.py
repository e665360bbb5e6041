"""What a file says of items, one row each, as features and titles of the items that were taken."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from recseq.data.interactions import ItemFeatures

PRICE = r"^\s*\$?\s*([0-9][0-9,]*\.?[0-9]*)\s*$"
"""One number of dollars; a range of prices, "Free to Play" or a text says no price."""


@dataclass(frozen=True)
class Descriptions:
    """Features and titles of a dataset's items.

    Args:
        features: None where no item has any.
        titles: Columns `item_id`, `title`.
        notes: What could not be used, for the log.
    """

    features: ItemFeatures | None
    titles: pl.DataFrame
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        taken: pl.Series,
        item_id: pl.Series,
        title: pl.Series,
        categorical: Mapping[str, pl.Series],
        numeric: Mapping[str, pl.Series],
    ) -> "Descriptions":
        """Keep what describes items that were taken; of several rows of one item the first counts.

        Args:
            taken: Item ids of interactions.
            item_id: Item ids of the rows, of the same type; rows without one are left out.
            title: Titles of the rows.
            categorical: A column of texts, or of lists (of lists) of texts, for each feature.
            numeric: A column of Float64 for each feature.
        """
        table = pl.DataFrame({"item_id": item_id, "title": title, **categorical, **numeric}).drop_nulls("item_id")
        known = table.height
        table = table.unique("item_id", keep="first", maintain_order=True)
        repeated = known - table.height
        table = table.filter(pl.col("item_id").is_in(taken.unique().implode()))
        bare = taken.n_unique() - table.height
        long = [values(table, name) for name in categorical]
        numbers = [table.select("item_id", feature=pl.lit(name), value=name) for name in numeric]
        features = ItemFeatures.from_long(pl.concat(long), pl.concat(numbers) if numbers else None) if long else None
        if features is None and numbers:
            features = ItemFeatures.from_long(pl.concat(numbers).clear(), pl.concat(numbers))
        notes = []
        if repeated:
            notes.append(f"{repeated:,} rows describe an item again; the first of each item counts")
        if bare:
            notes.append(f"{bare:,} items have interactions but no description")
        found = features is not None and bool(len(features.categorical) or len(features.numeric))
        titles = table.select("item_id", pl.col("title").str.strip_chars()).filter(pl.col("title") != "")
        return cls(features if found else None, titles, tuple(notes))


def values(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """A feature as a long table: one row an item and value, spaces around values and empty ones dropped."""
    long = table.select("item_id", feature=pl.lit(name), value=name)
    while isinstance(long.schema["value"], pl.List):
        long = long.explode("value")
    return long.with_columns(pl.col("value").cast(pl.String).str.strip_chars()).filter(pl.col("value") != "")


def prices(texts: pl.Series) -> pl.Series:
    """Dollars of texts such as "3.17" and "$1,299.00" as Float64; null where a text is no single price."""
    return texts.str.extract(PRICE).str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False)
