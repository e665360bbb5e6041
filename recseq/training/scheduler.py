"""How the learning rate moves, from a `_target_` node of the config."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class
from torch.optim.lr_scheduler import LinearLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, SequentialLR

from recseq.errors import ConfigError
from recseq.options import NonNegativeInt
from recseq.registry import check_options

log = logging.getLogger(__name__)

TO_END = "to_end"
# Given an optimizer and the steps of an epoch; what Lightning takes as `lr_scheduler`, or None where the rate is constant.
SchedulerFactory = Callable[[torch.optim.Optimizer, int], dict[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class SchedulerOptions:
    """Keys of the `scheduler` group that every scheduler has.

    Args:
        interval: The scheduler moves after each optimizer step, or after each epoch.
        warmup_steps: Optimizer steps in which the rate rises evenly, before the scheduler takes over: step s of W, from 0, has the rate
            times (s + 1) / (W + 1).
    """

    interval: Literal["step", "epoch"]
    warmup_steps: NonNegativeInt


def check_scheduler(node: Any, where: str) -> list[str]:
    """Problems of a scheduler node, each with its config path."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        return [f"{where} must be a mapping with the key '_target_', for example torch.optim.lr_scheduler.CosineAnnealingLR, or null"]
    common = {key: value for key, value in node.items() if key in SchedulerOptions.__dataclass_fields__}
    options = {key: value for key, value in node.items() if key not in common and key != "_target_"}
    problems = check_options(SchedulerOptions, common, where)
    if problems:
        return problems
    if node["_target_"] is None:
        problems = [f"{where}.{key} is set, which has no effect while {where}._target_ is null" for key in options]
        if node["interval"] != "step":
            problems.append(f"{where}.interval is {node['interval']!r}, which has no effect while {where}._target_ is null")
        return problems
    if node["interval"] == "epoch" and node["warmup_steps"]:
        return [f"{where}.warmup_steps is {node['warmup_steps']}, which needs {where}.interval=step"]
    try:
        target = get_class(str(node["_target_"]))
    except (InstantiationException, ValueError, ImportError) as error:
        return [f"{where}._target_ is {node['_target_']!r}, which cannot be imported: {error}".splitlines()[0]]
    if not issubclass(target, LRScheduler):
        return [f"{where}._target_ is {node['_target_']!r}, which is no torch learning-rate scheduler"]
    if issubclass(target, ReduceLROnPlateau):
        return [f"{where}._target_ is {node['_target_']!r}, which waits for a metric; use one that goes by steps or epochs"]
    if issubclass(target, OneCycleLR) and node["warmup_steps"]:
        return [f"{where}.warmup_steps is {node['warmup_steps']}, but OneCycleLR has a warm-up of its own, {where}.pct_start"]
    problems = check_options(target, _with_end(options, 100), where, ("optimizer", "last_epoch"))
    if not problems:
        try:
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
            make_scheduler_factory(node, 10)(optimizer, 1000)
        except ConfigError as error:
            problems.append(str(error))
    return problems


def make_scheduler_factory(node: Mapping[str, Any], n_epochs: int) -> SchedulerFactory:
    """The function that makes the scheduler of an optimizer.

    Args:
        node: A checked node.
        n_epochs: Epochs that the rate's way is laid out for; training may end earlier.
    """
    target, interval, n_warmup = node["_target_"], node["interval"], node["warmup_steps"]
    options = {key: value for key, value in node.items() if key not in ("_target_", *SchedulerOptions.__dataclass_fields__)}

    def make(optimizer: torch.optim.Optimizer, steps_per_epoch: int) -> dict[str, Any] | None:
        n_steps = n_epochs * steps_per_epoch
        if n_warmup >= n_steps:
            log.warning("scheduler.warmup_steps is %d, but training makes %d steps: it ends before the warm-up", n_warmup, n_steps)
        parts: list[LRScheduler] = []
        if n_warmup:
            parts.append(LinearLR(optimizer, start_factor=1 / (n_warmup + 1), end_factor=1.0, total_iters=n_warmup))
        if target is not None:
            left = _with_end(options, n_epochs if interval == "epoch" else max(1, n_steps - n_warmup))
            try:
                parts.append(get_class(str(target))(optimizer, **left))
            except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
                raise ConfigError(f"scheduler: {target} refuses its options {left}: {error}") from None
        if not parts:
            return None
        scheduler = parts[0] if len(parts) == 1 else SequentialLR(optimizer, parts, milestones=[n_warmup])
        return {"scheduler": scheduler, "interval": interval}

    return make


def _with_end(options: Mapping[str, Any], n_left: int) -> dict[str, Any]:
    return {key: n_left if value == TO_END else value for key, value in options.items()}
