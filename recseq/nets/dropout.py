"""Dropout that is cheap on a CPU.

`F.dropout` draws a Bernoulli number an element, which on a CPU takes longer than the matrix products around it at small widths. Here
four elements share one 64-bit draw: each has 16 bits of its own, so the rate is exact to 1/65536. Draws come from torch's generator, so
seeds work as ever. Elsewhere it is `F.dropout`.
"""

import torch
from torch import nn
from torch.nn import functional as F

LANES = 4
LANE_VALUES = 2**16


def dropout(x: torch.Tensor, rate: float, training: bool) -> torch.Tensor:
    """Zero elements with probability `rate` and scale the others by `1 / (1 - rate)`.

    Args:
        x: Any shape.
        rate: In [0, 1).
        training: False returns `x`.
    """
    if not training or rate == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    n = x.numel()
    draws = torch.empty(-(-n // LANES), dtype=torch.int64).random_(-(2**63), None)
    lanes = draws.view(torch.int16)[:n].view(x.shape)  # uniform in [-2**15, 2**15)
    keep = lanes >= round(rate * LANE_VALUES) - LANE_VALUES // 2
    return x * keep.to(x.dtype).mul_(1 / (1 - rate))


class Dropout(nn.Module):
    """`dropout` as a module.

    Args:
        rate: Probability of an element to be zeroed, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        return dropout(x, self.rate, self.training)
