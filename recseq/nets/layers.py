"""Stacks of transformer blocks over packed tokens."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn

from recseq.data.packing import PackedBatch
from recseq.nets.attention import AttentionPlan, PackedAttention
from recseq.registry import Registry


class TransformerLayers(nn.Module, ABC):
    """Base of layer stacks.

    Attributes:
        pad_key_allowed: The stack can do without a key padding mask, that is with the virtual padding key of `PackedAttention`.
            Where padded positions would be live tokens instead of zeros, that key does not stand for them.
    """

    pad_key_allowed: ClassVar[bool] = False

    @abstractmethod
    def forward(self, x: torch.Tensor, batch: PackedBatch, plan: AttentionPlan) -> torch.Tensor:
        """From embedded tokens (T, D) to hidden states (T, D)."""


LAYERS: Registry[TransformerLayers] = Registry("transformer layers", ("n_blocks", "n_factors", "n_heads", "dropout_rate"))


class SASRecBlock(nn.Module):
    """One block of SASRec; residuals come from the normalised tensors.

    `q = LN(x); h = q + MHA(q, x, x); f = LN(h); out = f + Drop(W2 Drop(ReLU(W1 f)))`, both widths D.
    """

    def __init__(self, *, n_factors: int, n_heads: int, dropout_rate: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(n_factors)
        self.attention = PackedAttention(n_factors=n_factors, n_heads=n_heads, dropout_rate=dropout_rate)
        self.feed_forward_norm = nn.LayerNorm(n_factors)
        self.feed_forward = nn.Sequential(
            nn.Linear(n_factors, n_factors),
            nn.ReLU(),
            nn.Dropout(dropout_rate),
            nn.Linear(n_factors, n_factors),
            nn.Dropout(dropout_rate),
        )

    def forward(self, x: torch.Tensor, plan: AttentionPlan) -> torch.Tensor:
        """(T, D) to (T, D)."""
        q = self.attention_norm(x)
        h = q + self.attention(q, x, plan)
        f = self.feed_forward_norm(h)
        return f + self.feed_forward(f)


@LAYERS.register("sasrec")
class SASRecLayers(TransformerLayers):
    """SASRec's blocks with a final LayerNorm (eps 1e-8).

    Args:
        n_blocks: Number of blocks.
        n_factors: Width, D.
        n_heads: Attention heads.
        dropout_rate: Dropout of attention and feed-forward.

    References:
        Kang and McAuley, Self-Attentive Sequential Recommendation, 2018, arXiv:1808.09781.
    """

    pad_key_allowed = True

    def __init__(self, *, n_blocks: int, n_factors: int, n_heads: int, dropout_rate: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SASRecBlock(n_factors=n_factors, n_heads=n_heads, dropout_rate=dropout_rate) for _ in range(n_blocks))
        self.last_norm = nn.LayerNorm(n_factors, eps=1e-8)

    def forward(self, x: torch.Tensor, batch: PackedBatch, plan: AttentionPlan) -> torch.Tensor:
        """(T, D) to (T, D)."""
        for block in self.blocks:
            x = block(x, plan)
        return self.last_norm(x)
