"""What a sweep's process does about a job whose own process died without a word: notes it, tells of it, closes its runs."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, filter_overrides

from recseq.errors import JobError
from recseq.sweeps.leaderboard import announce, write_leaderboard
from recseq.sweeps.notes import JOB_FILE, read_note, write_job
from recseq.tracking import TRACKERS
from recseq.tracking.base import Status
from recseq.tracking.run_folder import close_runs


def fail_job(
    tracking: Mapping[str, Any], number: int, overrides: Sequence[str], folder: Path, reason: str, seconds: float | None
) -> JobReturn:
    """Note for a job that it failed, in its folder and in the tracker, as far as either can be written to.

    Args:
        tracking: The group of the sweep's config.
        number: Of the job.
        overrides: Of the job.
        folder: The job's.
        reason: Why.
        seconds: How long it ran, None where nobody knows.

    Returns:
        What a launcher gives back of it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        noted = read_note(folder / JOB_FILE)
        if noted is None or noted["status"] != "FAILED" or noted["error"] != reason:
            (folder / JOB_FILE).unlink(missing_ok=True)
            write_job(folder, number, list(filter_overrides(overrides)), "FAILED", reason, seconds)
        announce_job(folder)
    except OSError as error:
        print(f"Job {number} failed: {reason}; which cannot be written down: {error}", file=sys.stderr, flush=True)
    close_job(tracking, folder, "FAILED")
    found = JobReturn(overrides=list(overrides), status=JobStatus.FAILED)
    found.return_value = JobError(f"job {number} failed: {reason}")
    return found


def announce_job(folder: Path) -> None:
    """One line about a job that has ended."""
    announce(folder, write_leaderboard(folder.parent))
    sys.stdout.flush()


def close_job(tracking: Mapping[str, Any], folder: Path, status: Status) -> None:
    """Close what a job has left running in the tracker."""
    if TRACKERS.check(tracking, "tracking"):
        return
    try:
        close_runs(TRACKERS.build(tracking), folder, status)
    except Exception as error:
        print(f"the tracker does not know that the job in {folder} has ended: {error}", file=sys.stderr, flush=True)
