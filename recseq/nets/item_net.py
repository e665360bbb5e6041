"""Item net: the item matrix E (R, D), made anew each step from the chosen blocks.

The same matrix embeds the input and scores the output (weight tying).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import polars as pl
import torch
from torch import nn

from recseq.data.interactions import ItemFeatures
from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError
from recseq.nets.combiner import Combiner
from recseq.registry import Registry


class ItemNetBlock(nn.Module, ABC):
    """Base of blocks: each gives every row of the item matrix a vector.

    Attributes:
        given_parameters: Parameters with more than one dimension that keep the values they are built with.
    """

    given_parameters: tuple[nn.Parameter, ...] = ()

    @classmethod
    def available(cls, item_features: ItemFeatures | None) -> bool:
        """Whether the data has what the block is built from."""
        return True

    @abstractmethod
    def forward(self) -> torch.Tensor:
        """Vectors of all rows, (R, width)."""

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Vectors of some rows, (U, width), for training that never makes the whole matrix.

        A block overrides this where it can do with less work than that of all rows; tables with a row an item get sparse gradients.

        Args:
            rows: Distinct rows, (U,) int64.
        """
        return self.forward().index_select(0, rows)

    def described_items(self) -> pl.Series | None:
        """Ids of the items that the block knows without having trained on them; None for none."""
        return None

    def take_over(self, earlier: nn.Module, own_rows: torch.Tensor, their_rows: torch.Tensor) -> None:
        """Begin with what the same block of another model has learnt; what has no counterpart there keeps its fresh values.

        Args:
            earlier: The other model's block.
            own_rows: Rows of the item matrix, (n,).
            their_rows: The rows of the same items in the other model's, (n,).

        Raises:
            ConfigError: The blocks do not fit each other.
        """
        copy_parameters(self, earlier)

    def of_new_items(self, new: Vocabulary) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of items that were not trained on.

        Args:
            new: The items, none of them in the model's vocabulary.

        Returns:
            Vectors (n, width), zero where the block knows nothing, and whether it knows something, (n,) bool.
        """
        known_width = self.forward().shape[1]
        return torch.zeros(new.n_items, known_width), torch.zeros(new.n_items, dtype=torch.bool)

    def files(self) -> dict[str, pl.DataFrame | None]:
        """What was read from files that options name, so that a saved model needs them no more.

        Returns:
            By option, a table that is valid as a Parquet file in its place; None: the option is to be empty then.
        """
        return {}


def copy_parameters(own: nn.Module, earlier: nn.Module) -> None:
    """Copy parameters by name.

    Raises:
        ConfigError: Names or shapes differ.
    """
    theirs = dict(earlier.named_parameters())
    for name, parameter in own.named_parameters():
        if name not in theirs or theirs[name].shape != parameter.shape:
            found = tuple(theirs[name].shape) if name in theirs else "nothing"
            raise ConfigError(
                f"train.warm_start: {name} of {type(own).__name__} has shape {tuple(parameter.shape)} here and {found} in the model"
            )
        parameter.copy_(theirs[name])


def copy_rows(own: torch.Tensor, theirs: torch.Tensor, own_rows: torch.Tensor, their_rows: torch.Tensor) -> None:
    """Copy some rows of a table of vectors.

    Raises:
        ConfigError: The vectors have not the same width.
    """
    if own.shape[1:] != theirs.shape[1:]:
        raise ConfigError(
            f"train.warm_start: vectors have {own.shape[1]} numbers here and {theirs.shape[1]} in the model; "
            f"use model.n_factors={theirs.shape[1]}"
        )
    own[own_rows.to(own.device)] = theirs[their_rows.to(theirs.device)].to(own.device)


ITEM_NET_BLOCKS: Registry[ItemNetBlock] = Registry("item-net block", ("n_rows", "n_factors", "vocabulary", "item_features"))


class ItemNet(nn.Module):
    """Blocks and how they are combined.

    Args:
        blocks: Blocks by name; at least one.
        combiner: Makes one vector of the blocks'.
    """

    def __init__(self, blocks: Mapping[str, ItemNetBlock], combiner: Combiner) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(blocks)
        self.combiner = combiner

    def forward(self) -> torch.Tensor:
        """The item matrix E, (R, D)."""
        return self.combiner([block() for block in self.blocks.values()])

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Some rows of the item matrix, (U, D).

        Args:
            rows: Distinct rows, (U,) int64.
        """
        return self.combiner([block.of_rows(rows) for block in self.all_blocks()])

    def all_blocks(self) -> list[ItemNetBlock]:
        """The blocks in their order."""
        return [block for block in self.blocks.values() if isinstance(block, ItemNetBlock)]

    def new_items(self, vocabulary: Vocabulary) -> tuple[Vocabulary, torch.Tensor]:
        """Items outside the model's vocabulary that the blocks know by features, and their vectors (n, D)."""
        described = [ids for block in self.all_blocks() if (ids := block.described_items()) is not None]
        empty = vocabulary.item_ids.clear()
        ids = pl.concat([empty, *(series.cast(empty.dtype).alias(empty.name) for series in described)]).unique()
        new = Vocabulary.from_items(ids.filter(~ids.is_in(vocabulary.item_ids.implode())))
        parts = [block.of_new_items(new) for block in self.all_blocks()]
        device = parts[0][0].device
        known = torch.stack([mask.to(device) for _, mask in parts]).any(0)
        vectors = self.combiner([vectors.to(device) for vectors, _ in parts])
        return Vocabulary(new.item_ids.filter(pl.Series(known.cpu().numpy()))), vectors[known]
