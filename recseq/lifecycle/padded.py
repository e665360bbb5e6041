"""The encoder over padded rows, for runtimes that know no packed batch: the same modules, the same weights.

A padded block of users is a packed batch whose users all have as many cells as the block is wide: blocks of layers see no difference, and
attention's masks hide the empty cells. So nothing is implemented twice, and layers of a plugin go the same way.

Shapes: B users, S columns of input, m cells a user (S, or S + 1 where MASK is appended), D features.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from recseq.data.packing import Chunk, PackedBatch
from recseq.nets.encoder import SequenceEncoder


@dataclass(frozen=True)
class PaddedChunk(Chunk):
    """A whole padded block; its sizes may be symbols of `torch.export`.

    Args:
        size: Users in the block.
    """

    size: int = 0

    @property
    def n_users(self) -> int:
        """Users in the block."""
        return self.size

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """From (B * m, ...) to (B, m, ...); nothing moves."""
        return packed.unflatten(0, (self.size, self.longest))

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """From (B, m, ...) to (B * m, ...)."""
        return padded.flatten(0, 1)


class PaddedBatch(PackedBatch):
    """A block of padded rows, real tokens first, as a packed batch of B * m cells."""

    @classmethod
    def of_rows(cls, items: torch.Tensor, lengths: torch.Tensor) -> "PaddedBatch":
        """A batch.

        Args:
            items: Items, (B, m) int64; what is behind a user's last token is not looked at.
            lengths: Tokens of each user, at least 1, (B,) int64.
        """
        n_users, m = items.shape
        cells = torch.arange(m, device=items.device)
        none = torch.zeros(0, dtype=torch.int64, device=items.device)
        # cells that are no token are masked by their lengths, so the chunk must not seem full
        chunk = PaddedChunk(slice(0, n_users), slice(0, n_users * m), m, none, lengths, size=n_users)
        positions = (lengths[:, None] - 1 - cells).clamp(min=0)  # (B, m)
        return cls(
            items=items.flatten(),
            offsets=torch.arange(n_users + 1, device=items.device) * m,
            positions=positions.flatten(),
            seconds=torch.zeros_like(positions).flatten(),
            lengths=np.zeros(0, dtype=np.int64),  # not known on the host
            targets=none,
            weights=none.float(),
            target_rows=none,
            _chunks=[chunk],
        )

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """See `PackedBatch.pad`."""
        return self._chunks[0].pad(packed)

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """See `PackedBatch.pack`."""
        return self._chunks[0].pack(padded)


class PaddedEncoder(nn.Module):
    """From padded rows to the vectors of their users, as item vectors are compared with them.

    Args:
        encoder: The encoder, in evaluation mode.
        mask_item: The integer of MASK, where it is appended to each row; else None.
    """

    def __init__(self, encoder: SequenceEncoder, mask_item: int | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.mask_item = mask_item
        self.item_matrix: torch.Tensor
        with torch.no_grad():
            self.register_buffer("item_matrix", encoder.item_net().detach().clone())  # (R, D)

    def forward(self, items: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Encode.

        Args:
            items: Item integers, oldest first from column 0 on, 0 behind the last, (B, S) int64.
            lengths: Items of each user, at least 1, (B,) int64.

        Returns:
            User vectors, (B, D).
        """
        if self.mask_item is not None:
            items = nn.functional.pad(items, (0, 1))  # (B, m)
            place = torch.arange(items.shape[1], device=items.device) == lengths[:, None]
            items = items.masked_fill(place, self.mask_item)
            lengths = lengths + 1
        batch = PaddedBatch.of_rows(items, lengths)
        hidden = batch.pad(self.encoder(batch, self.item_matrix))  # (B, m, D)
        last = (lengths - 1)[:, None, None].expand(-1, 1, hidden.shape[-1])
        newest: torch.Tensor = self.encoder.similarity.of_users(hidden.gather(1, last).squeeze(1))
        return newest
