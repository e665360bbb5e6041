"""Parts of the `trainer` group that are objects: extra callbacks and the profiler; and which of its options contradict each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from hydra.errors import InstantiationException
from hydra.utils import get_class
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from recseq.errors import ConfigError
from recseq.registry import check_options

Node = Mapping[str, Any]
ProfilerName = Literal["simple", "advanced", "pytorch"]
PROFILERS: dict[str, type[Profiler]] = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


def check_controls(trainer: Node, optimizer: Any, scheduler: Any) -> list[str]:
    """Options of the `trainer` group that fit their types but not each other, or have no effect.

    Args:
        trainer: The group, its types checked.
        optimizer: The `optimizer` group.
        scheduler: The `scheduler` group.
    """
    found = []
    if trainer["checkpoint_every_n_batches"] is not None and not trainer["checkpoint"]:
        found.append("trainer.checkpoint_every_n_batches is set, which has no effect with trainer.checkpoint=false")
    if trainer["gradient_clip_algorithm"] is not None and trainer["gradient_clip_val"] is None:
        found.append("trainer.gradient_clip_algorithm is set, which has no effect while trainer.gradient_clip_val is null")
    fused = isinstance(optimizer, Mapping) and optimizer.get("fused", False)
    if trainer["precision"] == "16-mixed" and trainer["gradient_clip_val"] is not None and fused:
        found.append(
            "trainer.gradient_clip_val with trainer.precision=16-mixed needs optimizer.fused=false: fused ones unscale gradients late"
        )
    if trainer["find_lr"]:
        if not isinstance(optimizer, Mapping) or "lr" not in optimizer:
            found.append("trainer.find_lr is true, but the optimizer has no option lr")
        if isinstance(scheduler, Mapping) and "max_lr" in scheduler:
            found.append("trainer.find_lr is true, which has no effect on a scheduler that sets the rate itself, by scheduler.max_lr")
    for name, node in trainer["callbacks"].items():
        found += _check_callback(node, f"trainer.callbacks.{name}")
    return found


def _check_callback(node: Any, where: str) -> list[str]:
    if not isinstance(node, Mapping) or "_target_" not in node:
        return [f"{where} must be a mapping with the key '_target_', the class of a Lightning callback"]
    try:
        target = get_class(str(node["_target_"]))
    except (InstantiationException, ValueError, ImportError) as error:
        return [f"{where}._target_ is {node['_target_']!r}, which cannot be imported: {error}".splitlines()[0]]
    if not issubclass(target, pl.Callback):
        return [f"{where}._target_ is {node['_target_']!r}, which is no Lightning callback (pytorch_lightning.Callback)"]
    problems = check_options(target, {key: value for key, value in node.items() if key != "_target_"}, where)
    if not problems:
        try:
            make_callback(node, where)
        except ConfigError as error:
            problems.append(str(error))
    return problems


def make_callback(node: Node, where: str) -> pl.Callback:
    """A callback, made anew for each fit.

    Args:
        node: Its class and options.
        where: Config path, for messages.

    Raises:
        ConfigError: It refuses its options.
    """
    options = {key: value for key, value in node.items() if key != "_target_"}
    try:
        callback: pl.Callback = get_class(str(node["_target_"]))(**options)
    except Exception as error:  # whatever somebody's class raises at its options
        raise ConfigError(f"{where}: {node['_target_']} refuses its options {options}: {error}") from None
    return callback


def make_profiler(name: ProfilerName | None, folder: Path | None) -> Profiler | None:
    """A profiler that writes its report, `fit-profile*`, to a folder; None without a name or a folder."""
    if name is None or folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return PROFILERS[name](dirpath=folder, filename="profile")
