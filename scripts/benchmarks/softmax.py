"""Time recseq's block-wise softmax loss beside matmul and `F.cross_entropy`, forward and backward, in turns.

.venv/bin/python scripts/benchmarks/softmax.py
"""

import statistics
import time

import torch
from torch.nn import functional as F

from recseq.training.fused_softmax import fused_softmax_loss

SHAPES = [(870, 12000, 64), (870, 12000, 256), (700, 1500, 256), (3000, 15706, 256)]
REPEATS = 9


def plain(hidden: torch.Tensor, items: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The two calls that the block-wise loss replaces."""
    return (F.cross_entropy(hidden @ items.T, classes, reduction="none") * weights).sum()


def main() -> None:
    print(f"{'targets':>8} {'items':>6} {'width':>5} {'plain ms':>9} {'blocks ms':>9} {'ratio':>6}")
    for n_targets, n_items, width in SHAPES:
        hidden = torch.randn(n_targets, width, requires_grad=True)
        items = torch.randn(n_items, width, requires_grad=True)
        classes, weights = torch.randint(0, n_items, (n_targets,)), torch.ones(n_targets)
        seconds: dict[str, list[float]] = {"plain": [], "blocks": []}
        for _ in range(REPEATS + 1):
            for name, loss in (("plain", plain), ("blocks", fused_softmax_loss)):
                started = time.perf_counter()
                loss(hidden, items, classes, weights).backward()
                seconds[name].append(time.perf_counter() - started)
        median = {name: statistics.median(values[1:]) for name, values in seconds.items()}
        ratio = median["plain"] / median["blocks"]
        print(f"{n_targets:8d} {n_items:6d} {width:5d} {median['plain'] * 1000:9.1f} {median['blocks'] * 1000:9.1f} {ratio:6.2f}")


if __name__ == "__main__":
    main()
