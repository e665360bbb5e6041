"""What lies in the folders of a sweep and its jobs beside results: small JSON files by which processes tell each other how things stand.

Hydra imports the sweep's callback, and with it this, at every start: no torch, MLflow or polars.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recseq.files import write_json

SWEEP_FILE = "sweep.json"
JOB_FILE = "job.json"


def read_note(path: Path) -> dict[str, Any] | None:
    """Content of a note, None where it is missing or no JSON."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def write_job(folder: Path, number: int, overrides: Sequence[str], status: str, error: str | None, seconds: float | None) -> None:
    """Note how a job ended. A note that it has finished stays when the job was only looked at again.

    Args:
        folder: The job's folder.
        number: Of the job.
        overrides: What it was composed of.
        status: `FINISHED`, `FAILED` or `PRUNED`.
        error: Why it has not finished.
        seconds: How long it took, None where nobody knows.
    """
    before = read_note(folder / JOB_FILE)
    if status == "FINISHED" and before is not None and before["status"] == "FINISHED":
        return
    note = {"job": number, "overrides": list(overrides), "status": status, "error": error}
    write_json(folder / JOB_FILE, note | {"seconds": None if seconds is None else round(seconds, 3)})


def sweep_of(folder: Path) -> Path | None:
    """The sweep that a job's folder belongs to, which a job that is run again alone goes back to; None of any other folder."""
    return folder.parent if folder.name.isdecimal() and (folder.parent / SWEEP_FILE).exists() else None
