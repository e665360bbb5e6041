"""A store that fails costs the log, not the work."""

import json
import logging
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from recseq.errors import ConfigError
from recseq.tracking.base import NoTracker
from recseq.tracking.mlflow import MlflowTracker
from recseq.tracking.surviving import SurvivingTracker, open_tracker


class Failing(NoTracker):
    def __init__(self) -> None:
        super().__init__(skip_finished=False, runs="")
        self.calls = 0
        self.ended: list[str] = []

    def start(self, *args: object, **kwargs: object) -> str:
        return "a"

    def log_metrics(self, *args: object, **kwargs: object) -> None:
        self.calls += 1
        raise ConnectionError("http://me:word@host is gone")

    def end(self, run_id: str, *args: object) -> None:
        self.ended.append(f"{run_id} {args[0]}")


def test_after_a_failure_nothing_more_is_asked_and_the_folder_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inner = Failing()
    tracker = SurvivingTracker(inner, {"uri": "http://me:word@127.0.0.1:9", "experiment": "mine"})
    run_id = tracker.start("x", "run", {}, {})
    with caplog.at_level(logging.WARNING):
        tracker.log_metrics(run_id, {"a": 1.0})
        tracker.log_metrics(run_id, {"a": 1.0})
        assert tracker.start("y", "fold", {}, {}, run_id) == ""
    assert inner.calls == 1
    assert len(caplog.records) == 1
    tracker.note(tmp_path)
    note = json.loads((tmp_path / "untracked.json").read_text())
    assert note["command"] == f"recseq mode=upload upload.of={tmp_path} 'tracking.uri=http://***@127.0.0.1:9' tracking.experiment=mine"
    assert "word" not in note["reason"]
    assert tracker.hint() is None


def test_a_run_that_is_not_logged_whole_is_closed_as_failed() -> None:
    inner = Failing()
    tracker = SurvivingTracker(inner, {"uri": "sqlite:///x"})
    run_id = tracker.start("x", "run", {}, {})
    tracker.log_metrics(run_id, {"a": 1.0})
    tracker.end(run_id)
    assert inner.ended == ["a FAILED"]


def test_a_store_that_cannot_be_opened_stops_a_run_but_not_a_job_of_a_sweep(caplog: pytest.LogCaptureFixture) -> None:
    node = {"type": "mlflow", "uri": "http://127.0.0.1:9", "artifacts": "auto", "experiment": "x", "skip_finished": False}
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_tracker(node, needed=True)
    tracker = open_tracker(node, needed=False)
    assert tracker.lost is not None
    assert tracker.start("x", "run", {}, {}) == ""


def test_a_run_whose_parameters_fail_does_not_stay_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = MlflowTracker(uri=f"sqlite:///{tmp_path}/m.db", artifacts="auto", experiment="x", skip_finished=False)

    def fail(*args: object, **kwargs: object) -> None:
        raise MlflowException("full")

    monkeypatch.setattr(tracker.client, "log_batch", fail)
    with pytest.raises(MlflowException):
        tracker.start("x", "run", {"a": 1}, {})
    (run,) = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/m.db").search_runs([tracker.experiment_id])
    assert run.info.status == "FAILED"


def test_artifacts_of_an_experiment_that_is_there_stay_where_they_are_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uri = f"sqlite:///{tmp_path}/m.db"
    MlflowTracker(uri=uri, artifacts="auto", experiment="x", skip_finished=False)
    with caplog.at_level(logging.WARNING):
        MlflowTracker(uri=uri, artifacts="auto", experiment="x", skip_finished=False)
        assert not caplog.records
        MlflowTracker(uri=uri, artifacts=f"{tmp_path}/elsewhere", experiment="x", skip_finished=False)
    assert f"{tmp_path}/artifacts; tracking.artifacts has no effect" in caplog.text


def test_a_relative_store_is_that_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        MlflowTracker(uri="sqlite:///m.db", artifacts="auto", experiment=name, skip_finished=False)
        names = {each.name for each in MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/{name}/m.db").search_experiments()}
        assert names == {"Default", name}
