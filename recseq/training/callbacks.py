"""What happens around training epochs: scoring, keeping the best, stopping, and the state that a resumed training goes on from."""

import contextlib
import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint, TQDMProgressBar

from recseq import termination
from recseq.distributed.ranks import met
from recseq.errors import TrainingError
from recseq.files import written_aside
from recseq.training.averaging import MovingAverage
from recseq.training.context import FitContext
from recseq.training.progress import EpochSums, in_middle_of_epoch, n_batches_done, random_state, set_random_state

log = logging.getLogger(__name__)


class Watch:
    """Scores a validation part after each epoch, keeps the best epoch's weights, and stops training that no longer improves.

    Args:
        evaluate: Metrics of the module as it is, by column.
        monitor: Column of the metric that chooses.
        mode: Whether its largest or its smallest value is best.
        patience: Stop after so many epochs without improvement; None trains on.
    """

    def __init__(self, evaluate: Callable[[], dict[str, float]], monitor: str, mode: Literal["max", "min"], patience: int | None) -> None:
        self._evaluate = evaluate
        self.monitor = f"val_{monitor}"
        self.mode = mode
        self.patience = patience
        self._temporary: TemporaryDirectory[str] | None = None
        self._checkpoint: ModelCheckpoint

    def evaluate(self) -> dict[str, float]:
        """Metrics of the module as it is, `val_MAP@10`."""
        return {f"val_{name}": value for name, value in self._evaluate().items()}

    def callbacks(self, folder: Path | None) -> list[pl.Callback]:
        """Lightning's callbacks for it.

        Args:
            folder: Where `best.ckpt` is kept; None keeps it until `restore` only.
        """
        if folder is None:
            self._temporary = TemporaryDirectory(prefix="recseq-")
            folder = Path(self._temporary.name)
        self._checkpoint = ModelCheckpoint(
            folder, filename="best", monitor=self.monitor, mode=self.mode, save_on_train_epoch_end=True, enable_version_counter=False
        )
        found: list[pl.Callback] = [self._checkpoint]
        if self.patience is not None:
            found.append(_Patience(self.monitor, patience=self.patience, mode=self.mode, check_on_train_epoch_end=True))
        return found

    def best(self, module: pl.LightningModule, restore: bool) -> tuple[int, float]:
        """Number (from 1) of the best epoch and its value, and, when asked for, its weights back in the module."""
        state = torch.load(self._checkpoint.best_model_path, map_location=module.device, weights_only=True)
        if restore:
            module.load_state_dict(state["state_dict"])
        if self._temporary is not None:
            self._temporary.cleanup()
        assert self._checkpoint.best_model_score is not None
        return int(state["epoch"]) + 1, float(self._checkpoint.best_model_score)


class _Patience(EarlyStopping):
    """Early stopping that knows, when training is resumed, that it had stopped already."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning does not keep that it was told to stop."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class EpochEnd(pl.Callback):
    """Sets the loader's epoch, scores the validation part and hands the epoch's metrics on.

    Its state makes a resumed training that of one without a break: random numbers go on where they were when the state was saved, an epoch
    in whose middle that was goes on with the batch and the sums where it was, and the metrics of the epochs before are handed on again.
    """

    def __init__(self, context: FitContext, watch: Watch | None, average: MovingAverage | None) -> None:
        self.context = context
        self.watch = watch
        self.average = average
        self.rates: list[float] = []
        self.history: list[dict[str, float]] = []
        self.epochs_restored = 0.0
        self.random_state: list[torch.Tensor] = []
        self.sums = EpochSums()

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """State for the checkpoint, all of it of this moment."""
        checkpoint["recseq"] = {"history": self.history, "random_state": random_state(), "sums": self.sums.state_dict(trainer)}

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """State from the checkpoint."""
        state = checkpoint["recseq"]
        self.history, self.random_state = state["history"], state["random_state"]
        self.sums.load_state_dict(state["sums"])
        self.epochs_restored = len(self.history)
        for epoch, metrics in enumerate(self.history, start=1):
            self.context.log_epoch(metrics, epoch)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Order and random numbers go on where the checkpoint was; set late, so that nothing draws in between."""
        if n_done := n_batches_done(trainer):
            loader: Any = trainer.train_dataloader
            loader.go_on(trainer.current_epoch, n_done)
            self.epochs_restored += n_done / trainer.num_training_batches
        else:
            self.sums.load_state_dict({})  # those of an epoch that has ended
        if self.random_state:
            set_random_state(self.random_state)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the loader which epoch comes."""
        loader: Any = trainer.train_dataloader
        loader.set_epoch(trainer.current_epoch)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer) -> None:
        """Look at the learning rates."""
        self.rates = [float(group["lr"]) for group in optimizer.param_groups]

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Behind a break, go on with the epoch's sums."""
        termination.raise_if_interrupted()
        self.sums.add_restored(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score, say, hand on."""
        metrics = {name: float(value) for name, value in (trainer.callback_metrics | self.sums.finish()).items()}
        if "train_loss" in metrics and not math.isfinite(metrics["train_loss"]):
            raise TrainingError(
                f"{self.context.label}: the loss is {metrics['train_loss']} after epoch {trainer.current_epoch + 1}; training diverged, "
                f"try a smaller optimizer.lr or trainer.gradient_clip_val"
            )
        metrics |= {"lr" if i == 0 else f"lr_{i}": rate for i, rate in enumerate(self.rates)}  # of the epoch's last step
        if self.watch is not None:
            with self.average.in_place(pl_module) if self.average is not None else contextlib.nullcontext():
                scores = self.watch.evaluate()
            pl_module.log(self.watch.monitor, scores[self.watch.monitor])  # early stopping and checkpoints look for it there
            metrics |= scores
        shown = ["train_loss", self.watch.monitor] if self.watch is not None else ["train_loss"]
        told = ", ".join(f"{name} {metrics[name]:.4f}" for name in shown if name in metrics)
        log.info("%s: epoch %d of %s, %s", self.context.label, trainer.current_epoch + 1, trainer.max_epochs, told)
        self.history.append(metrics)
        self.context.log_epoch(metrics, trainer.current_epoch + 1)


class LastState(Checkpoint):
    """Keeps the last state of training, and stops training where it can go on exactly when the process is told to end.

    Args:
        file: Where; None keeps nothing.
        every_n_batches: Save within an epoch each time so many batches are done; None saves at the ends of epochs only. Where gradients
            are accumulated it waits for the step.
    """

    def __init__(self, file: Path | None, every_n_batches: int | None) -> None:
        self.file = file
        self.every_n_batches = every_n_batches
        self._n_unsaved = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning has put its own handler in front, which stops at moments of its own."""
        termination.put_back()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Save when it is time to, stop when told to."""
        self._n_unsaved += 1
        if not in_middle_of_epoch(trainer):
            return
        stop = to_stop()
        if stop or (self.every_n_batches is not None and self._n_unsaved >= self.every_n_batches):
            self._save(trainer)
        if stop:
            raise termination.Terminated

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, stop when told to."""
        self._save(trainer)
        if to_stop():
            raise termination.Terminated

    def _save(self, trainer: pl.Trainer) -> None:
        """Lightning's own writing is not atomic where the temporary folder lies on another disk."""
        self._n_unsaved = 0
        if self.file is None:
            return
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.file)  # takes part, and writes nothing
            return
        with written_aside(self.file) as aside:
            trainer.save_checkpoint(aside)


def to_stop() -> bool:
    """Whether training is to stop, in all ranks at the same batch."""
    ranks = met()
    return termination.requested() if ranks is None else ranks.follow(termination.requested())


class ProgressBar(TQDMProgressBar):
    """One bar an epoch, named after the fit."""

    def __init__(self, label: str) -> None:
        super().__init__(refresh_rate=10 if sys.stderr.isatty() else 100)
        self.label = label

    def init_train_tqdm(self) -> Any:
        """Named after the fit."""
        bar = super().init_train_tqdm()
        bar.set_description(self.label)
        return bar

    def on_train_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """An epoch that goes on in its middle is not started again."""
        super().on_train_start(trainer, *args)
        if n_batches_done(trainer):
            self.on_train_epoch_start(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Say which epoch it is."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(f"{self.label}, epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Without the version that a logger would have."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return dict(metrics)
