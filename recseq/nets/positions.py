"""Positional encodings: what a token learns of its place in the sequence."""

from abc import ABC, abstractmethod

import torch
from torch import nn

from recseq.data.packing import PackedBatch
from recseq.registry import Registry


class PositionalEncoding(nn.Module, ABC):
    """Base of positional encodings."""

    @abstractmethod
    def forward(self, x: torch.Tensor, batch: PackedBatch) -> torch.Tensor:
        """Tokens (T, D) with their places written in, (T, D)."""


POSITIONS: Registry[PositionalEncoding] = Registry("positional encoding", ("session_max_len", "n_factors"))


@POSITIONS.register("learnable")
class LearnablePositions(PositionalEncoding):
    """A learnt vector for each distance from the end: the newest item has position 0.

    Counting from the end makes a user's encoding independent of padding and of the batch.

    Args:
        session_max_len: Longest sequence, L.
        n_factors: Width, D.
    """

    def __init__(self, *, session_max_len: int, n_factors: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(session_max_len, n_factors)

    def forward(self, x: torch.Tensor, batch: PackedBatch) -> torch.Tensor:
        """Add the vector of each token's position."""
        return x + self.embedding(batch.positions)


@POSITIONS.register("none")
class NoPositions(PositionalEncoding):
    """Order is known from the causal mask alone, or not at all."""

    def forward(self, x: torch.Tensor, batch: PackedBatch) -> torch.Tensor:
        """Tokens as they are."""
        return x


@POSITIONS.register("sinusoidal")
class SinusoidalPositions(PositionalEncoding):
    """Fixed sines and cosines of the distance from the end; nothing to learn, any length.

    Feature 2i is `sin(position / 10000^(2i / D))`, feature 2i + 1 its cosine.

    Args:
        n_factors: Width, D.

    References:
        Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762.
    """

    def __init__(self, *, n_factors: int) -> None:
        super().__init__()
        self.n_factors = n_factors
        self.frequencies: torch.Tensor
        self.register_buffer("frequencies", 10000.0 ** (-torch.arange(0, n_factors, 2) / n_factors), persistent=False)

    def forward(self, x: torch.Tensor, batch: PackedBatch) -> torch.Tensor:
        """Add the waves of each token's position."""
        angles = batch.positions[:, None] * self.frequencies  # (T, D / 2, rounded up)
        waves = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, : self.n_factors]  # (T, D)
        return x + waves
