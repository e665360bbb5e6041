"""Losses over target positions: sum of weight * loss, divided by the number of target positions.

Shapes: T' target positions, N negatives a position, D `n_factors`, R rows of the item matrix, V real items.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional as F

from recseq.data.packing import PackedBatch
from recseq.options import PositiveFloat, PositiveInt, Probability
from recseq.registry import PartOf, Registry
from recseq.training.fused_softmax import fused_softmax_loss
from recseq.training.negatives import NEGATIVES
from recseq.training.sampled_logits import sampled_logits


class Loss(nn.Module, ABC):
    """Base of losses.

    Attributes:
        needs_negatives: The loss compares the positive with sampled items instead of the whole catalogue.
    """

    needs_negatives: ClassVar[bool] = False

    @abstractmethod
    def forward(self, hidden: torch.Tensor, batch: PackedBatch, items: torch.Tensor) -> torch.Tensor:
        """Loss of a batch.

        Args:
            hidden: Hidden states of the target positions as they are compared with items, (T', D).
            batch: The batch; its `targets` and `weights` belong to the rows of `hidden`.
            items: Item vectors as they are compared, (R, D); rows 1..V are real items.

        Returns:
            Scalar.
        """

    def skip(self, batch: PackedBatch) -> None:
        """Draw what `forward` would for a share without targets, so that all ranks go on drawing the same numbers."""


LOSSES: Registry[Loss] = Registry("loss", ("n_items", "item_counts"))


@LOSSES.register("softmax")
class SoftmaxLoss(Loss):
    """Cross entropy over the real items.

    *Ours*: PAD and MASK are never classes; RecTools leaves them in.

    Args:
        n_items: Real items, V.
        logits_t: Temperature that logits are divided by.
    """

    def __init__(self, *, n_items: int, logits_t: PositiveFloat) -> None:
        super().__init__()
        self.n_items = n_items
        self.logits_t = logits_t

    def forward(self, hidden: torch.Tensor, batch: PackedBatch, items: torch.Tensor) -> torch.Tensor:
        """See `Loss.forward`."""
        if self.logits_t != 1:
            hidden = hidden / self.logits_t
        return fused_softmax_loss(hidden, items[1 : self.n_items + 1], batch.targets - 1, batch.weights) / batch.n_targets


class SampledLoss(Loss):
    """Base of losses that compare each positive with N sampled negatives.

    Args:
        n_items: Real items, V.
        item_counts: Training rows of each item, (V,).
        n_negatives: Negatives a position, N.
        sampling: Whether each position has negatives of its own (as RecTools), or a user's or the batch's positions share them.
        mask_hits: Leave out negatives that equal the positive.
        logits_t: Temperature that logits are divided by.
        negatives: The sampler.
    """

    needs_negatives = True

    def __init__(
        self,
        *,
        n_items: int,
        item_counts: torch.Tensor,
        n_negatives: PositiveInt,
        sampling: Literal["position", "user", "batch"],
        mask_hits: bool,
        logits_t: PositiveFloat,
        negatives: Annotated[Mapping[str, Any], PartOf(NEGATIVES)],
    ) -> None:
        super().__init__()
        self.n_items = n_items
        self.n_negatives = n_negatives
        self.sampling = sampling
        self.mask_hits = mask_hits
        self.logits_t = logits_t
        self.sampler = NEGATIVES.build(negatives, n_items=n_items, item_counts=item_counts)

    @abstractmethod
    def losses(self, logits: torch.Tensor) -> torch.Tensor:
        """Loss of each position.

        Args:
            logits: (T', 1 + N) float32, the positive's first; -inf where a negative is left out.

        Returns:
            (T',).
        """

    def forward(self, hidden: torch.Tensor, batch: PackedBatch, items: torch.Tensor) -> torch.Tensor:
        """See `Loss.forward`."""
        negatives = self.draw(batch)
        return self.compare(hidden, batch, negatives, items, batch.targets, negatives)

    def compare(
        self,
        hidden: torch.Tensor,
        batch: PackedBatch,
        negatives: torch.Tensor,
        items: torch.Tensor,
        target_rows: torch.Tensor,
        negative_rows: torch.Tensor,
    ) -> torch.Tensor:
        """Loss of a batch whose negatives are drawn.

        Args:
            hidden: (T', D).
            batch: The batch.
            negatives: Items, (T', N), or (N,) when all positions share them.
            items: Item vectors as they are compared, of the whole matrix or of the rows at hand, (U, D).
            target_rows: Row of `items` of each target, (T',).
            negative_rows: Row of `items` of each negative, in the shape of `negatives`.

        Returns:
            Scalar.
        """
        if negatives.dim() == 1:
            positive = (hidden * F.embedding(target_rows, items)).sum(1, keepdim=True)
            logits = torch.cat([positive, hidden @ F.embedding(negative_rows, items).T], 1).float()
        else:
            logits = sampled_logits(hidden, items, torch.cat([target_rows[:, None], negative_rows], 1))  # (T', 1 + N)
        if self.logits_t != 1:
            logits = logits / self.logits_t
        logits = self.adjust(logits, negatives, batch.targets if batch.whole is None else batch.whole.batch.targets)
        if self.mask_hits:
            hits = negatives == batch.targets[:, None]
            logits = torch.cat([logits[:, :1], logits[:, 1:].masked_fill(hits, -torch.inf)], 1)
        return (self.losses(logits) * batch.weights).sum() / batch.n_targets

    def adjust(self, logits: torch.Tensor, negatives: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Logits (T', 1 + N) as the loss takes them, before hits are masked.

        Args:
            logits: The positive's first.
            negatives: (T', N) or (N,).
            targets: Of the whole batch, as samplers take them.
        """
        return logits

    def skip(self, batch: PackedBatch) -> None:
        """See `Loss.skip`."""
        self.draw(batch)

    def draw(self, batch: PackedBatch) -> torch.Tensor:
        """Negatives of the batch: (T', N), or (N,) when all positions share them; of a rank's share, those of its positions."""
        if batch.whole is not None:
            negatives = self.draw(batch.whole.batch)
            return negatives if negatives.dim() == 1 else negatives[batch.whole.targets]
        targets, n = batch.targets, self.n_negatives
        if self.sampling == "batch":
            return self.sampler.sample((n,), targets)
        if self.sampling == "user":
            return self.sampler.sample((batch.n_users, n), targets)[batch.rows_with_target(batch.users_of_tokens())]
        return self.sampler.sample((batch.n_targets, n), targets)


@LOSSES.register("bce")
class BCELoss(SampledLoss):
    """Mean over the 1 + N logits of binary cross entropy, target 1 for the positive, 0 for the negatives.

    References:
        Kang and McAuley, Self-Attentive Sequential Recommendation, 2018, arXiv:1808.09781 (there with N = 1).
    """

    def losses(self, logits: torch.Tensor) -> torch.Tensor:
        """See `SampledLoss.losses`."""
        return (F.softplus(-logits[:, 0]) + F.softplus(logits[:, 1:]).sum(1)) / logits.shape[1]


@LOSSES.register("gbce")
class GBCELoss(SampledLoss):
    """Binary cross entropy whose positive probability is raised to beta, against the overconfidence that sampling brings.

    `alpha = N / (V - 1); beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)`. The paper replaces the positive logit s by the logit of
    `sigmoid(s)^beta`. Its cross entropy is `-log(sigmoid(s)^beta) = beta * softplus(-s)`, which is what is computed: exact and stable for
    any s, where RecTools clamps. t = 0 is bce.

    Args:
        gbce_t: Calibration t, 0 to 1.
        options: Those of `SampledLoss`.

    References:
        Petrov and Macdonald, gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with Negative Sampling, 2023,
        arXiv:2308.07192.
    """

    def __init__(self, *, gbce_t: Probability, **options: Any) -> None:
        super().__init__(**options)
        alpha = self.n_negatives / max(self.n_items - 1, 1)
        self.beta = alpha * (gbce_t * (1 - 1 / alpha) + 1 / alpha)

    def losses(self, logits: torch.Tensor) -> torch.Tensor:
        """See `SampledLoss.losses`."""
        return (self.beta * F.softplus(-logits[:, 0]) + F.softplus(logits[:, 1:]).sum(1)) / logits.shape[1]


@LOSSES.register("sampled_softmax")
class SampledSoftmaxLoss(SampledLoss):
    """Cross entropy of the positive against its N negatives.

    Args:
        logq_correction: Subtract `log(N q)` from the logit of each negative, q its probability in one draw: in expectation the negatives
            then stand for the whole catalogue whatever the sampler. The positive, which is not drawn, keeps its logit.
        options: Those of `SampledLoss`.

    References:
        Bengio and Senecal, Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model, 2008.
    """

    def __init__(self, *, logq_correction: bool, **options: Any) -> None:
        super().__init__(**options)
        self.logq_correction = logq_correction

    def adjust(self, logits: torch.Tensor, negatives: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Correct the negatives' logits."""
        if not self.logq_correction:
            return logits
        expected = self.sampler.log_probability(negatives, targets) + torch.log(torch.tensor(float(self.n_negatives)))
        return torch.cat([logits[:, :1], logits[:, 1:] - expected], 1)

    def losses(self, logits: torch.Tensor) -> torch.Tensor:
        """See `SampledLoss.losses`."""
        return logits.logsumexp(1) - logits[:, 0]
