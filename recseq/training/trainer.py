"""The Lightning trainer as recseq sets it up."""

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException

from recseq import termination
from recseq.data.batches import TrainLoader
from recseq.distributed.checks import require_ranks, state_for_all
from recseq.distributed.ranks import met
from recseq.distributed.strategy import InStep, make_strategy
from recseq.errors import ConfigError
from recseq.options import PositiveFloat, PositiveInt, Share
from recseq.training.accumulation import Accumulation
from recseq.training.averaging import MovingAverage
from recseq.training.callbacks import EpochEnd, LastState, ProgressBar, Watch
from recseq.training.context import FitContext
from recseq.training.controls import ProfilerName, make_callback, make_profiler
from recseq.training.lightning_module import SequentialModule

log = logging.getLogger(__name__)
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its notes on devices and products are not about this run

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """The `trainer` group.

    Args:
        accelerator: Device kind; auto takes CUDA when there is one.
        devices: Devices on each machine; each is a process, a rank, that computes its share of every batch.
        num_nodes: Machines; more than one need a launcher that starts the program on all of them.
        max_epochs: Epochs to train.
        precision: Number format of the computation.
        deterministic: Only deterministic algorithms; an error where an operation has none.
        gradient_clip_val: Largest gradient norm, or largest value of a gradient; None does not clip.
        gradient_clip_algorithm: Which of the two; None is the norm.
        accumulate_grad_batches: Batches an optimizer step; see `Accumulation`.
        ema_decay: Rank with a moving average of the weights of this decay, see `MovingAverage`; None with the last weights.
        compile: Compile the encoder's layers with `torch.compile`, for batches of any size.
        find_lr: Look for a learning rate before training; optimizer.lr is not used.
        limit_train_batches: Stop each epoch after so many batches; None takes all.
        enable_progress_bar: Show Lightning's bar.
        checkpoint: Save the last state of training into the fold's folder, after each epoch and when the process is told to end.
        checkpoint_every_n_batches: Save it within epochs too, each time so many batches are done; None does not.
        callbacks: Lightning callbacks by a name of one's own: nodes with `_target_`.
        profiler: Write a report of where the time goes into the fold's folder.
    """

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: PositiveInt
    num_nodes: PositiveInt
    max_epochs: PositiveInt
    precision: Precision
    deterministic: bool
    gradient_clip_val: PositiveFloat | None
    gradient_clip_algorithm: Literal["norm", "value"] | None
    accumulate_grad_batches: PositiveInt
    ema_decay: Share | None
    compile: bool
    find_lr: bool
    limit_train_batches: PositiveInt | None
    enable_progress_bar: bool
    checkpoint: bool
    checkpoint_every_n_batches: PositiveInt | None
    callbacks: dict[str, Any]
    profiler: ProfilerName | None

    @property
    def n_ranks(self) -> int:
        """Processes that train together."""
        return self.devices * self.num_nodes


def require_device(options: TrainerOptions) -> None:
    """Refuse a device that this machine does not have, and what the device cannot do.

    Raises:
        ConfigError: It has none, or it cannot.
    """
    on_cpu = inference_device(options).type == "cpu"
    require_ranks(options.devices, options.num_nodes, None if on_cpu else torch.cuda.device_count())
    compiler = os.environ.get("CXX", "g++")
    if options.compile and on_cpu and shutil.which(compiler) is None:
        raise ConfigError(
            f"trainer.compile is true, which needs a C++ compiler on the CPU, and there is no {compiler!r}; install one or set CXX"
        )
    if options.precision == "16-mixed" and on_cpu:
        raise ConfigError("trainer.precision is '16-mixed', which needs a CUDA device, and training would be on the CPU; use bf16-mixed")


def inference_device(options: TrainerOptions) -> torch.device:
    """Where a model is trained, and ranks when it is loaded: what `trainer.accelerator` says, the CPU for `auto` on a machine without CUDA.

    Raises:
        ConfigError: The device asked for is not there.
    """
    if options.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator is 'gpu', but this machine has no CUDA device; use trainer=cpu or trainer=auto")
    return torch.device("cuda" if options.accelerator != "cpu" and torch.cuda.is_available() else "cpu")


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
    average = MovingAverage(options.ema_decay) if options.ema_decay is not None else None
    callbacks: list[pl.Callback] = [EpochEnd(context, watch, average)]
    if average is not None:
        callbacks.append(average)
    if options.accumulate_grad_batches > 1:
        callbacks.append(Accumulation(options.accumulate_grad_batches))
    if options.enable_progress_bar:
        callbacks.append(ProgressBar(context.label))
    if (ranks := met()) is not None:
        callbacks.append(InStep(ranks))
    callbacks += [make_callback(node, f"trainer.callbacks.{name}") for name, node in options.callbacks.items()]
    folder = context.folder if options.checkpoint else None
    if watch is not None:
        callbacks += watch.callbacks(folder)
    file = context.state_file if options.checkpoint else None
    callbacks.append(LastState(file, options.checkpoint_every_n_batches))  # behind all others: it saves their state too
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="GPU available but not used")
        return pl.Trainer(
            **_of_steps(options),
            max_epochs=options.max_epochs,
            profiler=make_profiler(options.profiler, context.folder),
            default_root_dir=context.folder,
            enable_progress_bar=options.enable_progress_bar,
            callbacks=callbacks,
        )


def make_finder(options: TrainerOptions, folder: str) -> pl.Trainer:
    """A trainer for `find_rate`: of the same options as far as they concern a step."""
    return pl.Trainer(
        **_of_steps(options), default_root_dir=folder, enable_progress_bar=False, enable_checkpointing=False, max_epochs=10**6
    )


def _of_steps(options: TrainerOptions) -> dict[str, Any]:
    """Lightning's options that decide what a step is, and those that recseq never uses."""
    return {
        "accelerator": "cuda" if options.accelerator == "gpu" else options.accelerator,
        "devices": options.devices,
        "num_nodes": options.num_nodes,
        "strategy": make_strategy(ranks) if (ranks := met()) is not None else "auto",
        "precision": options.precision,
        "deterministic": options.deterministic,
        "gradient_clip_val": options.gradient_clip_val,
        "gradient_clip_algorithm": options.gradient_clip_algorithm,
        "accumulate_grad_batches": options.accumulate_grad_batches,
        "limit_train_batches": options.limit_train_batches if options.limit_train_batches is not None else 1.0,
        "enable_model_summary": False,
        "logger": False,
        "use_distributed_sampler": False,
    }


@contextmanager
def quiet_lightning(trainer: pl.Trainer, label: str) -> Iterator[None]:
    """A block in which a trainer runs: notes that do not concern a packed loader stay out of the log, and what it raises is ours.

    Raises:
        ConfigError: Lightning refuses a callback or an option.
        KeyboardInterrupt: Ctrl-C, which Lightning turns into an exit.
        Terminated: SIGTERM, too.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*broadcast_buffers.*")  # its successor is not in the oldest torch that will do
        warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # what is not synchronised is the same in all ranks
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        try:
            yield
        except MisconfigurationException as error:
            raise ConfigError(f"{label}: Lightning refuses what the trainer group asks for: {error}") from error
        except SystemExit:
            if termination.requested():
                raise termination.Terminated from None
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise


def fit_module(trainer: pl.Trainer, module: SequentialModule, batches: TrainLoader, context: FitContext) -> float:
    """Train, going on from the last saved batch where the context's folder has the state of an interrupted training.

    Returns:
        Epochs trained now, without those of the state that it went on from.

    Raises:
        ConfigError: Lightning refuses a callback or an option.
        KeyboardInterrupt: Ctrl-C.
        Terminated: SIGTERM; the state is saved.
        TrainingError: The loss is no longer finite.
    """
    state = context.state if (ranks := met()) is None else state_for_all(ranks, context.state, context.state_file)
    if state is not None:
        log.info("%s: going on from %s", context.label, state.name)
    with quiet_lightning(trainer, context.label), termination.deferred():
        trainer.fit(module, batches, ckpt_path=state, weights_only=True)
    (epochs,) = (callback for callback in trainer.callbacks if isinstance(callback, EpochEnd))  # type: ignore[attr-defined]
    if epochs.average is not None:
        epochs.average.leave_in(module)
    return len(epochs.history) - epochs.epochs_restored
