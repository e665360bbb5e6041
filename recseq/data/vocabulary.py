"""The two-way map between the outside's item ids and the model's integers."""

from dataclasses import dataclass
from functools import cached_property

import polars as pl


@dataclass(frozen=True)
class Vocabulary:
    """Items that a model knows: item 0 is padding, 1..n_items are real, n_items+1 is MASK where the objective needs one.

    Args:
        item_ids: Distinct item ids; the one at index i is item i + 1.
    """

    item_ids: pl.Series

    @classmethod
    def from_items(cls, item_ids: pl.Series) -> "Vocabulary":
        """Sorted distinct ids, so that the map does not depend on row order."""
        return cls(item_ids.unique().sort().alias("item_id"))

    @property
    def n_items(self) -> int:
        """Number of real items, V."""
        return self.item_ids.len()

    @property
    def mask_item(self) -> int:
        """The integer of MASK."""
        return self.n_items + 1

    @cached_property
    def table(self) -> pl.DataFrame:
        """Columns `item_id` and `item` (Int32)."""
        return pl.DataFrame([self.item_ids, pl.int_range(1, self.n_items + 1, dtype=pl.Int32, eager=True).alias("item")])

    def encode(self, item_ids: pl.Series) -> pl.Series:
        """Items (Int32) of item ids in their order; null where unknown."""
        keys = pl.DataFrame([item_ids.alias("item_id")])
        return keys.join(self.table, on="item_id", how="left", maintain_order="left")["item"]

    def decode(self, items: pl.Series) -> pl.Series:
        """Item ids of real items (1..n_items)."""
        return self.item_ids.gather(items - 1)
