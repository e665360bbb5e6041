"""Time recseq's sampled logits beside `bmm` over gathered item vectors, forward and backward, in turns.

.venv/bin/python scripts/benchmarks/sampled_logits.py
"""

import statistics
import time

import torch
from torch.nn import functional as F

from recseq.training.sampled_logits import sampled_logits

SHAPES = [(870, 9300, 64, 50), (870, 9300, 64, 256), (1700, 9300, 256, 256), (1000, 100_000, 128, 256)]
REPEATS = 7


def gathered(hidden: torch.Tensor, items: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """The plain way: all vectors in memory at once."""
    return torch.bmm(F.embedding(candidates, items), hidden[:, :, None])[:, :, 0]


def main() -> None:
    print(f"{'targets':>8} {'items':>7} {'width':>5} {'negatives':>9} {'bmm ms':>8} {'recseq ms':>9} {'ratio':>6}")
    for n_targets, n_items, width, n_negatives in SHAPES:
        hidden = torch.randn(n_targets, width, requires_grad=True)
        items = torch.randn(n_items, width, requires_grad=True)
        candidates = torch.randint(0, n_items, (n_targets, n_negatives + 1))
        seconds: dict[str, list[float]] = {"bmm": [], "recseq": []}
        for _ in range(REPEATS + 1):
            for name, logits in (("bmm", gathered), ("recseq", sampled_logits)):
                started = time.perf_counter()
                F.softplus(logits(hidden, items, candidates)).sum().backward()
                seconds[name].append(time.perf_counter() - started)
        median = {name: statistics.median(values[1:]) * 1000 for name, values in seconds.items()}
        ratio = median["bmm"] / median["recseq"]
        print(f"{n_targets:8d} {n_items:7d} {width:5d} {n_negatives:9d} {median['bmm']:8.1f} {median['recseq']:9.1f} {ratio:6.1f}")


if __name__ == "__main__":
    main()
