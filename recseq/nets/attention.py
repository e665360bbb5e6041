"""Multi-head attention over packed sequences: each user's tokens see that user's tokens only."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from recseq.data.packing import Chunk, PackedBatch
from recseq.nets.dropout import dropout


@dataclass(frozen=True)
class AttentionPlan:
    """What all blocks of an encoder share in one batch.

    Args:
        chunks: Blocks of users of like length, each with its additive score bias, broadcastable to (B, heads, m, keys), or None.
        pad_key: Every user has one more key behind the m real ones.
    """

    chunks: list[tuple[Chunk, torch.Tensor | None]]
    pad_key: bool

    @classmethod
    def of_batch(cls, batch: PackedBatch, causal: bool, pad_key_len: int | None, dtype: torch.dtype) -> "AttentionPlan":
        """Prepare masks.

        Args:
            batch: The packed batch.
            causal: A token sees itself and earlier tokens only.
            pad_key_len: L, when each user with n < L tokens has the virtual padding key (see `PackedAttention`); None: no such key.
            dtype: Of the score biases.
        """
        return cls([(chunk, _score_bias(chunk, causal, pad_key_len, dtype)) for chunk in batch.chunks()], pad_key_len is not None)


def _score_bias(chunk: Chunk, causal: bool, pad_key_len: int | None, dtype: torch.dtype) -> torch.Tensor | None:
    m, lengths = chunk.longest, chunk.lengths
    bias = None
    if causal:  # real tokens stand first in their row, so the causal mask hides the empty cells as well
        bias = torch.full((m, m), -math.inf, dtype=dtype, device=lengths.device).triu_(1)[None, None]
    elif chunk.cells is not None:
        empty = torch.arange(m, device=lengths.device) >= lengths[:, None]  # (B, m), True: no token there
        bias = torch.zeros(empty.shape, dtype=dtype, device=lengths.device).masked_fill_(empty, -math.inf)[:, None, None]
    if pad_key_len is None:
        return bias
    pads = (pad_key_len - lengths).to(dtype).log()[:, None, None, None]  # log 0 = -inf: no padding, no key
    if bias is None:
        bias = pads.new_zeros((1, 1, 1, m))
    rows = bias.shape[2]
    return torch.cat([bias.expand(chunk.n_users, 1, rows, m), pads.expand(chunk.n_users, 1, rows, 1)], -1)  # (B, 1, 1 or m, m + 1)


class PackedAttention(nn.Module):
    """Multi-head attention with biases on Q, K, V and output; dropout acts on the attention probabilities.

    The virtual padding key: RecTools' SASRec by default zeroes padded inputs and lets real queries attend to them. Each padded
    key then is the key bias and each padded value the value bias, so the L - n of them act as one key with `log(L - n)` added to
    its score. That one key is all that is computed here. In training, attention dropout treats it as one (*ours*).

    Args:
        n_factors: Width, D.
        n_heads: Heads; divides D.
        dropout_rate: Dropout of attention probabilities.
    """

    def __init__(self, *, n_factors: int, n_heads: int, dropout_rate: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout_rate = dropout_rate
        self.in_weight = nn.Parameter(torch.empty(3 * n_factors, n_factors))  # Q, K, V stacked: one matrix for the initialisation
        self.in_bias = nn.Parameter(torch.zeros(3 * n_factors))
        self.out = nn.Linear(n_factors, n_factors)
        nn.init.zeros_(self.out.bias)
        nn.init.xavier_uniform_(self.in_weight)

    def forward(self, queries: torch.Tensor, keys: torch.Tensor, plan: AttentionPlan) -> torch.Tensor:
        """Attend.

        Args:
            queries: (T, D).
            keys: Keys and values before projection, (T, D); the same tensor as `queries` for plain self-attention.
            plan: Chunks and masks of the batch.

        Returns:
            (T, D).
        """
        width = queries.shape[-1]
        if queries is keys:
            projected = F.linear(queries, self.in_weight, self.in_bias)  # (T, 3D)
        else:
            q = F.linear(queries, self.in_weight[:width], self.in_bias[:width])
            kv = F.linear(keys, self.in_weight[width:], self.in_bias[width:])
            projected = torch.cat([q, kv], -1)  # (T, 3D)
        outputs = [chunk.pack(self._attend(chunk.pad(projected), bias, plan.pad_key)) for chunk, bias in plan.chunks]
        return self.out(outputs[0] if len(outputs) == 1 else torch.cat(outputs))  # (T, D)

    def _attend(self, projected: torch.Tensor, bias: torch.Tensor | None, pad_key: bool) -> torch.Tensor:
        n_users, m, width = projected.shape[0], projected.shape[1], projected.shape[2] // 3
        q, kv = projected.split([width, 2 * width], dim=-1)
        if pad_key:
            kv = torch.cat([kv, self.in_bias[width:].to(kv.dtype).expand(n_users, 1, -1)], 1)  # (B, m + 1, 2D)
        k, v = kv.chunk(2, -1)
        q, k, v = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in (q, k, v))  # (B, heads, m or m + 1, D / heads)
        mask = None if bias is None else bias.to(q.dtype)
        rate = self.dropout_rate if self.training else 0.0
        if rate > 0 and q.device.type == "cpu":  # torch has no fused kernel for this either, and draws slowly
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
            probabilities = (scores if mask is None else scores + mask).softmax(-1)
            mixed = dropout(probabilities, rate, training=True) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate)
        return mixed.transpose(1, 2).reshape(n_users, m, width)
