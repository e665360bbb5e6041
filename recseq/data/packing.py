"""The packed batch: tokens of B users end to end, no padding.

Shapes: B users, T tokens, T' tokens with a target, D features; m is the longest sequence of a chunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# Where attention cuts a batch into chunks: a chunk spans lengths from its longest down to half of it, and what is left is
# taken whole once it has few padded cells. Ratio and floor were measured on 2 CPU cores (scripts/benchmarks/step.py).
CHUNK_LENGTH_RATIO = 2
CHUNK_MIN_CELLS = 512


class _Spread(torch.autograd.Function):
    """Rows to distinct places among zeros. As places are distinct, its gradient is a selection; autograd's own is a scatter-add."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor, n_places: int) -> torch.Tensor:
        ctx.save_for_backward(places)
        return rows.new_zeros((n_places, *rows.shape[1:])).index_copy_(0, places, rows)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


class _Collect(torch.autograd.Function):
    """Rows from given distinct places; the inverse of `_Spread`."""

    @staticmethod
    def forward(ctx: Any, cells: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        ctx.shape = cells.shape
        return cells.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (places,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.shape).index_copy_(0, places, gradient), None


@dataclass(frozen=True)
class Chunk:
    """Neighbouring users of a batch that attention takes together as one padded block.

    Args:
        users: Slice of the batch's users.
        tokens: Slice of the batch's tokens, the same users'.
        longest: Longest sequence among them, m.
        cells: Place of each of the slice's tokens in the flattened (users, m) block, (T_chunk,); None when all have length m.
        lengths: Tokens of each user, on the device, (B_chunk,).
    """

    users: slice
    tokens: slice
    longest: int
    cells: torch.Tensor | None
    lengths: torch.Tensor

    @property
    def n_users(self) -> int:
        """Users in the chunk."""
        return self.users.stop - self.users.start

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """From (T, ...) tokens of the batch to the chunk's (B_chunk, m, ...), zeros behind each user's last token."""
        part = packed[self.tokens]
        if self.cells is not None:
            part = _Spread.apply(part, self.cells, self.n_users * self.longest)
        return part.unflatten(0, (self.n_users, self.longest))

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """From (B_chunk, m, ...) to the chunk's own tokens (T_chunk, ...)."""
        flat = padded.flatten(0, 1)
        return flat if self.cells is None else _Collect.apply(flat, self.cells)


@dataclass(frozen=True)
class PackedBatch:
    """Tokens of B users end to end, longest user first.

    Args:
        items: Input items, (T,) int64.
        offsets: User b owns tokens `offsets[b]:offsets[b + 1]`, (B + 1,) int64.
        positions: Distance from the user's newest token (which has 0), (T,) int64.
        seconds: Unix seconds of each token, (T,) int64; MASK at inference has its predecessor's.
        lengths: Tokens of each user on the host, (B,), descending.
        targets: Item to predict at each target row, (T',) int64; empty at inference.
        weights: Weight of each target, (T',) float32.
        target_rows: Tokens that have a target, (T',) int64; None when all do.
        whole: What the batch is a rank's share of; None: of nothing.
    """

    items: torch.Tensor
    offsets: torch.Tensor
    positions: torch.Tensor
    seconds: torch.Tensor
    lengths: NDArray[np.int64]
    targets: torch.Tensor
    weights: torch.Tensor
    target_rows: torch.Tensor | None
    whole: "WholeBatch | None" = None
    _chunks: list[Chunk] = field(default_factory=list, repr=False)

    @property
    def n_users(self) -> int:
        """Number of users, B."""
        return len(self.lengths)

    @property
    def n_tokens(self) -> int:
        """Number of tokens, T."""
        return len(self.items)

    @property
    def n_targets(self) -> int:
        """Number of target rows, T'."""
        return len(self.targets)

    @property
    def n_step_targets(self) -> int:
        """Number of target rows of the batch of all ranks."""
        return self.n_targets if self.whole is None else self.whole.batch.n_targets

    def rows_with_target(self, packed: torch.Tensor) -> torch.Tensor:
        """The target rows (T', ...) of a (T, ...) tensor."""
        return packed if self.target_rows is None else packed.index_select(0, self.target_rows)

    def last_rows(self, packed: torch.Tensor) -> torch.Tensor:
        """Each user's newest token, (B, ...), of a (T, ...) tensor."""
        return packed.index_select(0, self.offsets[1:] - 1)

    def users_of_tokens(self) -> torch.Tensor:
        """The batch's user index of each token, (T,) int64."""
        counts = self.offsets.diff()
        return torch.repeat_interleave(torch.arange(self.n_users, device=counts.device), counts, output_size=self.n_tokens)

    def chunks(self) -> list[Chunk]:
        """Blocks of users of like length; computed once, shared by all layers."""
        if not self._chunks:
            self._chunks.extend(self._cut_chunks())
        return self._chunks

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """From (T, ...) to (B, longest, ...), zeros behind each user's last token; for custom layers."""
        return self._whole().pad(packed)

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """From (B, longest, ...) to (T, ...); the inverse of `pad`."""
        return self._whole().pack(padded)

    def _whole(self) -> Chunk:
        return self._chunk(0, self.n_users, 0, self.n_tokens)

    def _cut_chunks(self) -> Iterator[Chunk]:
        first_tokens = np.concatenate([[0], np.cumsum(self.lengths)])
        first = 0
        while first < self.n_users:
            longest = self.lengths[first]
            end = self.n_users
            # a GPU prefers one large block to many small kernels
            if self.items.device.type == "cpu" and (end - first) * longest > CHUNK_MIN_CELLS:
                shorter = self.lengths[first:] * CHUNK_LENGTH_RATIO < longest
                end = first + int(shorter.argmax()) if shorter.any() else end
            yield self._chunk(first, end, int(first_tokens[first]), int(first_tokens[end]))
            first = end

    def _chunk(self, first: int, end: int, first_token: int, end_token: int) -> Chunk:
        longest = int(self.lengths[first])
        lengths = self.offsets[first : end + 1].diff()
        cells = None
        if int(self.lengths[end - 1]) != longest:
            n_tokens = end_token - first_token
            gaps = torch.arange(0, (end - first) * longest, longest, device=lengths.device) - (self.offsets[first:end] - first_token)
            cells = torch.arange(n_tokens, device=lengths.device) + torch.repeat_interleave(gaps, lengths, output_size=n_tokens)
        return Chunk(slice(first, end), slice(first_token, end_token), longest, cells, lengths)


@dataclass(frozen=True)
class WholeBatch:
    """The batch that ranks share.

    Args:
        batch: The batch.
        targets: Which of its targets are the share's, (T',) int64.
        n_ranks: Number of shares.
        seed: Of what the rank draws for itself.
    """

    batch: PackedBatch
    targets: torch.Tensor
    n_ranks: int
    seed: int
