"""What tests of sweeps ask of a sweep's folder and of its runs in MLflow."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from command_line import PROGRAM
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

NOT_COMPARED = ("fit_seconds", "recommend_seconds", "job_seconds", "run_id")


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """`recseq` as the leader of a process group of its own."""
    pipe = subprocess.PIPE
    return subprocess.Popen([PROGRAM, *arguments], cwd=folder, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


def leaderboard(sweep: Path) -> pl.DataFrame:
    """But for what differs between two runs of the same."""
    table = pl.read_csv(sweep / "leaderboard.csv")
    return table.drop([column for column in NOT_COMPARED if column in table.columns])


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{folder}/outputs/mlflow.db")


def logged(folder: Path) -> dict[str, list[Run]]:
    """All runs that are not deleted, by level."""
    client = client_of(folder)
    experiment = client.get_experiment_by_name("recseq")
    assert experiment is not None
    found: dict[str, list[Run]] = {"sweep": [], "run": [], "fold": []}
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        found[run.data.tags["recseq.level"]].append(run)
    return found


def check_tree(folder: Path, sweep: Path, n_folds: int) -> None:
    """One sweep, finished: a run for each row of its leaderboard with the same metrics, a fold for each of the run's, nothing else."""
    found = logged(folder)
    (parent,) = found["sweep"]
    assert parent.info.run_id == json.loads((sweep / "sweep.json").read_text())["run_id"]
    assert {run.info.status for level in found.values() for run in level} == {"FINISHED"}
    table = pl.read_csv(sweep / "leaderboard.csv")
    assert sorted(table["run_id"]) == sorted(run.info.run_id for run in found["run"])
    by_id = {run.info.run_id: run for run in found["run"]}
    for row in table.iter_rows(named=True):
        run = by_id[row["run_id"]]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["recseq.folder"] == str(sweep / str(row["job"]))
        measured = {column: value for column, value in row.items() if "@" in column}
        assert measured
        for column, value in measured.items():
            assert run.data.metrics[f"{column.replace('@', '_')}_mean"] == value
        folds = [fold for fold in found["fold"] if fold.data.tags["mlflow.parentRunId"] == row["run_id"]]
        assert sorted(fold.data.tags["recseq.fold"] for fold in folds) == [str(i) for i in range(n_folds)]
        history = client_of(folder).get_metric_history(row["run_id"], "MAP_10")
        assert [point.step for point in history] == list(range(n_folds))
    assert len(found["fold"]) == n_folds * table.height
