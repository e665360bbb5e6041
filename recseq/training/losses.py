"""Losses over target positions: sum of weight * loss, divided by the number of target positions.

Shapes: T' target positions, D `n_factors`, R rows of the item matrix, V real items.
"""

from abc import ABC, abstractmethod

import torch
from torch import nn

from recseq.registry import Registry
from recseq.training.fused_softmax import fused_softmax_loss


class Loss(nn.Module, ABC):
    """Base of losses."""

    @abstractmethod
    def forward(self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, item_matrix: torch.Tensor) -> torch.Tensor:
        """Loss of a batch.

        Args:
            hidden: Hidden states of the target positions, (T', D).
            targets: Items to predict, (T',) int64, in 1..V.
            weights: Weight of each target, (T',) float32.
            item_matrix: Item matrix, (R, D).

        Returns:
            Scalar.
        """


LOSSES: Registry[Loss] = Registry("loss", ("n_items",))


@LOSSES.register("softmax")
class SoftmaxLoss(Loss):
    """Cross entropy over the real items.

    *Ours*: PAD and MASK are never classes; RecTools leaves them in.

    Args:
        n_items: Real items, V.
    """

    def __init__(self, *, n_items: int) -> None:
        super().__init__()
        self.n_items = n_items

    def forward(self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, item_matrix: torch.Tensor) -> torch.Tensor:
        """See `Loss.forward`."""
        items = item_matrix[1 : self.n_items + 1]  # (V, D)
        return fused_softmax_loss(hidden, items, targets - 1, weights) / len(targets)
