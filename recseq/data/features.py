"""Item features laid out for a vocabulary, as item-net blocks take them."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from recseq.data.interactions import ItemFeatures
from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError
from recseq.options import did_you_mean


@dataclass(frozen=True)
class Categories:
    """Categories of each item as compressed sparse rows.

    Args:
        columns: `feature` and `value` of each category column, (C,).
        indices: Category columns of all items end to end, (nnz,) int64.
        offsets: Item i (0 is padding) owns `indices[offsets[i]:offsets[i + 1]]`, (n_rows + 1,) int64; padding and MASK own none.
    """

    columns: pl.DataFrame
    indices: torch.Tensor
    offsets: torch.Tensor

    @classmethod
    def from_features(cls, item_features: ItemFeatures, vocabulary: Vocabulary, n_rows: int, features: list[str] | None) -> "Categories":
        """Lay out the categories of the vocabulary's items; what only other items have makes no column.

        Args:
            item_features: All features.
            vocabulary: The model's items.
            n_rows: Rows of the item matrix: items plus special tokens.
            features: Features to take; None takes all.

        Raises:
            ConfigError: A feature that the data does not have.
        """
        long = item_features.categorical
        if features is not None:
            for name in features:
                if name not in item_features.features:
                    hint = did_you_mean(name, item_features.features)
                    raise ConfigError(f"item_net.categories.features names {name!r}, the data has no such feature; {hint}")
            long = long.filter(pl.col("feature").is_in(features))
        known = long.join(vocabulary.table, on="item_id", how="inner")
        columns = known.select("feature", "value").unique().sort("feature", "value").with_row_index("column")
        encoded = known.join(columns, on=["feature", "value"], how="inner").sort("item", "column")
        counts = np.bincount(encoded["item"].to_numpy(), minlength=n_rows)
        return cls(
            columns=columns.select("feature", "value"),
            indices=torch.from_numpy(encoded["column"].to_numpy().astype(np.int64)),
            offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
        )

    @property
    def n_columns(self) -> int:
        """Number of distinct (feature, value) pairs, C."""
        return self.columns.height
