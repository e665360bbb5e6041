"""What a fold's train part says of items and users, counted once for all models of the fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recseq.data.interactions import ItemFeatures

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """Items of a fold's train part and how popular they are there. An item's number is its place in `item_ids`.

    Args:
        item_ids: Train items in the order of their first row, (n,).
        rows: Train rows of each item, (n,).
        train: Columns `user_id`, `item_id`; what only some metrics need is counted when they ask.
        item_features: What is known of items besides; None for nothing.
    """

    item_ids: pl.Series
    rows: Ints
    train: pl.DataFrame
    item_features: ItemFeatures | None = None

    @classmethod
    def from_train(cls, train: pl.DataFrame, item_features: ItemFeatures | None = None) -> "Catalogue":
        """Count a fold's train part.

        Args:
            train: Columns `user_id`, `item_id` and any others.
            item_features: Features of items, in train or not.
        """
        items = train.lazy().select("item_id").with_row_index("row").group_by("item_id").agg(rows=pl.len(), first=pl.col("row").min())
        counted = items.sort("first").collect()
        return cls(counted["item_id"], counted["rows"].to_numpy().astype(np.int64), train.select("user_id", "item_id"), item_features)

    @property
    def n_items(self) -> int:
        """Catalogue size, n."""
        return len(self.item_ids)

    @property
    def n_rows(self) -> int:
        """Train rows."""
        return self.train.height

    @cached_property
    def n_users(self) -> int:
        """Distinct train users."""
        return self.train["user_id"].n_unique()

    @cached_property
    def users(self) -> Ints:
        """Distinct train users of each item, (n,)."""
        counted = self.train.group_by("item_id").agg(users=pl.col("user_id").n_unique())
        frame = pl.DataFrame({"item_id": self.item_ids}).join(counted, on="item_id", how="left", maintain_order="left")
        return frame["users"].to_numpy().astype(np.int64)

    @cached_property
    def pop_rank(self) -> Ints:
        """Dense rank of each item's train rows, (n,): the most popular items have 1, equally popular ones the same rank."""
        return np.unique(-self.rows, return_inverse=True)[1] + 1

    def popularity_bands(self, borders: Sequence[float]) -> Ints:
        """Band of each item when items, most popular first, are cut where they hold given shares of the train rows, (n,).

        An item is in the first band whose border lies above the share that more popular items hold: the item on a border belongs to
        the band of more popular ones. Ties are broken by first appearance, as everywhere.

        Args:
            borders: Shares in (0, 1), increasing: `[0.2, 0.8]` cuts into head (0), mid (1) and tail (2).
        """
        order = np.argsort(-self.rows, kind="stable")
        held = np.cumsum(self.rows[order]) - self.rows[order]
        bands = np.empty(self.n_items, dtype=np.int64)
        bands[order] = np.searchsorted(borders, held / self.n_rows, side="right")
        return bands


def encode(ids: pl.Series, known: pl.Series) -> Ints:
    """Place of each id in `known`, -1 for an id that is not there.

    Args:
        ids: Ids, (N,).
        known: Distinct ids.
    """
    places = pl.DataFrame({"id": known, "place": pl.int_range(len(known), dtype=pl.Int64, eager=True)})
    found = pl.DataFrame({"id": ids}).join(places, on="id", how="left", maintain_order="left")
    return found["place"].fill_null(-1).to_numpy()


def encode_runs(ids: pl.Series, known: pl.Series) -> Ints:
    """The same, looking up runs of equal ids once: a table of recommendations names a user k times in a row."""
    runs = ids.rle().struct.unnest()
    return np.repeat(encode(runs["value"], known), runs["len"].to_numpy())
