"""Hydra callback that makes one thing of a sweep: a parent run for its jobs' runs, and a leaderboard, also when jobs fail.

Hydra imports this at every start, so torch, MLflow and polars are imported where they are used.
"""

import atexit
import json
import logging
import sys
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)

SWEEP_FILE = "sweep.json"
JOB_FILE = "job.json"


class SweepCallback(Callback):
    """Opens the parent run before any job starts, notes each job's end, and closes the parent run when the program ends.

    The parent's id reaches the jobs, which may be other processes, through a file in the sweep's folder.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.tracker: Any = None
        self.run_id = ""
        self.config: dict[str, Any] = {}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make store, experiment and parent run once, before jobs could race for them."""
        from recseq.files import write_json
        from recseq.tracking import TRACKERS

        self.folder = Path(config.hydra.sweep.dir).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = {key: OmegaConf.to_container(config[key], resolve=True) for key in ("report", "metrics", "tracking")}
        self.config["seed"] = config.seed
        node = self.config["tracking"]
        assert isinstance(node, dict)
        if not TRACKERS.check(node, "tracking"):  # else each job says what is wrong
            self.tracker = TRACKERS.build({str(key): value for key, value in node.items()})
            overrides = list(config.hydra.overrides.task)
            tags = {"recseq.folder": str(self.folder), "recseq.overrides": " ".join(overrides)}
            self.run_id = self.tracker.start(f"sweep {self.folder.parent.name} {self.folder.name}", "sweep", {}, tags)
        write_json(self.folder / SWEEP_FILE, {"run_id": self.run_id, "command": sys.argv})
        atexit.register(self._close, None)  # Hydra does not call on_multirun_end when a job failed

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note how a job of a sweep ended and bring the leaderboard up to date."""
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        from recseq.files import write_json
        from recseq.sweeps.leaderboard import announce, write_leaderboard

        job = Path(config.hydra.runtime.output_dir)
        failed = job_return.status != JobStatus.COMPLETED
        note = {
            "job": config.hydra.job.num,
            "overrides": list(job_return.overrides or []),
            "status": "FAILED" if failed else "FINISHED",
            "error": str(job_return._return_value) if failed else None,
        }
        write_json(job / JOB_FILE, note)
        announce(job, write_leaderboard(job.parent))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Close the sweep."""
        self._close("FINISHED")

    def _close(self, status: str | None) -> None:
        if self.folder is None:
            return
        from recseq.sweeps.leaderboard import print_leaderboard, write_leaderboard

        folder, self.folder = self.folder, None
        table = write_leaderboard(folder)
        failed = not table.is_empty() and (table["status"] == "FAILED").any()
        if self.tracker is not None:
            if (folder / "leaderboard.csv").exists():
                self.tracker.log_artifact(self.run_id, folder / "leaderboard.csv")
            self.tracker.end(self.run_id, "FAILED" if failed else status or "KILLED")
        self._report(folder)
        print_leaderboard(table, folder, self.tracker.hint() if self.tracker is not None else None)

    def _report(self, folder: Path) -> None:
        """Tables and pictures of what has finished; whatever goes wrong with them, the sweep's results stand."""
        try:
            from recseq.report.command import report_sweep

            for file in report_sweep(folder, self.config):
                if self.tracker is not None:
                    self.tracker.log_artifact(self.run_id, file)
        except Exception as error:
            log.warning("the report of the sweep could not be finished: %s: %s", type(error).__name__, error)


def parent_of(sweep_folder: Path | None) -> str | None:
    """Id of the parent run of a job, or None outside of a sweep.

    Args:
        sweep_folder: Folder of the sweep that the job belongs to; None for a single run.
    """
    if sweep_folder is None or not (sweep_folder / SWEEP_FILE).exists():
        return None
    run_id: str = json.loads((sweep_folder / SWEEP_FILE).read_text())["run_id"]
    return run_id or None
