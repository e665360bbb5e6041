"""Several batches a step, with the loss and gradient of the one batch that they are together."""

from typing import Any

import pytorch_lightning as pl
import torch

from recseq.training.lightning_module import SequentialModule


class Accumulation(pl.Callback):
    """Weights the batches of a step by their targets.

    Lightning takes the mean of their losses, each a mean over its own targets; one larger batch is the mean over all targets. So each loss
    is weighted by its number of targets against the first batch's (numbers near 1, which half precision bears), and the gradients are
    put right when the step's targets are known, before they are clipped. Also right for the last step of an epoch, which may have fewer
    batches. What is left of a difference to `model.batch_size` times as large: rounding, and draws (dropout, negatives, masks).

    Args:
        n_batches: Batches a step, `trainer.accumulate_grad_batches`.
    """

    def __init__(self, n_batches: int) -> None:
        self.n_batches = n_batches
        self._targets: list[int] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """Weight the batch's loss."""
        assert isinstance(pl_module, SequentialModule)
        self._targets.append(batch.n_step_targets)
        pl_module.share_of_step = batch.n_step_targets / self._targets[0]

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer) -> None:
        """Turn the gradients into those of the mean over all targets."""
        factor = self.n_batches * self._targets[0] / sum(self._targets)
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        torch._foreach_mul_(gradients, factor)
        self._targets = []
