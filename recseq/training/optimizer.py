"""The optimizer, from a `_target_` node of the config."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class

from recseq.errors import ConfigError
from recseq.registry import check_options
from recseq.training.lightning_module import OptimizerFactory
from recseq.training.losses import LOSSES, SampledLoss


def check_optimizer(node: Any, where: str) -> list[str]:
    """Problems of an optimizer node, each with its config path."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        return [f"{where} must be a mapping with the key '_target_', for example torch.optim.Adam"]
    try:
        target = get_class(str(node["_target_"]))
    except (InstantiationException, ValueError, ImportError) as error:
        return [f"{where}._target_ is {node['_target_']!r}, which cannot be imported: {error}".splitlines()[0]]
    if not issubclass(target, torch.optim.Optimizer):
        return [f"{where}._target_ is {node['_target_']!r}, which is no torch optimizer"]
    options = {key: value for key, value in node.items() if key != "_target_"}
    problems = check_options(target, options, where, ("params",))
    if not problems:
        try:
            make_optimizer_factory(node)([torch.nn.Parameter(torch.zeros(1))])
        except ConfigError as error:
            problems.append(str(error))
    return problems


def takes_rows(node: Mapping[str, Any]) -> bool:
    """Whether an optimizer wants the gradients of item embeddings for the rows that a batch touches only."""
    return bool(getattr(get_class(str(node["_target_"])), "takes_rows", False))


def check_use_of_rows(optimizer: Mapping[str, Any], loss: Any, trainer: Any) -> list[str]:
    """Problems of an optimizer that takes rows with the loss, which must touch few of them, and with what needs whole gradients.

    Args:
        optimizer: Node of the optimizer, checked.
        loss: Node of the loss.
        trainer: The `trainer` group.
    """
    if not takes_rows(optimizer) or not isinstance(loss, Mapping) or not isinstance(trainer, Mapping):
        return []
    found = []
    if not issubclass(LOSSES.find(loss.get("type"), "loss.type"), SampledLoss):
        sampled = [name for name in LOSSES.names() if issubclass(LOSSES.find(name, "loss"), SampledLoss)]
        found.append(
            f"optimizer._target_ is {optimizer['_target_']!r}, which changes the items that a batch touches, but loss {loss['type']!r} "
            f"touches the whole catalogue; use a loss that samples ({', '.join(sampled)}) or optimizer=adam"
        )
    if trainer.get("gradient_clip_val") is not None:
        found.append(f"trainer.gradient_clip_val is set, but gradients by rows, of {optimizer['_target_']}, cannot be clipped")
    if trainer.get("devices") != 1 or trainer.get("num_nodes") != 1:
        found.append(
            f"gradients by rows, of {optimizer['_target_']}, are not averaged over devices; use trainer.devices=1 or optimizer=adam"
        )
    return found


def make_optimizer_factory(node: Mapping[str, Any]) -> OptimizerFactory:
    """The function that makes the optimizer of given parameters."""
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in node.items() if key != "_target_"}

    def make(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        try:
            return get_class(str(node["_target_"]))(parameters, **options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"optimizer: {node['_target_']} refuses its options {options}: {error}") from None

    return make
