"""Similarity: how hidden states and item vectors are compared."""

from abc import ABC, abstractmethod

import torch
from torch import nn

from recseq.registry import Registry


class Similarity(nn.Module, ABC):
    """Base of similarities: both sides are transformed, then compared by dot product."""

    @abstractmethod
    def of_users(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (..., D) as they are compared."""

    @abstractmethod
    def of_items(self, item_matrix: torch.Tensor) -> torch.Tensor:
        """Item vectors (R, D) as they are compared."""


SIMILARITIES: Registry[Similarity] = Registry("similarity", ("n_factors",))


@SIMILARITIES.register("dot")
class Dot(Similarity):
    """Dot product: nothing is transformed."""

    def of_users(self, hidden: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return hidden

    def of_items(self, item_matrix: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return item_matrix


@SIMILARITIES.register("cosine")
class Cosine(Similarity):
    """Cosine: both sides are scaled to length 1. Scores lie in [-1, 1], so a loss wants a small `logits_t`, for example 0.05."""

    def of_users(self, hidden: torch.Tensor) -> torch.Tensor:
        """Unit vectors."""
        return nn.functional.normalize(hidden, dim=-1)

    def of_items(self, item_matrix: torch.Tensor) -> torch.Tensor:
        """Unit vectors."""
        return nn.functional.normalize(item_matrix, dim=-1)
