"""A run's folder as the source of what is logged: live, when a run is gone on with, and when one is uploaded afterwards."""

import json
from pathlib import Path

import polars as pl

from recseq.metrics.summary import is_measure
from recseq.tracking.base import Tracker

RUN_FILE = "run.json"
ARTIFACTS = ("config.yaml", "metrics.csv", "significance.csv", "summary.json", "provenance.json", "run.log")


def log_epochs(tracker: Tracker, fold_id: str, folder: Path) -> None:
    """Log the curves of a finished fold.

    Args:
        tracker: Where to.
        fold_id: The fold's run there.
        folder: The fold's folder.
    """
    if not (folder / "epochs.csv").exists():
        return
    for values in pl.read_csv(folder / "epochs.csv", infer_schema_length=None).iter_rows(named=True):
        epoch = values.pop("epoch")
        tracker.log_metrics(fold_id, {name: value for name, value in values.items() if value is not None}, step=epoch)


def log_fold(tracker: Tracker, fold_id: str, run_id: str, folder: Path) -> None:
    """Log the numbers of a finished fold: to its own run, and its metrics as one step of the run above.

    Args:
        tracker: Where to.
        fold_id: The fold's run there.
        run_id: The run above.
        folder: The fold's folder.
    """
    about = json.loads((folder / "fold.json").read_text(encoding="utf-8"))
    row = about["rows"][-1]  # of the model asked for
    measured = {column: value for column, value in row.items() if is_measure(column) and value is not None}
    dropped = {f"dropped_{name}": n for name, n in about["dropped"].items()}
    tracker.log_metrics(fold_id, {**about["counts"], **dropped, **about["facts"], **measured})
    tracker.log_metrics(run_id, measured, step=row["fold"])


def log_results(tracker: Tracker, run_id: str, folder: Path) -> None:
    """Log means, standard deviations and files of a finished run.

    Args:
        tracker: Where to.
        run_id: The run there.
        folder: The run's folder.
    """
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    own = summary["models"][summary["model"]]
    tracker.log_metrics(run_id, {f"{column}_{kind}": value for column, values in own.items() for kind, value in values.items()})
    for name in ARTIFACTS:
        if (folder / name).exists():
            tracker.log_artifact(run_id, folder / name)


def forget_run(tracker: Tracker, folder: Path) -> None:
    """Delete what the tracker has of an interrupted run that is gone on with: it is logged anew, so that nothing is there twice."""
    if (folder / RUN_FILE).exists():
        tracker.delete(json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))["run_id"])
