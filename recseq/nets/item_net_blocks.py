"""Item-net blocks: what makes vectors of items, of their ids or of their features."""

import logging
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import torch
from torch import nn

from recseq.data.features import Categories, Standardisation, choose_features
from recseq.data.interactions import ItemFeatures
from recseq.data.item_vectors import read_item_vectors
from recseq.data.vocabulary import Vocabulary
from recseq.nets.dropout import Dropout
from recseq.nets.item_net import ITEM_NET_BLOCKS, ItemNetBlock, copy_parameters, copy_rows
from recseq.options import DropoutRate


@ITEM_NET_BLOCKS.register("ids")
class IdsBlock(ItemNetBlock):
    """An embedding of its own for every item.

    Args:
        n_rows: Rows of the item matrix, R.
        n_factors: Width, D.
        dropout: Dropout on the vectors. RecTools had it until 0.16, so its published table has; 0 since.
    """

    def __init__(self, *, n_rows: int, n_factors: int, dropout: DropoutRate) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_rows, n_factors)
        self.dropout = Dropout(dropout)

    def take_over(self, earlier: nn.Module, own_rows: torch.Tensor, their_rows: torch.Tensor) -> None:
        """By item."""
        assert isinstance(earlier, type(self))
        copy_rows(self.embedding.weight, earlier.embedding.weight, own_rows, their_rows)

    def forward(self) -> torch.Tensor:
        """The table itself, (R, D)."""
        return self.dropout(self.embedding.weight)

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows of the table, (U, D)."""
        return self.dropout(nn.functional.embedding(rows, self.embedding.weight, sparse=True))


class FeatureBlock(ItemNetBlock):
    """Base of blocks that know an item by a table of features.

    Args:
        item_features: Features of items.
        features: Names of the features to take; None takes all.
        dropout: Dropout on the vectors.

    Attributes:
        config_path: Where the block's options are, for messages.
    """

    config_path: ClassVar[str]

    def __init__(self, *, item_features: ItemFeatures, features: list[str] | None, dropout: DropoutRate) -> None:
        super().__init__()
        self.long = choose_features(self.table_of(item_features), features, f"{self.config_path}.features")
        self.dropout = Dropout(dropout)

    @staticmethod
    @abstractmethod
    def table_of(item_features: ItemFeatures) -> pl.DataFrame:
        """The long table that the block is built from."""

    @classmethod
    def available(cls, item_features: ItemFeatures | None) -> bool:
        """Whether the table has a row."""
        return item_features is not None and not cls.table_of(item_features).is_empty()

    def described_items(self) -> pl.Series:
        """Items with a row."""
        return self.long["item_id"].unique()


@ITEM_NET_BLOCKS.register("categories")
class CategoriesBlock(FeatureBlock):
    """Sum of the embeddings of an item's categories, then dropout; zero for an item without any, for padding and MASK.

    Args:
        n_rows: Rows of the item matrix, R.
        n_factors: Width, D.
        vocabulary: The model's items.
        features: Options of `FeatureBlock`.
    """

    config_path = "item_net.categories"

    @staticmethod
    def table_of(item_features: ItemFeatures) -> pl.DataFrame:
        """The categorical features."""
        return item_features.categorical

    def __init__(self, *, n_rows: int, n_factors: int, vocabulary: Vocabulary, **features: Any) -> None:
        super().__init__(**features)
        categories = Categories.of_vocabulary(self.long, vocabulary, n_rows)
        self.columns = categories.columns
        self.embedding = nn.EmbeddingBag(self.columns.height, n_factors, mode="sum", include_last_offset=True)
        self.indices: torch.Tensor
        self.offsets: torch.Tensor
        self.register_buffer("indices", categories.indices)
        self.register_buffer("offsets", categories.offsets)

    def take_over(self, earlier: nn.Module, own_rows: torch.Tensor, their_rows: torch.Tensor) -> None:
        """By feature and value."""
        assert isinstance(earlier, type(self))
        both = self.columns.join(earlier.columns, on=["feature", "value"], how="inner", suffix="_there")
        rows = (torch.from_numpy(both[name].to_numpy().astype("int64")) for name in ("column", "column_there"))
        copy_rows(self.embedding.weight, earlier.embedding.weight, *rows)

    def forward(self) -> torch.Tensor:
        """Sums of category embeddings, (R, D)."""
        return self.dropout(self.embedding(self.indices, self.offsets))

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Sums of category embeddings, (U, D)."""
        starts, counts = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        offsets = nn.functional.pad(counts.cumsum(0), (1, 0))
        places = torch.arange(int(offsets[-1]), device=rows.device) + torch.repeat_interleave(starts - offsets[:-1], counts)
        return self.dropout(self.embedding(self.indices[places], offsets))

    def of_new_items(self, new: Vocabulary) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums over the categories that training has seen."""
        layout = Categories.of_columns(self.long, new, new.n_items + 1, self.columns)
        device = self.indices.device
        vectors = self.embedding(layout.indices.to(device), layout.offsets.to(device))
        return vectors[1:], layout.offsets.diff()[1:].to(device) > 0


@ITEM_NET_BLOCKS.register("numeric")
class NumericBlock(FeatureBlock):
    """Numeric features, standardised over the items of training, through a linear layer, then dropout.

    A missing value enters as the mean (0 after standardisation) with a mark of its own; constant features are left out; padding and MASK
    have none and get zero.

    Args:
        n_rows: Rows of the item matrix, R.
        n_factors: Width, D.
        vocabulary: The model's items.
        features: Options of `FeatureBlock`.
    """

    config_path = "item_net.numeric"

    @staticmethod
    def table_of(item_features: ItemFeatures) -> pl.DataFrame:
        """The numeric features."""
        return item_features.numeric

    def __init__(self, *, n_rows: int, n_factors: int, vocabulary: Vocabulary, **features: Any) -> None:
        super().__init__(**features)
        self.standardisation = Standardisation.of_vocabulary(self.long, vocabulary)
        self.inputs: torch.Tensor
        self.register_buffer("inputs", self.standardisation.apply(self.long, vocabulary, n_rows))
        self.linear = nn.Linear(2 * self.standardisation.features.height, n_factors, bias=False)

    def take_over(self, earlier: nn.Module, own_rows: torch.Tensor, their_rows: torch.Tensor) -> None:
        """By feature, rescaled to the standard deviation of these items."""
        assert isinstance(earlier, type(self))
        here, there = self.standardisation.features, earlier.standardisation.features
        both = here.join(there, on="feature", how="inner", suffix="_there")
        own, theirs = (torch.from_numpy(both[name].to_numpy().astype("int64")) for name in ("column", "column_there"))
        scale = torch.from_numpy((both["std"] / both["std_there"]).to_numpy(writable=True)).float()[:, None]
        ours, learnt = self.linear.weight.T, earlier.linear.weight.T  # (2F, D), views
        copy_rows(ours, learnt, torch.cat([own, own + here.height]), torch.cat([theirs, theirs + there.height]))
        ours[own] *= scale

    def forward(self) -> torch.Tensor:
        """Projected features, (R, D)."""
        return self.dropout(self.linear(self.inputs))

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Projected features, (U, D)."""
        return self.dropout(self.linear(self.inputs[rows]))

    def of_new_items(self, new: Vocabulary) -> tuple[torch.Tensor, torch.Tensor]:
        """Projected features, standardised as in training."""
        inputs = self.standardisation.apply(self.long, new, new.n_items + 1)[1:].to(self.inputs.device)
        return self.linear(inputs), inputs.any(1)


@ITEM_NET_BLOCKS.register("pretrained")
class PretrainedBlock(ItemNetBlock):
    """Given vectors of items (of their texts or images, say), projected to the model's width.

    An item without a vector, padding and MASK get zero; how many items have none is logged.

    Args:
        n_rows: Rows of the item matrix, R.
        n_factors: Width, D.
        vocabulary: The model's items.
        path: File of vectors, see `read_item_vectors`.
        ids: File of item ids of an NPY file; None for Parquet.
        trainable: The given vectors are trained on as well, not the projection alone.
        dropout: Dropout on the projected vectors.
    """

    def __init__(
        self, *, n_rows: int, n_factors: int, vocabulary: Vocabulary, path: str, ids: str | None, trainable: bool, dropout: DropoutRate
    ) -> None:
        super().__init__()
        self.source = read_item_vectors(Path(path), None if ids is None else Path(ids), vocabulary.item_ids.dtype)
        vectors, known = self.source.of_vocabulary(vocabulary, n_rows)
        missing = vocabulary.n_items - int(known.sum())
        if missing:
            logging.getLogger(__name__).warning("%d of %d items have no vector in %s", missing, vocabulary.n_items, path)
        if trainable:
            self.vectors = nn.Parameter(vectors)
            self.given_parameters = (self.vectors,)
        else:
            self.register_buffer("vectors", vectors)
        self.linear = nn.Linear(vectors.shape[1], n_factors, bias=False)
        self.dropout = Dropout(dropout)

    def take_over(self, earlier: nn.Module, own_rows: torch.Tensor, their_rows: torch.Tensor) -> None:
        """The projection, and where they are trained the vectors, by item."""
        assert isinstance(earlier, type(self))
        copy_parameters(self.linear, earlier.linear)
        if isinstance(self.vectors, nn.Parameter) and isinstance(earlier.vectors, nn.Parameter):
            copy_rows(self.vectors, earlier.vectors, own_rows, their_rows)

    def forward(self) -> torch.Tensor:
        """Projected vectors, (R, D)."""
        return self.dropout(self.linear(self.vectors))

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Projected vectors, (U, D)."""
        return self.dropout(self.linear(nn.functional.embedding(rows, self.vectors, sparse=True)))

    def files(self) -> dict[str, pl.DataFrame | None]:
        """The vectors."""
        return {"path": pl.DataFrame([self.source.item_ids, pl.Series("vector", self.source.vectors)]), "ids": None}

    def described_items(self) -> pl.Series:
        """Items with a vector."""
        return self.source.item_ids

    def of_new_items(self, new: Vocabulary) -> tuple[torch.Tensor, torch.Tensor]:
        """Projected vectors."""
        vectors, known = self.source.of_vocabulary(new, new.n_items + 1)
        return self.linear(vectors[1:].to(self.vectors.device)), known[1:].to(self.vectors.device)
