"""Hydra callback that makes one thing of a sweep: a parent run for its jobs' runs, and a leaderboard, also when jobs fail.

Hydra imports this at every start, so torch, MLflow and polars are imported where they are used.
"""

import atexit
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf

from recseq.distributed.launch import leads
from recseq.errors import ConfigError, TrialPruned
from recseq.plain import plain_dict
from recseq.sweeps.notes import JOB_FILE, SWEEP_FILE, read_note, sweep_of, write_job
from recseq.sweeps.submitit_jobs import LAUNCHERS, outlive_dead_jobs

if TYPE_CHECKING:
    from filelock import FileLock

log = logging.getLogger(__name__)

_locks: list["FileLock"] = []  # of this process's sweeps; not the callback's own, which launchers send to other processes


class SweepCallback(Callback):
    """Opens the parent run before any job starts, notes each job's end, and closes the parent run when the program ends.

    The parent's id reaches the jobs, which may be other processes, through a file in the sweep's folder. A folder that a sweep has been
    in before goes on with that sweep's run.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.tracker: Any = None
        self.run_id = ""
        self.config: dict[str, Any] = {}
        self.hydra_overrides: list[str] = []
        self.n_jobs: int | None = None
        self.started = 0.0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make store, experiment and parent run once, before jobs could race for them.

        Raises:
            SystemExit: The folder is another sweep's. Any other error would be a warning to Hydra.
        """
        from recseq.files import write_json
        from recseq.secrets import without_credentials
        from recseq.sweeps.plan import planned_jobs, require_same_jobs
        from recseq.sweeps.varied import varied_keys
        from recseq.tracking import TRACKERS
        from recseq.tracking.record import RUN_FILE, RunRecord, override_tags
        from recseq.tracking.surviving import open_tracker

        folder = Path(config.hydra.sweep.dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock_sweep(folder)
            if (jobs := planned_jobs(config)) is not None:
                require_same_jobs(folder, jobs)
                self.n_jobs = len(jobs)
        except ConfigError as error:
            sys.exit(str(error))
        self.folder = folder
        self.hydra_overrides = list(config.hydra.overrides.hydra)
        self.config = {key: plain_dict(config[key]) for key in ("report", "metrics", "tracking")}
        self.config["seed"] = config.seed
        node = self.config["tracking"]
        if str(OmegaConf.select(config, "hydra.launcher._target_")).startswith(LAUNCHERS):
            outlive_dead_jobs(node, folder)
        varied = varied_keys(config)
        if not TRACKERS.check(node, "tracking"):  # else each job says what is wrong
            self.tracker = open_tracker(node, needed=True)
            name = " ".join(["sweep", "×".join(key.rpartition(".")[2] for key in varied), folder.parent.name, folder.name])
            tags = {"recseq.folder": str(folder), **override_tags(list(config.hydra.overrides.task))}
            record = RunRecord.read(folder / RUN_FILE) if (folder / RUN_FILE).exists() else RunRecord.new(name, {}, tags, None)
            self.run_id = record.reopen(self.tracker, "sweep", folder / RUN_FILE).run_id
        command = [without_credentials(word) for word in sys.argv]
        write_json(folder / SWEEP_FILE, {"run_id": self.run_id, "command": command, "varied": varied})
        atexit.register(self._close, None)  # Hydra does not call on_multirun_end when a job failed

    def on_job_start(self, config: DictConfig, *, task_function: TaskFunction, **kwargs: Any) -> None:
        """Look at the clock."""
        self.started = time.monotonic()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note how a job of a sweep ended and bring the leaderboard up to date; also a job that is run again alone."""
        if not leads():
            return
        folder = Path(config.hydra.runtime.output_dir)
        if config.hydra.mode != RunMode.MULTIRUN and sweep_of(folder) is None:
            return
        from recseq.sweeps.leaderboard import announce, write_leaderboard

        failed = job_return.status != JobStatus.COMPLETED
        pruned = isinstance(job_return._return_value, TrialPruned)
        number, overrides = config.hydra.job.get("num"), list(job_return.overrides or [])
        if config.hydra.mode != RunMode.MULTIRUN:
            number, overrides = int(folder.name), (read_note(folder / JOB_FILE) or {}).get("overrides", overrides)
        status = "PRUNED" if pruned else "FAILED" if failed else "FINISHED"
        error = (str(job_return._return_value) or type(job_return._return_value).__name__) if failed else None
        write_job(folder, number, overrides, status, error, time.monotonic() - self.started)
        announce(folder, write_leaderboard(folder.parent))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Close the sweep."""
        self._close("FINISHED")

    def _close(self, status: str | None) -> None:
        if self.folder is None:
            return
        from recseq.sweeps.leaderboard import print_leaderboard, write_leaderboard
        from recseq.sweeps.rerun import resume_command
        from recseq.sweeps.search.best import print_best

        folder, self.folder = self.folder, None
        table = write_leaderboard(folder)
        failed = not table.is_empty() and (table["status"] == "FAILED").any()
        if self.tracker is not None:
            if (folder / "leaderboard.csv").exists():
                self.tracker.log_artifact(self.run_id, folder / "leaderboard.csv")
            self.tracker.end(self.run_id, "FAILED" if failed else status or "KILLED")
            self.tracker.close_tree(self.run_id, "KILLED")  # jobs whose processes are no more
        self._report(folder)
        hint = None
        if self.tracker is not None:
            self.tracker.note(folder)
            hint = self.tracker.hint()
        print_leaderboard(table, folder, self.config, self.hydra_overrides, hint)
        print_best(folder)
        if self.n_jobs is not None and table.height < self.n_jobs:
            left = self.n_jobs - table.height
            print(f"{left} of {self.n_jobs} jobs have not ended; to go on:\n  {resume_command(folder, 'hydra.sweep.dir')}", flush=True)
        unlock_sweep(folder)

    def _report(self, folder: Path) -> None:
        """Tables and pictures of what has finished; whatever goes wrong with them, the sweep's results stand."""
        try:
            from recseq.report.command import report_sweep
            from recseq.sweeps.description import sweep_description

            for file in report_sweep(folder, self.config):
                if self.tracker is not None:
                    self.tracker.log_artifact(self.run_id, file)
            if self.tracker is not None:
                self.tracker.describe(self.run_id, sweep_description(folder))
        except Exception as error:
            log.warning("the report of the sweep could not be finished: %s: %s", type(error).__name__, error)


def lock_sweep(folder: Path) -> None:
    """Keep other processes from going on with a sweep while this one runs it.

    Raises:
        ConfigError: Another process runs it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".sweep.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(f"another process is running the sweep in {folder}; wait for it, or choose another hydra.sweep.dir") from None
    _locks.append(lock)


def unlock_sweep(folder: Path) -> None:
    """Let others go on with a sweep."""
    for lock in [lock for lock in _locks if Path(lock.lock_file).parent == folder]:
        lock.release()
        _locks.remove(lock)


def parent_of(sweep_folder: Path | None) -> str | None:
    """Id of the parent run of a job, or None outside of a sweep.

    Args:
        sweep_folder: Folder of the sweep that the job belongs to; None for a single run.
    """
    note = read_note(sweep_folder / SWEEP_FILE) if sweep_folder is not None else None
    return None if note is None else note["run_id"] or None


def varied_of(sweep_folder: Path | None) -> list[str] | None:
    """Keys that differ between the jobs of a sweep; None outside of one.

    Args:
        sweep_folder: Folder of the sweep; None for a single run.
    """
    note = read_note(sweep_folder / SWEEP_FILE) if sweep_folder is not None else None
    return None if note is None else note["varied"]


def log_to_parent(config: DictConfig, folder: Path, files: list[Path]) -> None:
    """Upload files of a sweep to its run in the tracker.

    Args:
        config: The sweep's config.
        folder: The sweep's folder.
        files: Those that are not there are left out.
    """
    from recseq.tracking.surviving import open_tracker

    run_id = parent_of(folder)
    if run_id is None:
        return
    tracker = open_tracker(plain_dict(config.tracking), needed=False)
    for file in files:
        if file.exists():
            tracker.log_artifact(run_id, file)
    if tracker.lost is not None:
        tracker.note(folder)
