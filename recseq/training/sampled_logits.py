"""Logits of a few candidates a row, without the (T', C, D) tensor of gathered item vectors.

Forward: where candidates are many for the catalogue, a block of all logits and a selection from it is cheaper than gathering vectors,
though it computes more; else vectors are gathered a cache-sized block at a time. Backward: both gradients are weighted sums of rows,
which `F.embedding_bag` makes without gathering; the items' gradient needs the candidates sorted by item. On 2 CPU cores this is 3 to 7
times as fast as `bmm` over gathered vectors (scripts/benchmarks/sampled_logits.py).
"""

from typing import Any

import torch
from torch.nn import functional as F

# Cells of one block, logits or gathered vectors; 2**20 float32 take 4 MiB.
BLOCK_CELLS = 2**20
# Multiplying with an item costs this much less than gathering it.
DENSE_ADVANTAGE = 40


def sampled_logits(hidden: torch.Tensor, items: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Dot products of each row with its own candidates.

    Args:
        hidden: (T', D).
        items: (R, D).
        candidates: Rows of `items`, (T', C) int64.

    Returns:
        (T', C) float32, also under autocast; gradients reach `hidden` and `items`.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        logits: torch.Tensor = _SampledLogits.apply(hidden.float(), items.float(), candidates)
    return logits


class _SampledLogits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, items: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(hidden, items, candidates)
        n_candidates, width = candidates.shape[1], hidden.shape[1]
        dense = len(items) <= DENSE_ADVANTAGE * n_candidates
        block = max(1, BLOCK_CELLS // (len(items) if dense else n_candidates * width))
        logits = hidden.new_empty(candidates.shape)
        for first in range(0, len(hidden), block):
            rows = slice(first, first + block)
            if dense:
                torch.gather(hidden[rows] @ items.T, 1, candidates[rows], out=logits[rows])
            else:
                torch.sum(F.embedding(candidates[rows], items).mul_(hidden[rows, None]), -1, out=logits[rows])
        return logits

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        hidden, items, candidates = ctx.saved_tensors
        gradient = gradient.contiguous()
        grad_hidden = F.embedding_bag(candidates, items, mode="sum", per_sample_weights=gradient)
        by_item, order = candidates.flatten().sort()
        offsets = torch.searchsorted(by_item, torch.arange(len(items) + 1, device=items.device))
        grad_items = F.embedding_bag(
            order // candidates.shape[1],
            hidden,
            offsets,
            mode="sum",
            per_sample_weights=gradient.flatten()[order],
            include_last_offset=True,
        )
        return grad_hidden, grad_items, None
