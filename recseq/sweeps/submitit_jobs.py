"""Jobs of Hydra's submitit launchers that die: failed jobs of the sweep like others, not the end of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LAUNCHERS = "hydra_plugins.hydra_submitit_launcher."


def outlive_dead_jobs(tracking: Mapping[str, Any], sweep: Path) -> None:
    """Let submitit give back a failed job, noted as such, where it would raise for one that left no result.

    Its launcher asks for the results of all jobs in turn and has no other way to hear of a dead one.

    Args:
        tracking: The group of the sweep's config.
        sweep: The sweep's folder.
    """
    from submitit.core.core import Job
    from submitit.core.utils import FailedJobError, UncompletedJobError

    wait_for_results = getattr(Job.results, "of_submitit", Job.results)

    def results(job: Any) -> list[Any]:
        try:
            found: list[Any] = wait_for_results(job)
            return found
        except (UncompletedJobError, FailedJobError):
            from recseq.sweeps.dead_jobs import fail_job

            overrides, _, number, *_ = job.submission().args  # what Hydra's launcher submitted, from this machine's folder
            reason = f"its process ended without a result, in state {job.state}; see {job.paths.stdout}"
            return [fail_job(tracking, number, overrides, sweep / str(number), reason, None)]

    results.of_submitit = wait_for_results  # type: ignore[attr-defined]
    Job.results = results  # type: ignore[method-assign, assignment]
