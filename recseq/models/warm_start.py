"""Begins a model's training with what another has learnt: known items keep their vectors, new ones have fresh ones."""

from dataclasses import dataclass

import polars as pl
import torch

from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError
from recseq.nets.encoder import SequenceEncoder
from recseq.nets.item_net import ItemNetBlock

BLOCKS = "item_net.blocks."


@dataclass(frozen=True)
class Earlier:
    """A fitted model that another begins from.

    Args:
        encoder: Its nets.
        vocabulary: Its items.
        keep_items: The model that begins keeps all items of the earlier one, those without a row in its training data too.
    """

    encoder: SequenceEncoder
    vocabulary: Vocabulary
    keep_items: bool

    def extended(self, vocabulary: Vocabulary) -> Vocabulary:
        """The vocabulary of a model that begins here.

        Args:
            vocabulary: The items of its training data.

        Raises:
            ConfigError: Item ids are integers on one side and texts on the other.
        """
        theirs, ours = self.vocabulary.item_ids, vocabulary.item_ids
        if theirs.dtype != ours.dtype:
            raise ConfigError(f"train.warm_start: item ids are {theirs.dtype} in the model and {ours.dtype} in the data")
        return Vocabulary.from_items(pl.concat([theirs.alias("item_id"), ours.alias("item_id")])) if self.keep_items else vocabulary

    def give(self, encoder: SequenceEncoder, vocabulary: Vocabulary) -> tuple[int, int]:
        """Write what the earlier model has learnt into freshly made nets.

        Item-net blocks take over by item, category and feature; everything else must have the same shape.

        Args:
            encoder: The nets.
            vocabulary: Their items.

        Returns:
            How many items were known, and how many are new.

        Raises:
            ConfigError: The nets are of another shape or composition.
        """
        _require_same_parts(encoder, self.encoder)
        theirs = self.encoder.state_dict()
        items = self.vocabulary.encode(vocabulary.item_ids)
        known = items.is_not_null()
        own_rows = torch.from_numpy(known.arg_true().to_numpy().astype("int64")) + 1
        their_rows = torch.from_numpy(items.drop_nulls().to_numpy().astype("int64"))
        special = [(0, 0)]  # padding, and MASK where there is one on both sides
        if _has_mask(encoder, vocabulary) and _has_mask(self.encoder, self.vocabulary):
            special.append((vocabulary.mask_item, self.vocabulary.mask_item))
        own_rows = torch.cat([own_rows, torch.tensor([own for own, _ in special])])
        their_rows = torch.cat([their_rows, torch.tensor([other for _, other in special])])
        with torch.no_grad():
            for name, tensor in encoder.state_dict().items():
                if not name.startswith(BLOCKS):
                    tensor.copy_(theirs[name])
            for name, block in encoder.item_net.blocks.items():
                assert isinstance(block, ItemNetBlock)
                block.take_over(self.encoder.item_net.blocks[name], own_rows, their_rows)
        return int(known.sum()), int((~known).sum())


def _has_mask(encoder: SequenceEncoder, vocabulary: Vocabulary) -> bool:
    with torch.inference_mode():
        return len(encoder.item_net()) > vocabulary.mask_item


def _require_same_parts(ours: SequenceEncoder, theirs: SequenceEncoder) -> None:
    blocks = [sorted(each.item_net.blocks) for each in (ours, theirs)]
    if blocks[0] != blocks[1]:
        raise ConfigError(
            f"train.warm_start: the model has the item-net blocks {', '.join(blocks[1])}, this composition {', '.join(blocks[0])}; "
            f"use item_net=[{','.join(blocks[1])}]"
        )
    shapes = [
        {name: tuple(tensor.shape) for name, tensor in each.state_dict().items() if not name.startswith(BLOCKS)} for each in (ours, theirs)
    ]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        own, other = (each.get(name) for each in shapes)
        if own != other:
            raise ConfigError(
                f"train.warm_start: {name} has shape {own or 'nothing'} here and {other or 'nothing'} in the model; "
                f"choose the sizes and layers that it was trained with (its config.yaml has them; from_run takes a whole composition)"
            )
