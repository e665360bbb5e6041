"""Objectives: what of a user's sequence goes in and what is to be predicted.

An objective turns sequences of the store into packed batches, for training and for inference, by indexing alone.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from recseq.data.packing import PackedBatch
from recseq.data.sequences import SequenceStore
from recseq.registry import Registry


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch come from.

    Args:
        source: Row of the store of each token, (T,) int64.
        offsets: User b owns tokens `offsets[b]:offsets[b + 1]`, (B + 1,) int64.
        positions: Distance from the user's newest token, (T,) int64.
        lengths: Tokens of each user on the host, (B,).
    """

    source: torch.Tensor
    offsets: torch.Tensor
    positions: torch.Tensor
    lengths: NDArray[np.int64]

    @classmethod
    def of_users(cls, store: SequenceStore, users: torch.Tensor, lengths: NDArray[np.int64], device_lengths: torch.Tensor) -> "Layout":
        """Tokens are the first `lengths[b]` rows of each user's sequence.

        The host knows all lengths, so nothing waits for the device.
        """
        n_tokens = int(lengths.sum())
        offsets = torch.zeros(len(lengths) + 1, dtype=torch.int64, device=users.device)
        torch.cumsum(device_lengths, 0, out=offsets[1:])
        shift = store.offsets[users] - offsets[:-1]  # from a token's place in the batch to its row in the store
        per_user = torch.stack([shift, offsets[1:] - 1])  # (2, B)
        per_token = torch.repeat_interleave(per_user, device_lengths, dim=1, output_size=n_tokens)  # (2, T)
        place = torch.arange(n_tokens, device=users.device)
        return cls(source=place + per_token[0], offsets=offsets, positions=per_token[1] - place, lengths=lengths)


class Objective(ABC):
    """Base of objectives.

    Attributes:
        needs_mask: The item matrix has a MASK row.
        needs_causal: Inputs hold the targets of earlier tokens: an encoder that sees later tokens would see what it is to predict.
    """

    needs_mask: ClassVar[bool] = False
    needs_causal: ClassVar[bool] = False

    @abstractmethod
    def stored_rows(self, session_max_len: int) -> int:
        """Rows of a user that training keeps, for inputs of at most `session_max_len` tokens."""

    @abstractmethod
    def input_lengths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Input tokens of sequences with `lengths` stored rows."""

    def start_epoch(self, batch_tokens: NDArray[np.int64], store: SequenceStore, generator: torch.Generator) -> None:  # noqa: B027
        """Draw whatever is random in the epoch's targets at once.

        Args:
            batch_tokens: Input tokens of each batch to come, on the host, (n_batches,).
            store: The sequences.
            generator: Seeded, on the store's device.
        """

    @abstractmethod
    def training_batch(self, store: SequenceStore, layout: Layout, i_batch: int) -> PackedBatch:
        """Inputs and targets of one batch of the epoch."""

    def inference_rows(self, session_max_len: int) -> int:
        """Newest rows of a user that inference takes in."""
        return session_max_len

    def inference_lengths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Input tokens at inference of sequences with `lengths` rows."""
        return lengths

    def inference_batch(self, store: SequenceStore, layout: Layout) -> PackedBatch:
        """Inputs whose last token's output predicts what comes next."""
        return inputs_only(store, layout)


OBJECTIVES: Registry[Objective] = Registry("objective")


def inputs_only(store: SequenceStore, layout: Layout) -> PackedBatch:
    """A batch of stored items without targets."""
    none = layout.source[:0]
    return PackedBatch(
        items=store.items[layout.source].long(),
        offsets=layout.offsets,
        positions=layout.positions,
        seconds=store.seconds[layout.source],
        lengths=layout.lengths,
        targets=none,
        weights=store.weights[:0],
        target_rows=none,
    )


@OBJECTIVES.register("shifted")
class Shifted(Objective):
    """Predict each next item from all before it: input is all but the last, target is all but the first.

    A target carries the weight of its own interaction.

    References:
        Kang and McAuley, Self-Attentive Sequential Recommendation, 2018, arXiv:1808.09781.
    """

    needs_causal = True

    def stored_rows(self, session_max_len: int) -> int:
        """One row more than inputs."""
        return session_max_len + 1

    def input_lengths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """All but the last."""
        return lengths - 1

    def training_batch(self, store: SequenceStore, layout: Layout, i_batch: int) -> PackedBatch:
        """Every token has a target: the item after it."""
        following = layout.source + 1
        return PackedBatch(
            items=store.items[layout.source].long(),
            offsets=layout.offsets,
            positions=layout.positions,
            seconds=store.seconds[layout.source],
            lengths=layout.lengths,
            targets=store.items[following].long(),
            weights=store.weights[following],
            target_rows=None,
        )
