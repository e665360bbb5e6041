"""The Lightning module: one training step on a packed batch."""

from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch

from recseq.data.packing import PackedBatch
from recseq.nets.encoder import SequenceEncoder
from recseq.registry import Registry
from recseq.training.losses import Loss

OptimizerFactory = Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]


class SequentialModule(pl.LightningModule):
    """Trains an encoder with a loss.

    Args:
        encoder: Encoder with its item net.
        loss: Loss over target positions.
        optimizer: Makes the optimizer of given parameters.
    """

    def __init__(self, *, encoder: SequenceEncoder, loss: Loss, optimizer: OptimizerFactory) -> None:
        super().__init__()
        self.encoder = encoder
        self.loss = loss
        self.make_optimizer = optimizer

    def training_step(self, batch: PackedBatch, batch_idx: int) -> torch.Tensor:
        """Loss of one batch; nothing here asks the device for a number."""
        item_matrix = self.encoder.item_net()  # (R, D)
        hidden = batch.rows_with_target(self.encoder(batch, item_matrix))  # (T', D)
        similarity = self.encoder.similarity
        loss = self.loss(similarity.of_users(hidden), batch, similarity.of_items(item_matrix))
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=batch.n_targets)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of all parameters."""
        return self.make_optimizer(self.parameters())

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches are cut on the device that trains, nothing is to be moved."""
        return batch


MODULES: Registry[SequentialModule] = Registry("Lightning module", ("encoder", "loss", "optimizer"))
MODULES.register("sequential")(SequentialModule)
