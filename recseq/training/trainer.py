"""The Lightning trainer as recseq sets it up."""

import logging
import warnings
from dataclasses import dataclass
from typing import Literal

import pytorch_lightning as pl
import torch

from recseq import termination
from recseq.data.batches import TrainLoader
from recseq.errors import ConfigError
from recseq.options import NonNegativeFloat, PositiveInt
from recseq.training.callbacks import EpochEnd, LastState, ProgressBar, Watch
from recseq.training.context import FitContext
from recseq.training.lightning_module import SequentialModule

log = logging.getLogger(__name__)
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its notes on devices and products are not about this run

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


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
        checkpoint: Save the last state of training into the fold's folder, after each epoch and when the process is told to end.
        checkpoint_every_n_batches: Save it within epochs too, each time so many batches are done; None does not.
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
    checkpoint_every_n_batches: PositiveInt | None


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
    callbacks: list[pl.Callback] = [EpochEnd(context, watch)]
    if options.enable_progress_bar:
        callbacks.append(ProgressBar(context.label))
    folder = context.folder if options.checkpoint else None
    if watch is not None:
        callbacks += watch.callbacks(folder)
    file = context.state_file if options.checkpoint else None
    callbacks.append(LastState(file, options.checkpoint_every_n_batches))  # behind all others: it saves their state too
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
            logger=False,
            callbacks=callbacks,
            use_distributed_sampler=False,
        )


def fit_module(trainer: pl.Trainer, module: SequentialModule, batches: TrainLoader, context: FitContext) -> float:
    """Train, going on from the last saved batch where the context's folder has the state of an interrupted training.

    Lightning's notes about what does not concern a packed loader are kept out of the log.

    Returns:
        Epochs trained now, without those of the state that it went on from.

    Raises:
        KeyboardInterrupt: Ctrl-C, which Lightning turns into an exit.
        Terminated: SIGTERM; the state is saved.
        TrainingError: The loss is no longer finite.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        state = context.state
        if state is not None:
            log.info("%s: going on from %s", context.label, state.name)
        try:
            with termination.deferred():
                trainer.fit(module, batches, ckpt_path=state, weights_only=True)
        except SystemExit:
            if termination.requested():
                raise termination.Terminated from None
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise
    (epochs,) = (callback for callback in trainer.callbacks if isinstance(callback, EpochEnd))  # type: ignore[attr-defined]
    return len(epochs.history) - epochs.epochs_restored
