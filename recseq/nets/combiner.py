"""How the vectors of an item's blocks become one."""

from abc import ABC, abstractmethod

import torch
from torch import nn

from recseq.registry import Registry


class Combiner(nn.Module, ABC):
    """Base of combiners: how the vectors of an item's blocks become one.

    Attributes:
        block_factors: Width that the blocks are built with.
    """

    block_factors: int

    @abstractmethod
    def forward(self, vectors: list[torch.Tensor]) -> torch.Tensor:
        """From the blocks' (R, block_factors) to (R, D)."""


COMBINERS: Registry[Combiner] = Registry("item-net combiner", ("n_factors",))


@COMBINERS.register("sum")
class SumCombiner(Combiner):
    """Sum of the blocks' vectors, as RecTools.

    Args:
        n_factors: Width, D.
    """

    def __init__(self, *, n_factors: int) -> None:
        super().__init__()
        self.block_factors = n_factors

    def forward(self, vectors: list[torch.Tensor]) -> torch.Tensor:
        """Add up."""
        first, *others = vectors
        for other in others:
            first = first + other
        return first
