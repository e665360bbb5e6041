"""Jobs of a search: their overrides, whether they compose, starting them, and what became of them.

A job's result is what its folder says, whatever the launcher returned: `summary.json` when it has ended well, else `job.json`.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from recseq.config import check_config
from recseq.errors import ConfigError
from recseq.sweeps.notes import JOB_FILE, write_job

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One configuration to run.

    Args:
        number: Of the job; its folder is named after it.
        overrides: What differs from the defaults.
        folder: The job's folder.
        problem: Why it cannot be composed.
    """

    number: int
    overrides: list[str]
    folder: Path
    problem: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Args:
        status: `UNKNOWN` when it left no word: it was killed, or has not ended.
        means: Mean over folds of each metric, when it has finished.
        error: Why it has not.
    """

    status: str
    means: dict[str, float] = field(default_factory=dict)
    error: str | None = None


def read_outcome(folder: Path) -> Outcome:
    """What a job's folder says."""
    if (folder / "summary.json").exists():
        summary = json.loads((folder / "summary.json").read_text())
        return Outcome("FINISHED", {name: values["mean"] for name, values in summary["models"][summary["model"]].items()})
    if (folder / JOB_FILE).exists():
        note = json.loads((folder / JOB_FILE).read_text())
        if note["status"] != "FINISHED":
            return Outcome(note["status"], error=note["error"])
    return Outcome("UNKNOWN")


class Jobs:
    """Composes and starts the jobs of one sweep.

    Args:
        config_loader: Hydra's.
        config: The sweep's config as composed, with `hydra`.
        launcher: Of the sweep.
        fixed: Overrides that all jobs have, in the order in which they were typed.
    """

    def __init__(self, config_loader: ConfigLoader, config: DictConfig, launcher: Launcher, fixed: Sequence[str]) -> None:
        self.config_loader = config_loader
        self.config = config
        self.launcher = launcher
        self.fixed = list(fixed)
        self.folder = Path(config.hydra.sweep.dir).absolute()

    def compose(self, overrides: Sequence[str], number: int = 0) -> tuple[DictConfig, Path]:
        """A job's config without `hydra`, and its folder.

        Raises:
            Exception: What Hydra raises for overrides that do not compose.
        """
        composed = self.config_loader.load_sweep_config(self.config, [*self.fixed, *overrides])
        with open_dict(composed):
            composed.hydra.job.num = number
            composed.hydra.job.id = number
            subdir = str(OmegaConf.select(composed, "hydra.sweep.subdir"))
            del composed["hydra"]
        return composed, self.folder / subdir

    def check(self, overrides: Sequence[str]) -> dict[str, Any]:
        """The checked config of a job.

        Raises:
            ConfigError: It cannot be run; the message names the overrides.
        """
        try:
            composed, _ = self.compose(overrides)
            return check_config(composed)
        except Exception as error:
            first = [line for line in str(error).splitlines() if line and not line.startswith("The configuration has")]
            raise ConfigError(
                f"with {' '.join(overrides) or 'no overrides'}: {'; '.join(line.strip(' -') for line in first[:3])}"
            ) from None

    def job(self, number: int, overrides: Sequence[str]) -> Job:
        """A job with its folder, composed once so that a mistake does not take the launcher with it."""
        try:
            _, folder = self.compose(overrides, number)
        except Exception as error:
            return Job(number, list(overrides), self.folder / str(number), f"cannot be composed: {str(error).splitlines()[0]}")
        return Job(number, list(overrides), folder)

    def launch(self, jobs: Sequence[Job]) -> None:
        """Run jobs; returns when all have ended, also when the launcher itself breaks down."""
        for job in jobs:
            job.folder.mkdir(parents=True, exist_ok=True)
            if job.problem is not None:
                self._note_failure(job, job.problem)
        ready = [job for job in jobs if job.problem is None]
        for run in _consecutive(ready):
            broken = None
            try:
                self.launcher.launch([self._all_overrides(job) for job in run], initial_job_idx=run[0].number)
            except Exception as error:  # a worker was killed: its neighbours' results are in their folders
                broken = f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"
                log.error("the launcher broke down: %s", broken)
            for job in run:
                if read_outcome(job.folder).status == "UNKNOWN":
                    self._note_failure(job, f"the job ended without a result ({broken or 'its process is gone'})")

    def _all_overrides(self, job: Job) -> list[str]:
        """A job knows by its mode that it belongs to a sweep; a search that was started without -m has it from the `search` group."""
        known = any(override.startswith("hydra.mode=") for override in self.config.hydra.overrides.hydra)
        return [*self.fixed, *job.overrides, *([] if known else [f"hydra.mode={RunMode.MULTIRUN.name}"])]

    def _note_failure(self, job: Job, error: str) -> None:
        write_job(job.folder, job.number, [*self.fixed, *job.overrides], "FAILED", error, None)


def _consecutive(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs in runs of consecutive numbers, which is how launchers count."""
    if not jobs:
        return []
    runs = [[jobs[0]]]
    for before, job in pairwise(jobs):
        if job.number == before.number + 1:
            runs[-1].append(job)
        else:
            runs.append([job])
    return runs
