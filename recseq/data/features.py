"""Item features laid out for a vocabulary, as item-net blocks take them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
import torch

from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError, DataError
from recseq.options import did_you_mean


def choose_features(table: pl.DataFrame, features: list[str] | None, where: str) -> pl.DataFrame:
    """Rows of the named features of a long table; all rows for None.

    Args:
        table: Columns `item_id`, `feature`, `value`.
        features: Names.
        where: Config path of the names, for messages.

    Raises:
        ConfigError: A feature that the data does not have.
    """
    if features is None:
        return table
    names = table["feature"].unique().to_list()
    for name in features:
        if name not in names:
            raise ConfigError(f"{where} names {name!r}, the data has no such feature; {did_you_mean(name, names)}")
    return table.filter(pl.col("feature").is_in(features))


@dataclass(frozen=True)
class Categories:
    """Categories of items as compressed sparse rows.

    Args:
        columns: `feature`, `value` and `column` (its number) of each category, (C,).
        indices: Category columns of all rows end to end, (nnz,) int64.
        offsets: Row i owns `indices[offsets[i]:offsets[i + 1]]`, (n_rows + 1,) int64.
    """

    columns: pl.DataFrame
    indices: torch.Tensor
    offsets: torch.Tensor

    @classmethod
    def of_vocabulary(cls, long: pl.DataFrame, vocabulary: Vocabulary, n_rows: int) -> Self:
        """Lay out the categories of a vocabulary's items; what only other items have makes no column.

        Args:
            long: Columns `item_id`, `feature`, `value`.
            vocabulary: The model's items; item i has row i.
            n_rows: Rows of the item matrix; padding and MASK own no category.

        Raises:
            DataError: No item has a category.
        """
        known = long.join(vocabulary.table, on="item_id", how="semi")
        columns = known.select("feature", "value").unique().sort("feature", "value").with_row_index("column")
        if columns.is_empty():
            raise DataError("no item that the model trains on has a category; use item_net=[ids]")
        return cls.of_columns(long, vocabulary, n_rows, columns)

    @classmethod
    def of_columns(cls, long: pl.DataFrame, vocabulary: Vocabulary, n_rows: int, columns: pl.DataFrame) -> Self:
        """The same for given columns; other categories are left out."""
        encoded = (
            long.join(vocabulary.table, on="item_id", how="inner")
            .join(columns, on=["feature", "value"], how="inner")
            .select("item", "column")
            .sort("item", "column")
        )
        counts = np.bincount(encoded["item"].to_numpy(), minlength=n_rows)
        return cls(
            columns=columns,
            indices=torch.from_numpy(encoded["column"].to_numpy().astype(np.int64)),
            offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
        )


@dataclass(frozen=True)
class Standardisation:
    """How numeric features become comparable: minus the mean, over the standard deviation, of the items of training.

    Args:
        features: `feature`, `mean`, `std` and `column` (its number), (F,). Features that are constant are not in it.
    """

    features: pl.DataFrame

    @classmethod
    def of_vocabulary(cls, long: pl.DataFrame, vocabulary: Vocabulary) -> Self:
        """Mean and standard deviation over the vocabulary's items, missing values left out.

        Args:
            long: Columns `item_id`, `feature`, `value` (Float64); several values of one item are averaged.
            vocabulary: The model's items.

        Raises:
            DataError: No feature varies.
        """
        known = mean_per_item(long).join(vocabulary.table, on="item_id", how="semi")
        found = known.group_by("feature").agg(mean=pl.col("value").mean(), std=pl.col("value").std())
        varying = found.filter(pl.col("std") > 1e-12 * pl.col("mean").abs().clip(lower_bound=1e-300)).sort("feature")
        if varying.is_empty():
            raise DataError("no numeric feature varies over the items that the model trains on; leave item_net block 'numeric' out")
        return cls(varying.with_row_index("column"))

    def apply(self, long: pl.DataFrame, vocabulary: Vocabulary, n_rows: int) -> torch.Tensor:
        """Standardised values and, for each feature, whether the value is there.

        Returns:
            (n_rows, 2F) float32: F values, 0 where missing, then F marks, 1 where there is a value.
        """
        encoded = mean_per_item(long).join(vocabulary.table, on="item_id", how="inner").join(self.features, on="feature", how="inner")
        n_features = self.features.height
        values = torch.zeros(n_rows, 2 * n_features)
        row = torch.from_numpy(encoded["item"].to_numpy().astype(np.int64))
        column = torch.from_numpy(encoded["column"].to_numpy().astype(np.int64))
        scaled = (encoded["value"] - encoded["mean"]) / encoded["std"]
        values[row, column] = torch.from_numpy(scaled.to_numpy().astype(np.float32))
        values[row, column + n_features] = 1.0
        return values


def mean_per_item(long: pl.DataFrame) -> pl.DataFrame:
    """One row an item and feature: the mean of its values."""
    return long.group_by("item_id", "feature", maintain_order=True).agg(pl.col("value").mean())
