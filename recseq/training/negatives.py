"""Negative samplers: which items a positive is compared with, drawn on the device.

Shapes: T' target positions, N negatives each, V real items (1..V).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import nn

from recseq.options import NonNegativeFloat, Probability
from recseq.registry import PartOf, Registry


class NegativeSampler(nn.Module, ABC):
    """Base of samplers; a module, so that its tables move to the device with the loss.

    Draws come from torch's generator of the device, seeded with the run. Collisions with the positive are allowed, as in RecTools; a
    loss may mask them.
    """

    @abstractmethod
    def sample(self, shape: tuple[int, ...], targets: torch.Tensor) -> torch.Tensor:
        """Draw items.

        Args:
            shape: Of the result.
            targets: Items to predict of the batch, (T',).

        Returns:
            Items, 1..V, int64.
        """

    @abstractmethod
    def log_probability(self, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log of the probability that one draw gives each of `items`.

        Args:
            items: Items, any shape.
            targets: Items to predict of the batch, (T',).
        """


NEGATIVES: Registry[NegativeSampler] = Registry("negative sampler", ("n_items", "item_counts"))


@NEGATIVES.register("uniform")
class Uniform(NegativeSampler):
    """Every item of the vocabulary alike.

    Args:
        n_items: Real items, V.
    """

    def __init__(self, *, n_items: int) -> None:
        super().__init__()
        self.n_items = n_items

    def sample(self, shape: tuple[int, ...], targets: torch.Tensor) -> torch.Tensor:
        """See `NegativeSampler.sample`."""
        return torch.randint(1, self.n_items + 1, shape, device=targets.device)

    def log_probability(self, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """-log V."""
        return -torch.full(items.shape, float(self.n_items), device=items.device).log()


@NEGATIVES.register("popularity")
class Popularity(NegativeSampler):
    """Items in proportion to their training rows to the power of alpha.

    Args:
        item_counts: Training rows of each item, (V,).
        alpha: 0 is uniform, 1 is proportional, 0.75 is word2vec's.

    References:
        Mikolov et al., Distributed Representations of Words and Phrases and their Compositionality, 2013, arXiv:1310.4546.
    """

    def __init__(self, *, item_counts: torch.Tensor, alpha: NonNegativeFloat) -> None:
        super().__init__()
        weights = item_counts.double() ** alpha
        shares = weights / weights.sum()
        self.upper: torch.Tensor
        self.log_shares: torch.Tensor
        self.register_buffer("upper", shares.cumsum(0).float())
        self.register_buffer("log_shares", shares.log().float())

    def sample(self, shape: tuple[int, ...], targets: torch.Tensor) -> torch.Tensor:
        """See `NegativeSampler.sample`."""
        draws = torch.rand(shape, device=targets.device)
        return torch.searchsorted(self.upper, draws, right=True).clamp_(max=len(self.upper) - 1) + 1

    def log_probability(self, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log of the items' shares."""
        return self.log_shares[items - 1]


@NEGATIVES.register("in_batch")
class InBatch(NegativeSampler):
    """Targets of the same batch: popular items come often and nothing but the batch is needed.

    Args:
        n_items: Real items, V.

    References:
        Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations, 2019 (RecSys).
    """

    def __init__(self, *, n_items: int) -> None:
        super().__init__()
        self.n_items = n_items

    def sample(self, shape: tuple[int, ...], targets: torch.Tensor) -> torch.Tensor:
        """See `NegativeSampler.sample`."""
        return targets[torch.randint(0, len(targets), shape, device=targets.device)]

    def log_probability(self, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log of the items' shares of the batch's targets."""
        counts = torch.zeros(self.n_items + 1, device=targets.device)
        counts.index_add_(0, targets, torch.ones(len(targets), device=targets.device))
        return (counts[items] / len(targets)).log()


@NEGATIVES.register("mixed")
class Mixed(NegativeSampler):
    """Each draw comes from one of two samplers.

    Args:
        first: A sampler.
        second: Another one.
        share: Probability that a draw comes from the first.
        n_items: Real items, V.
        item_counts: Training rows of each item, (V,).

    References:
        Yang et al., Mixed Negative Sampling for Learning Two-tower Neural Networks in Recommendations, 2020 (WWW companion).
    """

    def __init__(
        self,
        *,
        first: Annotated[Mapping[str, Any], PartOf(NEGATIVES)],
        second: Annotated[Mapping[str, Any], PartOf(NEGATIVES)],
        share: Probability,
        n_items: int,
        item_counts: torch.Tensor,
    ) -> None:
        super().__init__()
        self.first = NEGATIVES.build(first, n_items=n_items, item_counts=item_counts)
        self.second = NEGATIVES.build(second, n_items=n_items, item_counts=item_counts)
        self.share = share

    def sample(self, shape: tuple[int, ...], targets: torch.Tensor) -> torch.Tensor:
        """See `NegativeSampler.sample`."""
        from_first = torch.rand(shape, device=targets.device) < self.share
        return torch.where(from_first, self.first.sample(shape, targets), self.second.sample(shape, targets))

    def log_probability(self, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log of the mixture."""
        first = self.first.log_probability(items, targets).exp()
        second = self.second.log_probability(items, targets).exp()
        return (self.share * first + (1 - self.share) * second).log()
