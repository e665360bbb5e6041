"""The leaderboard of a sweep: one row a job, best first, failed ones last."""

import json
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table

from recseq.files import written_aside
from recseq.report.terminal import console, number


def write_leaderboard(folder: Path) -> pl.DataFrame:
    """Read the jobs of a sweep's folder and write its `leaderboard.csv`.

    Args:
        folder: The sweep's folder, with a folder a job.

    Returns:
        Columns `rank`, `job`, `status`, `model`, what varied between jobs, means of metrics and seconds, `run_id`, `error`; empty when no
        job has ended.
    """
    jobs = [read_job(path.parent) for path in folder.glob("*/job.json")]
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
        | {"objective": job["objective"], "run_id": job["run_id"], "error": job["error"]}
        for job, setting in zip(jobs, settings, strict=True)
    ]
    failed_last = pl.col("status") == "FAILED"
    order = [failed_last, pl.col("objective"), pl.col("job")]
    table = pl.DataFrame(rows, infer_schema_length=None).sort(order, descending=[False, True, False], nulls_last=True)
    table = table.drop("objective").with_row_index("rank", offset=1)
    with written_aside(folder / "leaderboard.csv") as aside:
        table.write_csv(aside)
    return table


def read_job(folder: Path) -> dict[str, Any]:
    """What a job's folder says of it; without `summary.json` there are no metrics, whatever else lies there."""
    found: dict[str, Any] = {"model": None, "metrics": {}, "objective": None, "run_id": None}
    found |= json.loads((folder / "job.json").read_text())
    if (folder / "summary.json").exists() and found["status"] == "FINISHED":
        summary = json.loads((folder / "summary.json").read_text())
        found["model"], found["run_id"] = summary["model"], summary["run_id"]
        found["metrics"] = {name: values["mean"] for name, values in summary["models"][summary["model"]].items()}
        (found["objective"],) = summary["objective"].values()
    return found


def announce(job: Path, table: pl.DataFrame) -> None:
    """One line about a job that has ended: its place so far."""
    row = table.filter(pl.col("job").cast(pl.String) == job.name).row(0, named=True)
    if row["status"] == "FAILED":
        console().print(f"Job {row['job']} failed: {row['error']}", style="red", highlight=False, markup=False)
    elif row["status"] == "PRUNED":
        console().print(f"Job {row['job']} {row['error']}", highlight=False, markup=False)
    else:
        console().print(f"Job {row['job']} is number {row['rank']} of {table.height} so far: {row['model']}", highlight=False)


def print_leaderboard(table: pl.DataFrame, folder: Path, hint: str | None) -> None:
    """The table, the failures, and where it all is.

    Args:
        table: From `write_leaderboard`.
        folder: The sweep's folder.
        hint: Command that shows the runs in the tracker.
    """
    out = console()
    if not table.is_empty():
        hidden = {"run_id", "error", "recommend_seconds"} | ({"model"} if "row" in table.columns else set())  # a row is named after itself
        columns = [name for name in table.columns if name not in hidden]
        shown = Table(title=f"Leaderboard, {table.height} jobs", title_justify="left")
        for name in columns:
            number_column = table.schema[name].is_numeric()
            shown.add_column(name.replace("_seconds", " s"), justify="right" if number_column else "left", no_wrap=not number_column)
        for cells in table.select(columns).iter_rows():
            shown.add_row(*(number(cell) if isinstance(cell, float) else str(cell if cell is not None else "") for cell in cells))
        out.print(shown)
        for failed in table.filter(pl.col("status") == "FAILED").iter_rows(named=True):
            out.print(f"Job {failed['job']} failed: {failed['error']}", style="red", highlight=False, markup=False)
    out.print(f"Sweep folder: {folder}", highlight=False, soft_wrap=True)
    if hint is not None:
        out.print(f"MLflow UI:    {hint}", highlight=False, soft_wrap=True)
