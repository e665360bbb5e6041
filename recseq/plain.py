"""Composed configs as plain Python."""

from typing import Any

from omegaconf import DictConfig, OmegaConf


def plain_dict(node: DictConfig) -> dict[str, Any]:
    """A node with its references resolved, keys as text."""
    found = OmegaConf.to_container(node, resolve=True)
    if not isinstance(found, dict):
        raise TypeError(f"a mapping was expected, got {found!r}")
    return {str(key): value for key, value in found.items()}
