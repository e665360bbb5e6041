"""Which settings differ between the jobs of a sweep."""

from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf


def varied_keys(config: DictConfig) -> list[str]:
    """Keys that the command line, `hydra.sweeper.params` or a search space gives several values.

    Args:
        config: The sweep's config as composed, with `hydra`.
    """
    params = _mapping(config, "hydra.sweeper.params")
    texts = [*config.hydra.overrides.task, *(f"{key}={value}" for key, value in params.items())]
    overrides = OverridesParser.create().parse_overrides(texts)
    swept = [override.key_or_group for override in overrides if override.is_sweep_override()]
    return list(dict.fromkeys([*swept, *map(str, _mapping(config, "search.space"))]))


def _mapping(config: DictConfig, path: str) -> Mapping[Any, Any]:
    found = OmegaConf.select(config, path)
    return found if isinstance(found, DictConfig) else {}
