"""Stacks of transformer blocks over packed tokens."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn

from recseq.data.packing import PackedBatch
from recseq.nets.attention import AttentionPlan, PackedAttention
from recseq.nets.dropout import Dropout
from recseq.options import PositiveInt
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
            Dropout(dropout_rate),
            nn.Linear(n_factors, n_factors),
            Dropout(dropout_rate),
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


class BlockStack(TransformerLayers):
    """Blocks of one class, one after the other, without a final norm.

    Args:
        n_blocks: Number of blocks.
        n_factors: Width, D.
        n_heads: Attention heads.
        dropout_rate: Dropout of attention and feed-forward.
        ff_multiplier: Width of the feed-forward in multiples of D.

    Attributes:
        block: Class of the blocks.
    """

    block: ClassVar[type[nn.Module]]

    def __init__(self, *, n_blocks: int, n_factors: int, n_heads: int, dropout_rate: float, ff_multiplier: PositiveInt) -> None:
        super().__init__()
        sizes = {"n_factors": n_factors, "n_heads": n_heads, "ff_multiplier": ff_multiplier}
        self.blocks = nn.ModuleList(self.block(dropout_rate=dropout_rate, **sizes) for _ in range(n_blocks))

    def forward(self, x: torch.Tensor, batch: PackedBatch, plan: AttentionPlan) -> torch.Tensor:
        """(T, D) to (T, D)."""
        for block in self.blocks:
            x = block(x, plan)
        return x


class PreLNBlock(nn.Module):
    """A pre-LN block as RecTools' BERT4Rec has it, with a dropout behind both residuals.

    `h = LN1(x); x = x + Drop(MHA(h, h, h)); x = x + Drop(FFN(LN2 x)); x = Drop(x)`, FFN D -> ff_multiplier D -> GELU -> Drop -> D.
    """

    def __init__(self, *, n_factors: int, n_heads: int, dropout_rate: float, ff_multiplier: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(n_factors)
        self.attention = PackedAttention(n_factors=n_factors, n_heads=n_heads, dropout_rate=dropout_rate)
        self.feed_forward_norm = nn.LayerNorm(n_factors)
        self.feed_forward = nn.Sequential(
            nn.Linear(n_factors, ff_multiplier * n_factors),
            nn.GELU(),
            Dropout(dropout_rate),
            nn.Linear(ff_multiplier * n_factors, n_factors),
        )
        self.dropout = Dropout(dropout_rate)

    def forward(self, x: torch.Tensor, plan: AttentionPlan) -> torch.Tensor:
        """(T, D) to (T, D)."""
        h = self.attention_norm(x)
        x = x + self.dropout(self.attention(h, h, plan))
        x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return self.dropout(x)


@LAYERS.register("pre_ln")
class PreLNLayers(BlockStack):
    """Pre-LN blocks without a final norm.

    References:
        Xiong et al., On Layer Normalization in the Transformer Architecture, 2020, arXiv:2002.04745.
    """

    block = PreLNBlock


class SwiGLU(nn.Module):
    """Gated feed-forward without biases: `W2 Drop(SiLU(W1 x) * W3 x)`.

    References:
        Shazeer, GLU Variants Improve Transformer, 2020, arXiv:2002.05202.
    """

    def __init__(self, *, n_factors: int, n_hidden: int, dropout_rate: float) -> None:
        super().__init__()
        self.gate = nn.Linear(n_factors, n_hidden, bias=False)
        self.value = nn.Linear(n_factors, n_hidden, bias=False)
        self.out = nn.Linear(n_hidden, n_factors, bias=False)
        self.dropout = Dropout(dropout_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(T, D) to (T, D)."""
        return self.out(self.dropout(nn.functional.silu(self.gate(x)) * self.value(x)))


class LiGRBlock(nn.Module):
    """A block whose residuals are gated by their input: `x = x + sigmoid(W x) * Drop(MHA(LN x))`, the same around a SwiGLU."""

    def __init__(self, *, n_factors: int, n_heads: int, dropout_rate: float, ff_multiplier: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(n_factors)
        self.attention = PackedAttention(n_factors=n_factors, n_heads=n_heads, dropout_rate=dropout_rate)
        self.attention_gate = nn.Linear(n_factors, n_factors)
        self.feed_forward_norm = nn.LayerNorm(n_factors)
        self.feed_forward = SwiGLU(n_factors=n_factors, n_hidden=ff_multiplier * n_factors, dropout_rate=dropout_rate)
        self.feed_forward_gate = nn.Linear(n_factors, n_factors)
        self.dropout = Dropout(dropout_rate)

    def forward(self, x: torch.Tensor, plan: AttentionPlan) -> torch.Tensor:
        """(T, D) to (T, D)."""
        h = self.attention_norm(x)
        x = x + self.attention_gate(x).sigmoid() * self.dropout(self.attention(h, h, plan))
        return x + self.feed_forward_gate(x).sigmoid() * self.dropout(self.feed_forward(self.feed_forward_norm(x)))


@LAYERS.register("ligr")
class LiGRLayers(BlockStack):
    """Blocks with gated residuals and SwiGLU.

    References:
        Borisyuk et al., From Features to Transformers: Redefining Ranking for Scalable Impact (LiGR), 2025, arXiv:2502.03417.
    """

    block = LiGRBlock
