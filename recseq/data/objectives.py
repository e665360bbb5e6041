"""Objectives: what of a user's sequence goes in and what is to be predicted.

An objective turns sequences of the store into packed batches, for training and for inference, by indexing alone.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from recseq.data.packing import PackedBatch
from recseq.data.sequences import SequenceStore
from recseq.options import Range
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


@OBJECTIVES.register("next_action")
class NextAction(Objective):
    """Predict only the last item, from all before it.

    No input is a target, so the encoder may be causal or not.

    References:
        Pancha et al., PinnerFormer: Sequence Modeling for User Representation at Pinterest, 2022, arXiv:2205.04507 (its "next action
        prediction" task).
    """

    def stored_rows(self, session_max_len: int) -> int:
        """One row more than inputs."""
        return session_max_len + 1

    def input_lengths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """All but the last."""
        return lengths - 1

    def training_batch(self, store: SequenceStore, layout: Layout, i_batch: int) -> PackedBatch:
        """Each user's newest input token has a target: the item after it."""
        last = layout.offsets[1:] - 1
        following = layout.source[last] + 1
        batch = inputs_only(store, layout)
        return replace(batch, targets=store.items[following].long(), weights=store.weights[following], target_rows=last)


@OBJECTIVES.register("masking")
class Masking(Objective):
    """Hide some items and predict them from what stands around them.

    Each token is chosen with `mask_prob`; a chosen one becomes MASK (80 %), a random item (10 %) or stays (10 %), and is a target. As in
    RecTools a sequence may have no chosen token; *ours*: a batch without one gets one, so that no loss is 0/0. At inference MASK is
    appended after the last L - 1 items.

    All draws of an epoch are made at once on the device, so that the number of targets of every batch is known on the host with one
    synchronisation an epoch.

    Args:
        mask_prob: Probability of a token to be chosen.

    References:
        Sun et al., BERT4Rec, 2019, arXiv:1904.06690.
    """

    needs_mask = True
    BECOMES_MASK = 0.8
    BECOMES_RANDOM = 0.1

    def __init__(self, *, mask_prob: Annotated[float, Range(above=0, at_most=1)]) -> None:
        self.mask_prob = mask_prob
        self._draws: _MaskingDraws

    def stored_rows(self, session_max_len: int) -> int:
        """As many rows as inputs."""
        return session_max_len

    def input_lengths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """All of them."""
        return lengths

    def start_epoch(self, batch_tokens: NDArray[np.int64], store: SequenceStore, generator: torch.Generator) -> None:
        """Choose the epoch's targets and what becomes of them."""
        device = store.items.device
        ends = np.cumsum(batch_tokens)
        chosen = torch.rand(int(ends[-1]), generator=generator, device=device) < self.mask_prob
        running = chosen.cumsum(0)[torch.from_numpy(ends - 1).to(device)].cpu().numpy()  # the epoch's one synchronisation
        empty = np.flatnonzero(np.diff(running, prepend=0) == 0)
        if len(empty):
            share = torch.rand(len(empty), generator=generator, device=device)
            tokens = torch.from_numpy(batch_tokens[empty]).to(device)
            first = torch.from_numpy(ends[empty] - batch_tokens[empty]).to(device)
            chosen[first + (share * tokens).long().clamp_(max=tokens - 1)] = True
            running = running + np.searchsorted(empty, np.arange(len(ends)), side="right")
        n_targets = int(running[-1])
        rows = torch.nonzero_static(chosen, size=n_targets).squeeze(1)  # (targets of the epoch,)
        fate = torch.rand(n_targets, generator=generator, device=device)
        other = torch.randint(1, store.n_items + 1, (n_targets,), generator=generator, device=device)
        self._draws = _MaskingDraws(rows, fate, other, first_tokens=ends - batch_tokens, bounds=np.concatenate([[0], running]))

    def training_batch(self, store: SequenceStore, layout: Layout, i_batch: int) -> PackedBatch:
        """Replace the chosen tokens."""
        rows, fate, other = self._draws.of_batch(i_batch)
        batch = inputs_only(store, layout)
        targets = batch.items[rows]
        becomes_other = fate < self.BECOMES_MASK + self.BECOMES_RANDOM
        replaced = torch.where(becomes_other, other, targets)
        replaced = torch.where(fate < self.BECOMES_MASK, store.n_items + 1, replaced)
        items = batch.items.index_copy(0, rows, replaced)
        return replace(batch, items=items, targets=targets, weights=store.weights[layout.source[rows]], target_rows=rows)

    def inference_rows(self, session_max_len: int) -> int:
        """One less, for MASK."""
        return session_max_len - 1

    def inference_lengths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """One more, for MASK."""
        return lengths + 1

    def inference_batch(self, store: SequenceStore, layout: Layout) -> PackedBatch:
        """Append MASK to each user."""
        last = layout.offsets[1:] - 1
        source = layout.source.index_copy(0, last, layout.source[last] - 1)  # its time is its predecessor's
        batch = inputs_only(store, replace(layout, source=source))
        return replace(batch, items=batch.items.index_fill(0, last, store.n_items + 1))


@dataclass(frozen=True)
class _MaskingDraws:
    """Targets of an epoch, tokens numbered through all its batches.

    Args:
        rows: Chosen tokens, (N,).
        fate: Uniform draws that decide what becomes of them, (N,).
        other: Random items that some become, (N,).
        first_tokens: First token of each batch, on the host, (n_batches,).
        bounds: Batch i has the targets `bounds[i]:bounds[i + 1]`, on the host, (n_batches + 1,).
    """

    rows: torch.Tensor
    fate: torch.Tensor
    other: torch.Tensor
    first_tokens: NDArray[np.int64]
    bounds: NDArray[np.int64]

    def of_batch(self, i_batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rows (of the batch), fates and other items of one batch."""
        part = slice(int(self.bounds[i_batch]), int(self.bounds[i_batch + 1]))
        return self.rows[part] - int(self.first_tokens[i_batch]), self.fate[part], self.other[part]
