"""An objective, a negative sampler, a loss and a Lightning module."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from recseq.data.objectives import OBJECTIVES, Layout, Shifted
from recseq.data.packing import PackedBatch
from recseq.data.sequences import SequenceStore
from recseq.options import NonNegativeFloat, PositiveInt
from recseq.training.lightning_module import MODULES, SequentialModule
from recseq.training.losses import LOSSES, SampledLoss
from recseq.training.negatives import NEGATIVES, NegativeSampler


@OBJECTIVES.register("recent")
class Recent(Shifted):
    """The shifted objective with targets at the newest `n_targets` tokens of each user only."""

    def __init__(self, *, n_targets: PositiveInt) -> None:
        self.n_targets = n_targets

    def training_batch(self, store: SequenceStore, layout: Layout, i_batch: int) -> PackedBatch:
        batch = super().training_batch(store, layout, i_batch)
        rows = (batch.positions < self.n_targets).nonzero().squeeze(1)
        return replace(batch, targets=batch.targets[rows], weights=batch.weights[rows], target_rows=rows)


@NEGATIVES.register("head")
class Head(NegativeSampler):
    """Uniform over the `n_head` most popular items: hard negatives."""

    def __init__(self, *, item_counts: torch.Tensor, n_head: PositiveInt) -> None:
        super().__init__()
        self.register_buffer("items", item_counts.argsort(descending=True)[:n_head] + 1)

    def sample(self, shape: tuple[int, ...], targets: torch.Tensor) -> torch.Tensor:
        return self.items[torch.randint(0, len(self.items), shape, device=targets.device)]

    def log_probability(self, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.isin(items, self.items), 1 / len(self.items), 0.0).log()


@LOSSES.register("bpr")
class BPRLoss(SampledLoss):
    """Bayesian personalised ranking (Rendle et al., 2009, arXiv:1205.2618)."""

    def losses(self, logits: torch.Tensor) -> torch.Tensor:
        return F.softplus(logits[:, 1:] - logits[:, :1]).mean(1)


@MODULES.register("penalised")
class Penalised(SequentialModule):
    """Adds a penalty on the length of item vectors."""

    def __init__(self, *, penalty: NonNegativeFloat, **parts: object) -> None:
        super().__init__(**parts)
        self.penalty = penalty

    def training_step(self, batch: PackedBatch, batch_idx: int) -> torch.Tensor:
        return super().training_step(batch, batch_idx) + self.penalty * self.encoder.item_net().square().mean()
