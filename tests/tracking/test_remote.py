"""A real MLflow server on loopback: as good as SQLite, and no loss when it goes away."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import PROGRAM, SMALL, recseq
from conftest import composed
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from test_mlflow import SMALL as RUN

from recseq.modes import run
from recseq.tracking.mlflow import MlflowTracker

TWO_FOLDS = (*RUN, "splitter.n_splits=2", "splitter.test_size=10D", "trainer.max_epochs=2")


class Server:
    """An MLflow server that can be killed and started again on its store."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = Path(sys.executable).with_name("mlflow")
        store = ("--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--artifacts-destination", str(self.folder / "served"))
        command = [program, "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1", *store]
        with (self.folder / "server.log").open("ab") as out:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out, start_new_session=True)
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except OSError:
                time.sleep(0.5)
        pytest.fail((self.folder / "server.log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def runs(self, experiment: str) -> dict[str, list[Run]]:
        return runs_of(self.uri, experiment)


def runs_of(uri: str, experiment: str) -> dict[str, list[Run]]:
    """Runs by level."""
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    levels: dict[str, list[Run]] = {"sweep": [], "run": [], "fold": []}
    for each in client.search_runs([found.experiment_id]):
        levels[each.data.tags["recseq.level"]].append(each)
    return levels


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


def logged(uri: str, experiment: str) -> dict[str, Any]:
    """All that does not differ between two runs of the same thing."""
    client = MlflowClient(tracking_uri=uri)
    levels = runs_of(uri, experiment)
    (top,) = levels["run"]
    folds = sorted(levels["fold"], key=lambda fold: fold.data.tags["recseq.fold"])

    def numbers(found: Run) -> dict[str, float]:
        return {name: value for name, value in found.data.metrics.items() if "second" not in name}

    def paths(place: str | None = None) -> list[str]:
        files = client.list_artifacts(top.info.run_id, place)
        return [path for file in files for path in (paths(file.path) if file.is_dir else [file.path])]

    moving = ("recseq.key", "recseq.folder", "mlflow.parentRunId", "mlflow.note.content")
    return {
        "names": [each.info.run_name for each in (top, *folds)],
        "status": [each.info.status for each in (top, *folds)],
        "params": top.data.params,
        "tags": {key: value for key, value in top.data.tags.items() if key not in moving},
        "numbers": [numbers(each) for each in (top, *folds)],
        "points": [[(point.step, point.value) for point in client.get_metric_history(fold.info.run_id, "train_loss")] for fold in folds],
        "history": [(point.step, point.value) for point in client.get_metric_history(top.info.run_id, "MAP_10")],
        "artifacts": paths(),
        "dataset": [(each.dataset.name, each.dataset.digest, each.dataset.source) for each in top.inputs.dataset_inputs],
    }


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What SQLite has of a run."""
    folder = tmp_path_factory.mktemp("local")
    run(composed(*TWO_FOLDS, f"paths.outputs={folder}/out"), folder / "run")
    found = logged(f"sqlite:///{folder}/out/mlflow.db", "recseq")
    assert [step for step, _ in found["history"]] == [0, 1]
    assert {"environment/requirements.txt", "fold_0/fold.json", "fold_1/epochs.csv", "metrics.csv"} <= set(found["artifacts"])
    assert found["names"] == ["sasrec-softmax-ids+categories", *(f"sasrec-softmax-ids+categories fold {i}" for i in (0, 1))]
    assert found["dataset"][0][2] == '{"simulated": "demo"}'
    return found


def test_a_server_has_what_sqlite_has(server: Server, tmp_path: Path, local: dict[str, Any]) -> None:
    run(composed(*TWO_FOLDS, f"paths.outputs={tmp_path}/out", f"tracking.uri={server.uri}", "tracking.experiment=same"), tmp_path / "run")
    assert logged(server.uri, "same") == local
    assert not (tmp_path / "run" / "untracked.json").exists()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cache"}  # the server keeps the artifacts


def test_a_server_killed_in_training_costs_nothing(
    server: Server, tmp_path: Path, local: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    real = MlflowTracker.log_metrics

    def kill_after_first_epoch(self: MlflowTracker, run_id: str, metrics: dict[str, float], step: int = 0) -> None:
        real(self, run_id, metrics, step)
        if step == 1:
            server.kill()

    remote = (f"tracking.uri={server.uri}", "tracking.experiment=killed", f"paths.outputs={tmp_path}/out")
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(MlflowTracker, "log_metrics", kill_after_first_epoch)
        value = run(composed(*TWO_FOLDS, *remote), folder)
    assert value == pytest.approx(local["numbers"][0]["MAP_10_mean"])
    assert server.process is None
    command = json.loads((folder / "untracked.json").read_text())["command"]
    server.start()
    before = server.runs("killed")
    assert [each.info.status for each in before["run"]] == ["RUNNING"]

    done = recseq(tmp_path, *shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr
    assert logged(server.uri, "killed") == local
    assert not (folder / "untracked.json").exists()
    (top,) = server.runs("killed")["run"]
    assert json.loads((folder / "summary.json").read_text())["run_id"] == top.info.run_id != before["run"][0].info.run_id
    assert [path.name for path in (tmp_path / "outputs" / "uploads").glob("*/*/*")] == ["run.log"]

    again = recseq(tmp_path, *shlex.split(command)[1:])
    assert "1 there already" in again.stdout
    assert [each.info.run_id for each in server.runs("killed")["run"]] == [top.info.run_id]


def test_a_sweep_goes_on_without_its_server_and_is_uploaded_afterwards(server: Server, tmp_path: Path) -> None:
    jobs = ("model=popular,sasrec,ease", "splitter.test_size=7D,1000D")
    command = [PROGRAM, "-m", *SMALL, *jobs, f"tracking.uri={server.uri}", "tracking.experiment=night", "trainer=debug"]
    sweep_options = [word for word in command if not str(word).startswith("model.")]  # popular and ease have none of them
    sizes = ("size=small", "size.n_factors=8", "size.n_heads=2")
    environment = {**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    process = subprocess.Popen(
        [*sweep_options, *sizes], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("outputs/sweeps/*/*/0/job.json")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    server.kill()
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 1, out  # the 1000-day jobs fail
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    assert pl.read_csv(folder / "leaderboard.csv")["status"].to_list() == ["FINISHED"] * 3 + ["FAILED"] * 3, out
    assert f"recseq mode=upload upload.of={folder} tracking.uri={server.uri} tracking.experiment=night" in out
    server.start()

    done = recseq(tmp_path, "mode=upload", f"upload.of={folder}", f"tracking.uri={server.uri}", "tracking.experiment=night")
    assert done.returncode == 0, done.stderr + done.stdout
    levels = server.runs("night")
    (parent,) = levels["sweep"]
    assert parent.info.status == "FAILED"
    assert "| popular |" in parent.data.tags["mlflow.note.content"]
    assert {each.data.tags["mlflow.parentRunId"] for each in levels["run"]} == {parent.info.run_id}
    assert sorted(each.info.status for each in levels["run"]) == ["FAILED"] * 3 + ["FINISHED"] * 3
    assert len(levels["fold"]) == 3
    finished = {each.info.run_id: each.info.run_name for each in levels["run"] if each.info.status == "FINISHED"}
    assert sorted(finished.values()) == ["ease-test_size=7D", "popular-test_size=7D", "sasrec-softmax-ids+categories-test_size=7D"]
    board = pl.read_csv(folder / "leaderboard.csv").filter(pl.col("status") == "FINISHED")
    assert set(board["run_id"]) == set(finished)
    files = {file.path for file in MlflowClient(tracking_uri=server.uri).list_artifacts(parent.info.run_id)}
    assert {"leaderboard.csv", "report.html", "pareto.png"} <= files

    again = recseq(tmp_path, "mode=upload", f"upload.of={folder}", f"tracking.uri={server.uri}", "tracking.experiment=night")
    assert "7 there already" in again.stdout
    assert {level: len(found) for level, found in server.runs("night").items()} == {"sweep": 1, "run": 6, "fold": 3}
