"""The sweeper behind `search=grid` and `search=optuna`.

Hydra imports this at every start of the program: what it does lies in `recseq.sweeps.search` and is imported when it is used.
"""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """Runs the `search` group of the config."""

    def __init__(self) -> None:
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra gives, and make the launcher that the config names."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run all trials.

        Args:
            arguments: Overrides as they were typed, without those of Hydra itself.
        """
        from recseq.sweeps.search.runner import run_search

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        return run_search(self.hydra_context.config_loader, self.config, self.launcher, arguments)
