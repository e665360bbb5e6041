"""The launcher behind `hydra/launcher=processes`.

Hydra imports this at every start of the program: what it does lies in `recseq.sweeps.processes` and is imported when it is used.
"""

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ProcessesLauncher(Launcher):
    """Starts each job as a process.

    Args:
        n_jobs: Jobs at once; None takes as many as have devices of their own, or one.
        devices: CUDA devices that jobs are pinned to in turn; None takes all that are visible.
        grace_seconds: What jobs have to close their runs after Ctrl-C before they are terminated.
    """

    def __init__(self, *, n_jobs: int | None, devices: Sequence[int | str] | None, grace_seconds: float) -> None:
        self.n_jobs = n_jobs
        self.devices = devices
        self.grace_seconds = grace_seconds
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra gives; jobs compose their config and import the program themselves."""
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs; returns when all have ended.

        Args:
            job_overrides: Of each job.
            initial_job_idx: Number of the first.
        """
        from recseq.sweeps.processes import Processes

        assert self.hydra_context is not None
        assert self.config is not None
        processes = Processes(self.hydra_context.config_loader, self.config, self.n_jobs, self.devices, self.grace_seconds)
        return processes.run(job_overrides, initial_job_idx)
