"""The Lightning module: one training step on a packed batch."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch

from recseq.data.packing import PackedBatch
from recseq.data.shares import own_draws
from recseq.nets.encoder import SequenceEncoder
from recseq.registry import Registry
from recseq.training.losses import Loss, SampledLoss
from recseq.training.scheduler import SchedulerFactory

OptimizerFactory = Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]


class SequentialModule(pl.LightningModule):
    """Trains an encoder with a loss.

    Args:
        encoder: Encoder with its item net.
        loss: Loss over target positions.
        optimizer: Makes the optimizer of given parameters.
        scheduler: Makes the scheduler of an optimizer.
        by_rows: A step makes and changes only the rows of the item matrix that its batch touches, for catalogues of millions; the loss
            must be a sampled one.
    """

    def __init__(
        self, *, encoder: SequenceEncoder, loss: Loss, optimizer: OptimizerFactory, scheduler: SchedulerFactory, by_rows: bool
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.loss = loss
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.by_rows = by_rows
        self.share_of_step = 1.0

    def training_step(self, batch: PackedBatch, batch_idx: int) -> torch.Tensor:
        """Loss of one batch."""
        if batch.whole is not None and batch.n_targets == 0:
            return self._step_without_targets(batch)
        loss = self._loss_by_rows(batch) if self.by_rows else self._loss(batch)
        self._log_loss(loss, batch)
        if batch.whole is None:
            return loss
        # gradients become the mean over ranks, which is to be that of the mean over all ranks' targets
        return loss * (batch.whole.n_ranks * batch.n_targets / batch.n_step_targets)

    def _loss(self, batch: PackedBatch) -> torch.Tensor:
        """From the whole item matrix; nothing here asks the device for a number."""
        with own_draws(batch):
            item_matrix = self.encoder.item_net()  # (R, D)
            hidden = batch.rows_with_target(self.encoder(batch, item_matrix))  # (T', D)
        similarity = self.encoder.similarity
        return self.loss(similarity.of_users(hidden), batch, similarity.of_items(item_matrix))

    def _loss_by_rows(self, batch: PackedBatch) -> torch.Tensor:
        """The same from the rows that the batch touches; how many they are, a GPU is asked once a step."""
        assert isinstance(self.loss, SampledLoss)
        negatives = self.loss.draw(batch)  # (T', N) or (N,)
        touched = torch.cat([batch.items, batch.targets, negatives.flatten()])
        rows, places = torch.unique(touched, return_inverse=True)  # (U,), (T + T' + ...,)
        inputs, targets, drawn = places.split([batch.n_tokens, batch.n_targets, negatives.numel()])
        item_rows = self.encoder.item_net.of_rows(rows)  # (U, D)
        hidden = batch.rows_with_target(self.encoder(replace(batch, items=inputs), item_rows))  # (T', D)
        similarity = self.encoder.similarity
        return self.loss.compare(
            similarity.of_users(hidden), batch, negatives, similarity.of_items(item_rows), targets, drawn.view(negatives.shape)
        )

    def _step_without_targets(self, batch: PackedBatch) -> torch.Tensor:
        """Zero, with a gradient of zeros for each parameter: the other ranks wait for them."""
        self.loss.skip(batch)
        loss = torch.stack([parameter.sum() * 0 for parameter in self.parameters() if parameter.requires_grad]).sum()
        self._log_loss(loss, batch)
        return loss

    def _log_loss(self, loss: torch.Tensor, batch: PackedBatch) -> None:
        """For the epoch's mean over all targets of all ranks; Lightning takes means of weights over ranks, and rounds them."""
        n_ranks = 1 if batch.whole is None else batch.whole.n_ranks
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=batch.n_targets * n_ranks, sync_dist=n_ranks > 1)

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of the loss, weighted by the batch's share in a step that accumulates several."""
        super().backward(loss if self.share_of_step == 1 else loss * self.share_of_step, *args, **kwargs)

    def configure_optimizers(self) -> Any:
        """The optimizer of all parameters and, where the learning rate moves, its scheduler."""
        optimizer = self.make_optimizer(self.parameters())
        assert self.trainer.max_epochs is not None
        steps_per_epoch = int(self.trainer.estimated_stepping_batches) // self.trainer.max_epochs
        scheduler = self.make_scheduler(optimizer, steps_per_epoch)
        return optimizer if scheduler is None else {"optimizer": optimizer, "lr_scheduler": scheduler}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches are cut on the device that trains, nothing is to be moved."""
        return batch


MODULES: Registry[SequentialModule] = Registry("Lightning module", ("encoder", "loss", "optimizer", "scheduler", "by_rows"))
MODULES.register("sequential")(SequentialModule)
