"""Jobs of a sweep as processes: a limit on how many at once, devices in turn, and word of how each ended, also of one that was killed."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, setup_globals
from omegaconf import DictConfig, OmegaConf, open_dict

from recseq.errors import ConfigError, JobError
from recseq.plain import plain_dict
from recseq.sweeps.dead_jobs import announce_job, close_job, fail_job
from recseq.sweeps.devices import environment, groups_of, visible_devices
from recseq.termination import Terminated

OUTPUT_FILE = "output.txt"
LOOK_SECONDS = 0.1
TERMINATE_SECONDS = 5


@dataclass
class Child:
    """A job that runs.

    Args:
        number: Of the job.
        overrides: What differs from the defaults.
        folder: The job's folder.
        slot: Its place among those that run at once.
        process: Its process.
        answers: Pipe that the job writes down how it ended to, which needs no disk.
        started: When, in seconds of the monotonic clock.
    """

    number: int
    overrides: list[str]
    folder: Path
    slot: int
    process: "subprocess.Popen[bytes]"
    answers: int
    started: float


class Processes:
    """Runs jobs of one sweep as processes.

    Args:
        config_loader: Hydra's.
        config: The sweep's config as composed, with `hydra`.
        n_jobs: Jobs at once; None takes as many as have devices of their own, or one.
        devices: CUDA devices; None takes all that are visible.
        grace_seconds: What jobs have to close their runs after Ctrl-C.

    Raises:
        ConfigError: An option is no good.
    """

    def __init__(
        self,
        config_loader: ConfigLoader,
        config: DictConfig,
        n_jobs: int | None,
        devices: Sequence[int | str] | None,
        grace_seconds: float,
    ) -> None:
        if n_jobs is not None and (not isinstance(n_jobs, int) or n_jobs < 1):
            raise ConfigError(f"hydra.launcher.n_jobs is {n_jobs!r}, must be a number >= 1, or null")
        needed = OmegaConf.select(config, "trainer.devices")
        names = visible_devices() if devices is None else [str(device) for device in devices]
        self.devices = groups_of(names, needed if isinstance(needed, int) and needed > 0 else 1)
        self.n_jobs = n_jobs or len(self.devices) or 1
        self.config_loader = config_loader
        self.config = config
        self.grace_seconds = grace_seconds
        self.sweep = Path(config.hydra.sweep.dir).absolute()
        self.tracking = plain_dict(config.tracking)
        self.children: list[Child] = []

    def run(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run jobs; returns when all have ended. Ctrl-C and SIGTERM end them and go on upwards.

        Args:
            job_overrides: Of each job.
            first: Number of the first.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        self.sweep.mkdir(parents=True, exist_ok=True)
        count = len(job_overrides)
        pinned = f", pinned to devices {' '.join(self.devices)}" if self.devices else ""
        print(f"{count} jobs as processes, {min(self.n_jobs, count)} at once{pinned}", flush=True)
        waiting = deque((first + index, list(overrides)) for index, overrides in enumerate(job_overrides))
        free = list(range(self.n_jobs))
        ended: dict[int, JobReturn] = {}
        try:
            while waiting or self.children:
                while waiting and free:
                    number, overrides = waiting.popleft()
                    try:
                        self.children.append(self.start(number, overrides, free[0]))
                        free.pop(0)
                    except (Exception, SystemExit) as error:  # it cannot be composed or started; the others can
                        ended[number] = fail_job(
                            self.tracking, number, overrides, self.sweep / str(number), f"cannot be started: {error}", None
                        )
                for child in [child for child in self.children if child.process.poll() is not None]:
                    self.children.remove(child)
                    free = sorted([*free, child.slot])
                    ended[child.number] = self.end(child)
                time.sleep(LOOK_SECONDS)
        except BaseException as error:
            self.stop(signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
            raise
        return [ended[first + index] for index in range(count)]

    def start(self, number: int, overrides: list[str], slot: int) -> Child:
        """Start a job.

        Args:
            number: Of the job.
            overrides: Of the job.
            slot: Its place among those that run at once; decides its device.
        """
        composed = self.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(composed):
            composed.hydra.job.num = composed.hydra.job.id = number
        folder = self.sweep / str(OmegaConf.select(composed, "hydra.sweep.subdir"))
        folder.mkdir(parents=True, exist_ok=True)
        device = self.devices[slot % len(self.devices)] if self.devices else None
        print(f"Job {number} starts{'' if device is None else f' on device {device}'}: {' '.join(filter_overrides(overrides))}", flush=True)
        order = {
            "number": number,
            "overrides": overrides,
            "hydra_overrides": list(self.config.hydra.overrides.hydra),
            "sweep": str(self.sweep),
            "config_name": self.config.hydra.job.config_name,
            "configs": [
                (source.provider, source.path)
                for source in self.config.hydra.runtime.config_sources
                if source.provider in ("main", "command-line")
            ],
            "argv": sys.argv,
            "path": [entry for entry in sys.path if entry],
            "grace_seconds": self.grace_seconds,
        }
        answers, answer = os.pipe()
        try:
            with (folder / OUTPUT_FILE).open("ab") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "recseq.sweeps.job_process", str(answer)],
                    stdin=subprocess.PIPE,  # stays open: its end tells the job that this process is no more
                    stdout=output,
                    stderr=output,
                    pass_fds=(answer,),
                    env=environment(device, self.n_jobs)
                    | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry and Path(entry).is_dir())},
                    start_new_session=True,  # Ctrl-C reaches jobs through this process alone, once
                )
        except BaseException:
            os.close(answers)
            raise
        finally:
            os.close(answer)
        child = Child(number, overrides, folder, slot, process, answers, time.monotonic())
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died already, which is told when it is looked at
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        return child

    def end(self, child: Child) -> JobReturn:
        """What became of a job whose process has ended."""
        answer = _read_answer(child.answers)
        assert child.process.stdin is not None
        child.process.stdin.close()
        code = child.process.returncode
        if answer is None or answer["status"] == "INTERRUPTED":
            reason = _why(code) if answer is None else "was interrupted"
            return fail_job(self.tracking, child.number, child.overrides, child.folder, reason, time.monotonic() - child.started)
        if answer["status"] == "FAILED":
            full = answer["errno"] == errno.ENOSPC
            reason = f"the disk is full: {answer['error']}" if full else answer["error"]
            return fail_job(self.tracking, child.number, child.overrides, child.folder, reason, time.monotonic() - child.started)
        announce_job(child.folder)
        return _returned(child.overrides, answer["value"], JobError(answer["error"]) if answer["status"] == "PRUNED" else None)

    def stop(self, first: signal.Signals) -> None:
        """End all jobs: they are told, given time to close their runs, then terminated, then killed.

        Args:
            first: How they are told: SIGINT, or SIGTERM, at which they save their training first.
        """
        for how, seconds in ((first, self.grace_seconds), (signal.SIGTERM, TERMINATE_SECONDS), (signal.SIGKILL, TERMINATE_SECONDS)):
            left = [child for child in self.children if child.process.poll() is None]
            for child in left:
                _signal(child.process, how, whole_group=how != first)  # at first a job tells its own children
            until = time.monotonic() + seconds
            while time.monotonic() < until and any(child.process.poll() is None for child in left):
                time.sleep(LOOK_SECONDS)
        for child in self.children:
            os.close(child.answers)
            close_job(self.tracking, child.folder, "KILLED")
        self.children = []


def _signal(process: "subprocess.Popen[bytes]", how: signal.Signals, whole_group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        if whole_group:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)


def _read_answer(pipe: int) -> dict[str, Any] | None:
    """What a job wrote down before it ended; None of one that could not."""
    os.set_blocking(pipe, False)  # a process that the job has left behind may hold the other end
    with os.fdopen(pipe, "rb") as file:
        try:
            answer: dict[str, Any] = json.loads(file.read() or b"")
        except ValueError:
            return None
    return answer


def _why(code: int) -> str:
    """Reason of a job that ended without a word, from its exit code."""
    if code >= 0:
        return f"its process ended with exit code {code}; see {OUTPUT_FILE} in its folder"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"killed by signal {-code} ({'out of memory?' if -code == signal.SIGKILL else name})"


def _returned(overrides: Sequence[str], value: Any, error: Exception | None) -> JobReturn:
    found = JobReturn(overrides=list(overrides))
    found.status = JobStatus.COMPLETED if error is None else JobStatus.FAILED
    found.return_value = value if error is None else error
    return found
