"""Item net: the item matrix E (R, D), made anew each step from the chosen blocks.

The same matrix embeds the input and scores the output (weight tying).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from recseq.data.features import Categories
from recseq.data.interactions import ItemFeatures
from recseq.data.vocabulary import Vocabulary
from recseq.options import DropoutRate
from recseq.registry import Registry


class ItemNetBlock(nn.Module, ABC):
    """Base of blocks: each gives every row of the item matrix a vector.

    Attributes:
        needs_features: The block cannot be built for data without item features.
    """

    needs_features: ClassVar[bool] = False

    @abstractmethod
    def forward(self) -> torch.Tensor:
        """Vectors of all rows, (R, D)."""


ITEM_NET_BLOCKS: Registry[ItemNetBlock] = Registry("item-net block", ("n_rows", "n_factors", "vocabulary", "item_features"))


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
        self.dropout = nn.Dropout(dropout)

    def forward(self) -> torch.Tensor:
        """The table itself, (R, D)."""
        return self.dropout(self.embedding.weight)


@ITEM_NET_BLOCKS.register("categories")
class CategoriesBlock(ItemNetBlock):
    """Sum of the embeddings of an item's categories, then dropout; zero for an item without any, for padding and MASK.

    Args:
        n_rows: Rows of the item matrix, R.
        n_factors: Width, D.
        vocabulary: The model's items.
        item_features: Features of items.
        features: Features to take; None takes all.
        dropout: Dropout on the sums.
    """

    needs_features = True

    def __init__(
        self,
        *,
        n_rows: int,
        n_factors: int,
        vocabulary: Vocabulary,
        item_features: ItemFeatures,
        features: list[str] | None,
        dropout: DropoutRate,
    ) -> None:
        super().__init__()
        categories = Categories.from_features(item_features, vocabulary, n_rows, features)
        self.embedding = nn.EmbeddingBag(categories.n_columns, n_factors, mode="sum", include_last_offset=True)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("indices", categories.indices)
        self.register_buffer("offsets", categories.offsets)

    def forward(self) -> torch.Tensor:
        """Sums of category embeddings, (R, D)."""
        return self.dropout(self.embedding(self.indices, self.offsets))


class ItemNet(nn.Module):
    """Sum of blocks.

    Args:
        blocks: Blocks by name; at least one.
    """

    def __init__(self, blocks: Mapping[str, ItemNetBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(blocks)

    def forward(self) -> torch.Tensor:
        """The item matrix E, (R, D)."""
        first, *others = (block() for block in self.blocks.values())
        for other in others:
            first = first + other
        return first
