"""The leaderboard of a sweep: one row a job, best first, failed ones last."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock
from rich.markup import escape
from rich.table import Table

from recseq.files import written_aside
from recseq.metrics.significance import SignificanceOptions
from recseq.report.direction import lower_is_better
from recseq.report.terminal import console, number
from recseq.sweeps.against_best import against_best
from recseq.sweeps.notes import JOB_FILE
from recseq.sweeps.rerun import rerun_command

log = logging.getLogger(__name__)

LOCK_SECONDS = 10


def write_leaderboard(folder: Path) -> pl.DataFrame:
    """Read the jobs of a sweep's folder and write its `leaderboard.csv`; one process at a time, so that none writes what it read long ago.

    Args:
        folder: The sweep's folder, with a folder a job.

    Returns:
        Columns `rank`, `job`, `status`, `model`, what varied between jobs, means of metrics and seconds, `job_seconds`, `run_id`, `error`;
        best first by `metrics.objective`; empty when no job has ended.
    """
    lock = FileLock(folder / ".leaderboard.lock")
    with suppress(OSError, TimeoutError):  # a file system without locks: the last writer wins, and the sweep's end writes it anew
        lock.acquire(timeout=LOCK_SECONDS)
    try:
        return _write_leaderboard(folder)
    finally:
        lock.release(force=True)


def _write_leaderboard(folder: Path) -> pl.DataFrame:
    jobs = [read_job(path.parent) for path in folder.glob(f"*/{JOB_FILE}")]
    if not jobs:
        return pl.DataFrame()
    settings = [dict(override.lstrip("+").partition("=")[::2] for override in job["overrides"]) for job in jobs]
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    varied = [key for key in keys if len({setting.get(key) for setting in settings}) > 1]
    metrics = list(dict.fromkeys(name for job in jobs for name in job["metrics"]))
    rows = [
        {"job": job["job"], "status": job["status"], "model": job["model"]}
        | {key: setting.get(key) for key in varied}
        | {name: job["metrics"].get(name) for name in metrics}
        | {"job_seconds": job["seconds"], "objective": job["objective"], "run_id": job["run_id"], "error": job["error"]}
        for job, setting in zip(jobs, settings, strict=True)
    ]
    failed_last = pl.col("status") == "FAILED"
    low_first = any(lower_is_better(job["objective_column"]) for job in jobs if job["objective_column"] is not None)
    order = [failed_last, pl.col("objective"), pl.col("job")]
    table = pl.DataFrame(rows, infer_schema_length=None).sort(order, descending=[False, not low_first, False], nulls_last=True)
    table = table.drop("objective").with_row_index("rank", offset=1)
    with written_aside(folder / "leaderboard.csv") as aside:
        table.write_csv(aside)
    return table


def read_job(folder: Path) -> dict[str, Any]:
    """What a job's folder says of it; without `summary.json` there are no metrics, whatever else lies there."""
    found: dict[str, Any] = {"model": None, "metrics": {}, "objective": None, "objective_column": None, "run_id": None, "seconds": None}
    found |= json.loads((folder / JOB_FILE).read_text())
    if (folder / "summary.json").exists() and found["status"] == "FINISHED":
        summary = json.loads((folder / "summary.json").read_text())
        found["model"], found["run_id"] = summary["model"], summary["run_id"]
        found["metrics"] = {name: values["mean"] for name, values in summary["models"][summary["model"]].items()}
        ((found["objective_column"], found["objective"]),) = summary["objective"].items()
    return found


def announce(job: Path, table: pl.DataFrame) -> None:
    """One line about a job that has ended: what it reached, how long it took, its place so far.

    Args:
        job: The job's folder.
        table: From `write_leaderboard`.
    """
    said = read_job(job)
    row = next(row for row in table.iter_rows(named=True) if row["job"] == said["job"])
    if row["status"] == "FAILED":
        console().print(f"Job {row['job']} failed: {row['error']}", style="red", highlight=False, markup=False, soft_wrap=True)
    elif row["status"] == "PRUNED":
        console().print(f"Job {row['job']} {row['error']}", highlight=False, markup=False, soft_wrap=True)
    else:
        column = said["objective_column"]
        seconds = "" if row["job_seconds"] is None else f", {row['job_seconds']:.1f} s"
        told = f"{row['model']}, {column} {number(row[column])}{seconds}"
        console().print(
            f"Job {row['job']} is number {row['rank']} of {table.height} so far: {told}", highlight=False, markup=False, soft_wrap=True
        )


def print_leaderboard(
    table: pl.DataFrame, folder: Path, config: Mapping[str, Any], hydra_overrides: Sequence[str], hint: str | None
) -> None:
    """The table, the failures with the command that runs each again, and where it all is.

    Args:
        table: From `write_leaderboard`.
        folder: The sweep's folder.
        config: The group `metrics` and the seed that the sweep was started with.
        hydra_overrides: Those of Hydra itself that the sweep was started with.
        hint: Command that shows the runs in the tracker.
    """
    out = console()
    if not table.is_empty():
        differ = _against_best(table, folder, config)
        hidden = {"run_id", "error", "recommend_seconds"} | ({"model"} if "row" in table.columns else set())  # a row is named after itself
        columns = [name for name in table.columns if name not in hidden]
        shown = Table(title=f"Leaderboard, {table.height} jobs", title_justify="left")
        for name in columns:
            number_column = table.schema[name].is_numeric()
            shown.add_column(name.replace("_seconds", " s"), justify="right" if number_column else "left", no_wrap=not number_column)
        if differ:
            shown.add_column("to the best", no_wrap=True)
        for row in table.iter_rows(named=True):
            cells = [escape(_cell(name, row[name])) for name in columns]
            shown.add_row(*cells, *([differ.get(row["job"], "")] if differ else []))
        out.print(shown)
        for failed in table.filter(pl.col("status") == "FAILED").iter_rows(named=True):
            out.print(f"Job {failed['job']} failed: {failed['error']}", style="red", highlight=False, markup=False, soft_wrap=True)
            job = _folder_of(folder, failed["job"])
            command = rerun_command(read_job(job)["overrides"], hydra_overrides, job)
            out.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"Sweep folder: {folder}", highlight=False, soft_wrap=True)
    if hint is not None:
        out.print(f"MLflow UI:    {hint}", highlight=False, soft_wrap=True)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.1f}" if name.endswith("_seconds") else number(value)
    return str(value)


def _folder_of(sweep: Path, job: int) -> Path:
    """A job's folder, also where `hydra.sweep.subdir` names folders otherwise."""
    usual = sweep / str(job)
    if (usual / JOB_FILE).exists():
        return usual
    return next(path.parent for path in sweep.glob(f"*/{JOB_FILE}") if read_job(path.parent)["job"] == job)


def _against_best(table: pl.DataFrame, folder: Path, config: Mapping[str, Any]) -> dict[int, str]:
    """How each job's objective stands to the best one's, by job; what cannot be compared is left out."""
    finished = table.filter(pl.col("status") == "FINISHED")["job"].to_list()
    jobs = {job: _folder_of(folder, job) for job in finished}
    if len(jobs) < 2:
        return {}
    best = next(iter(jobs))
    column = read_job(jobs[best])["objective_column"]
    try:
        return against_best(jobs, best, column, SignificanceOptions(**config["metrics"]["significance"]), config["seed"])
    except Exception as error:  # a column more, without which the results stand
        log.warning("jobs are not compared with the best: %s: %s", type(error).__name__, error)
        return {}
