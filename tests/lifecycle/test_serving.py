"""A trained model as MLflow has it: logged without pickle, registered, predicting by batch and served over HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
import polars as pl
import pytest
import yaml
from command_line import SMALL, recseq
from conftest import composed, interactions
from lifecycle.test_model_folder import saved
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from recseq.config import check_config
from recseq.errors import ConfigError
from recseq.lifecycle import load_model, locate
from recseq.lifecycle.mlflow_model import write_mlflow_model
from recseq.models import Request
from recseq.modes import run

QUIET = (*SMALL, "trainer.enable_progress_bar=false")
HISTORIES = [[3, 5, 8], [1], [99, 2, 98, 4], [], [99]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that was trained, logged for MLflow and registered."""
    home = tmp_path_factory.mktemp("home")
    done = recseq(home, *QUIET, "mode=train", "train.log_model=true", "train.register=winner@champion")
    assert done.returncode == 0, done.stderr
    assert "registered as models:/winner/1 and models:/winner@champion" in done.stdout
    return home


def trained(home: Path) -> tuple[Path, str, dict[str, str]]:
    """The model's folder, its run's id, and where it is tracked."""
    (folder,) = home.glob("outputs/models/*/*")
    run_id = json.loads((folder / "summary.json").read_text())["run_id"]
    return folder / "model", run_id, {"type": "mlflow", "uri": f"sqlite:///{home}/outputs/mlflow.db"}


def in_process(folder: Path, histories: list[list[int]], k: int) -> list[list[int]]:
    """What the model recommends to users with these histories; none to those that it cannot serve."""
    history = interactions([(user, item, day) for user, items in enumerate(histories) for day, item in enumerate(items)])
    users = pl.Series(range(len(histories)))
    found = load_model(folder, accelerator="cpu").model.recommend(Request(users, history, k, on_unsupported="ignore"))
    return [found.filter(pl.col("user_id") == user).sort("rank")["item_id"].to_list() for user in users]


def test_the_logged_model_has_no_pickle_and_tells_what_it_takes_and_needs(home: Path) -> None:
    folder, run_id, tracking = trained(home)
    client = MlflowClient(tracking["uri"])
    (output,) = client.get_run(run_id).outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    assert (logged.name, logged.source_run_id, str(logged.status)) == ("model", run_id, "READY")
    assert logged.params["model.n_blocks"] == "1"
    place = Path(logged.artifact_location.removeprefix("file://"))
    files = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert {Path(file).suffix for file in files} <= {"", ".py", ".yaml", ".json", ".txt", ".md", ".parquet", ".safetensors"}
    assert {f"artifacts/model/{path.name}" for path in folder.iterdir()} < files
    described = yaml.safe_load((place / "MLmodel").read_text())
    inputs = json.loads(described["signature"]["inputs"])
    assert [(column["name"], column["items"]["type"], column["required"]) for column in inputs] == [
        ("items", "long", True),
        ("exclude", "long", False),
    ]
    assert [param["name"] for param in json.loads(described["signature"]["params"])] == ["k", "filter_viewed"]
    needed = (place / "requirements.txt").read_text().split()
    assert needed[0] == f"recseq=={load_model(folder).manifest.recseq}"
    assert all("==" in word and "+" not in word for word in needed)


def test_a_logged_and_registered_model_is_found_by_recseq(home: Path) -> None:
    folder, run_id, tracking = trained(home)
    for path in (f"runs:/{run_id}/model", "models:/winner/1", "models:/winner@champion"):
        assert (locate(path, tracking) / "model.json").read_bytes() == (folder / "model.json").read_bytes()
    client = MlflowClient(tracking["uri"])
    assert client.get_model_version("winner", "1").run_id == run_id
    downloaded = Path(client.get_model_version_download_uri("winner", "1").removeprefix("file://"))
    assert locate(str(downloaded), {}) == downloaded / "artifacts" / "model"  # an MLflow model that somebody has brought here


def test_a_logged_model_predicts_by_batch_what_the_model_recommends(home: Path) -> None:
    folder, _, tracking = trained(home)
    client = MlflowClient(tracking["uri"])
    place = client.get_model_version_download_uri("winner", "1")
    model = mlflow.pyfunc.load_model(place, model_config={"accelerator": "cpu"})
    frame = pd.DataFrame({"items": HISTORIES}, index=[7, 5, 3, 1, 0])
    answer = model.predict(frame, params={"k": 4})
    assert answer["items"].to_list() == in_process(folder, HISTORIES, 4)
    assert answer.index.to_list() == [7, 5, 3, 1, 0]
    assert [len(scores) for scores in answer["scores"]] == [4, 4, 4, 0, 0]
    assert all(scores == sorted(scores, reverse=True) for scores in answer["scores"])
    first, second = answer["items"].iloc[0][:2]
    without = model.predict(frame.assign(exclude=[[second, 99], [], None, [], []]), params={"k": 4})
    longer = in_process(folder, HISTORIES, 5)
    assert without["items"].iloc[0] == [first, *longer[0][2:]]
    assert without["items"].iloc[1] == longer[1][:4]
    assert len(model.predict(frame.iloc[1:2])["items"].iloc[0]) == 10
    viewed = model.predict(frame, params={"k": 60, "filter_viewed": False})["items"]
    assert {3, 5, 8} <= set(viewed.iloc[0])
    assert model.predict(frame.iloc[:0]).empty
    for bad, params, message in (
        (frame, {"k": 0}, "k is 0, must be at least 1"),
        (pd.DataFrame({"item": [[1]]}), {}, "missing inputs"),
        (pd.DataFrame({"items": [["x"]]}), {}, "safely convert str"),
    ):
        with pytest.raises(MlflowException, match=message):
            model.predict(bad, params=params)


@pytest.mark.parametrize("kind", ["ease", "popular", "bert4rec"])
def test_every_kind_of_model_is_served(tmp_path: Path, kind: str) -> None:
    saved(tmp_path / "model", f"model={kind}")
    write_mlflow_model(tmp_path / "model", tmp_path / "wrapped")
    model = mlflow.pyfunc.load_model(str(tmp_path / "wrapped"))
    answer = model.predict(pd.DataFrame({"items": HISTORIES}), params={"k": 3})
    assert answer["items"].to_list() == in_process(tmp_path / "model", HISTORIES, 3)
    assert len(answer["items"].iloc[0]) == 3


def test_a_model_with_parts_of_the_user_s_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "plugins")
    search = f"hydra.searchpath=[file://{Path(__file__).parents[1]}/plugins/albert_parts/conf]"
    saved(tmp_path / "model", "plugins=[albert_parts]", search, "model=albert", "loss=bpr", "model/module=penalised")
    write_mlflow_model(tmp_path / "model", tmp_path / "wrapped")
    model = mlflow.pyfunc.load_model(str(tmp_path / "wrapped"))
    assert len(model.predict(pd.DataFrame({"items": [[1, 2]]}), params={"k": 2})["items"].iloc[0]) == 2


def asked(url: str, content: dict[str, Any]) -> tuple[int, Any]:
    """Status and answer of a request with JSON."""
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_mlflow_serves_the_model_over_http(home: Path) -> None:
    folder, run_id, _ = trained(home)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "-m", f"runs:/{run_id}/model"]
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///outputs/mlflow.db", "NO_PROXY": "127.0.0.1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow starts its server by name
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(
            program + options, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                    break
            except OSError:
                assert server.poll() is None, (home / "server.log").read_text()
                assert time.monotonic() < deadline, (home / "server.log").read_text()
                time.sleep(0.1)
        rows = {"columns": ["items", "exclude"], "data": [[history, []] for history in HISTORIES]}
        status, answer = asked(f"http://127.0.0.1:{port}/invocations", {"dataframe_split": rows, "params": {"k": 4}})
        assert status == 200
        assert [row["items"] for row in answer["predictions"]] == in_process(folder, HISTORIES, 4)
        status, answer = asked(f"http://127.0.0.1:{port}/invocations", {"dataframe_split": rows, "params": {"k": 0}})
        assert (status, "k is 0" in str(answer)) == (400, True)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def test_models_of_folds_are_logged_with_their_folds_and_uploads_log_and_register_once(tmp_path: Path) -> None:
    base = (*QUIET, "reference_models=[]", f"paths.outputs={tmp_path}/out")
    run(composed(*base, "splitter.n_splits=2", "train.save_folds=true", "train.log_model=true"), tmp_path / "folds")
    tracking = {"type": "mlflow", "uri": f"sqlite:///{tmp_path}/out/mlflow.db"}
    client = MlflowClient(tracking["uri"])
    run_id = json.loads((tmp_path / "folds" / "summary.json").read_text())["run_id"]
    for child in client.search_runs([client.get_run(run_id).info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'"):
        fold = child.data.tags["recseq.fold"]
        found = locate(f"runs:/{child.info.run_id}/model", tracking)
        assert (found / "model.json").read_bytes() == (tmp_path / "folds" / f"fold_{fold}" / "model" / "model.json").read_bytes()
    run(composed(*base, "mode=train", "train.log_model=true", "train.register=winner"), tmp_path / "train")
    assert [int(each.version) for each in client.search_model_versions("name = 'winner'")] == [1]
    (tmp_path / "train" / "untracked.json").write_text("{}")
    run(composed(*base, "mode=upload", f"upload.of={tmp_path}/train"), tmp_path / "upload")
    assert [int(each.version) for each in client.search_model_versions("name = 'winner'")] == [2]  # the old run's went with it
    assert locate("models:/winner/2", tracking).name == "model"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.log_model=true"], "an effect only with mode=train, or with train.save_folds=true"),
        (["mode=train", "train.log_model=true", "tracking=none"], "tracking=none keeps no models: tracking=mlflow"),
        (["mode=train", "train.register=x"], "train.register is set, which needs train.log_model=true"),
        (["train.save_folds=true", "train.log_model=true", "train.register=x"], "train.register is set, .* only with mode=train"),
        (["mode=train", "train.log_model=true", "train.register=a/b"], "train.register is 'a/b', must be a name without"),
        (["mode=train", "train.log_model=true", "train.register=a@v1"], "train.register is 'a@v1', must be a name without"),
    ],
)
def test_options_that_do_not_go_together_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(composed(*overrides))
