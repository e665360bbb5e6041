"""The Lightning trainer as recseq sets it up."""

import logging
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar

from recseq.data.batches import TrainLoader
from recseq.errors import ConfigError, TrainingError
from recseq.options import NonNegativeFloat, PositiveInt
from recseq.training.lightning_module import SequentialModule

log = logging.getLogger(__name__)
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its notes on devices and products are not about this run

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
EpochLog = Callable[[dict[str, float], int], None]


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """The `trainer` group.

    Args:
        accelerator: Device kind; auto takes CUDA when there is one.
        devices: Number of devices; training on several is not there yet.
        max_epochs: Epochs to train.
        precision: Number format of the computation.
        deterministic: Only deterministic algorithms; an error where an operation has none.
        gradient_clip_val: Largest gradient norm; None does not clip.
        limit_train_batches: Stop each epoch after so many batches; None takes all.
        enable_progress_bar: Show Lightning's bar.
        checkpoint: Save the last state of training into the fold's folder.
    """

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: Literal[1]
    max_epochs: PositiveInt
    precision: Precision
    deterministic: bool
    gradient_clip_val: NonNegativeFloat | None
    limit_train_batches: PositiveInt | None
    enable_progress_bar: bool
    checkpoint: bool


@dataclass
class FitContext:
    """Where and how a fit runs; what the flow knows and a model does not.

    Args:
        folder: For checkpoints; None keeps nothing.
        seed: Of weights, dropout, order and draws.
        log_epoch: Receives metrics and the number of the epoch, from 1.
        label: For the progress bar.
    """

    folder: Path | None
    seed: int
    log_epoch: EpochLog = field(default=lambda metrics, epoch: None)
    label: str = "fit"


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
            found.append(EarlyStopping(self.monitor, patience=self.patience, mode=self.mode, check_on_train_epoch_end=True))
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


def require_device(options: TrainerOptions) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        ConfigError: It has none.
    """
    if options.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator is 'gpu', but this machine has no CUDA device; use trainer=cpu or trainer=auto")


def make_trainer(options: TrainerOptions, context: FitContext, watch: Watch | None = None) -> pl.Trainer:
    """A trainer for one fit.

    Args:
        options: The `trainer` group.
        context: Where and how the fit runs.
        watch: Scores a validation part after each epoch.

    Raises:
        ConfigError: The device asked for is not there.
    """
    require_device(options)
    callbacks: list[pl.Callback] = [_EpochEnd(context, watch)]
    if options.enable_progress_bar:
        callbacks.append(_ProgressBar(context.label))
    save = options.checkpoint and context.folder is not None
    if save:
        callbacks.append(ModelCheckpoint(context.folder, filename="last", save_top_k=1, enable_version_counter=False))
    if watch is not None:
        callbacks += watch.callbacks(context.folder if save else None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="GPU available but not used")
        return pl.Trainer(
            accelerator="cuda" if options.accelerator == "gpu" else options.accelerator,
            devices=options.devices,
            max_epochs=options.max_epochs,
            precision=options.precision,
            deterministic=options.deterministic,
            gradient_clip_val=options.gradient_clip_val,
            limit_train_batches=options.limit_train_batches if options.limit_train_batches is not None else 1.0,
            enable_progress_bar=options.enable_progress_bar,
            enable_model_summary=False,
            enable_checkpointing=save or watch is not None,
            logger=False,
            callbacks=callbacks,
            use_distributed_sampler=False,
        )


def fit_module(trainer: pl.Trainer, module: SequentialModule, batches: TrainLoader) -> None:
    """Train; Lightning's notes about what does not concern a packed loader are kept out of the log.

    Raises:
        KeyboardInterrupt: Ctrl-C, which Lightning turns into an exit.
        TrainingError: The loss is no longer finite.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        try:
            trainer.fit(module, batches)
        except SystemExit:
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise


class _EpochEnd(pl.Callback):
    """Sets the loader's epoch, scores the validation part and hands the epoch's metrics on."""

    def __init__(self, context: FitContext, watch: Watch | None) -> None:
        self.context = context
        self.watch = watch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loader: Any = trainer.train_dataloader
        loader.set_epoch(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if "train_loss" in metrics and not math.isfinite(metrics["train_loss"]):
            raise TrainingError(
                f"{self.context.label}: the loss is {metrics['train_loss']} after epoch {trainer.current_epoch + 1}; training diverged, "
                f"try a smaller optimizer.lr or trainer.gradient_clip_val"
            )
        if self.watch is not None:
            scores = self.watch.evaluate()
            pl_module.log(self.watch.monitor, scores[self.watch.monitor])  # early stopping and checkpoints look for it there
            metrics |= scores
        shown = ["train_loss", self.watch.monitor] if self.watch is not None else ["train_loss"]
        told = ", ".join(f"{name} {metrics[name]:.4f}" for name in shown if name in metrics)
        log.info("%s: epoch %d of %s, %s", self.context.label, trainer.current_epoch + 1, trainer.max_epochs, told)
        self.context.log_epoch(metrics, trainer.current_epoch + 1)


class _ProgressBar(TQDMProgressBar):
    """One bar an epoch, named after the fit."""

    def __init__(self, label: str) -> None:
        super().__init__(refresh_rate=10 if sys.stderr.isatty() else 100)
        self.label = label

    def init_train_tqdm(self) -> Any:
        bar = super().init_train_tqdm()
        bar.set_description(self.label)
        return bar

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(f"{self.label}, epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return dict(metrics)
