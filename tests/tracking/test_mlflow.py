import json
from pathlib import Path

import pytest
from conftest import TINY_MODEL, composed
from mlflow.tracking import MlflowClient

from recseq.errors import DataError
from recseq.modes import run

SMALL = (
    *("dataset.n_users=200", "dataset.n_items=50", "dataset.n_interactions=1200", "dataset.n_directors=10", "dataset.n_genres=5"),
    *TINY_MODEL,
    "model.batch_size=64",
    "trainer=cpu",
    "trainer.enable_progress_bar=false",
)


def runs(folder: Path) -> tuple[MlflowClient, list]:
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/out/mlflow.db")
    experiment = client.get_experiment_by_name("recseq")
    assert experiment is not None
    return client, client.search_runs([experiment.experiment_id])


def test_a_run_is_logged_as_a_tree(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    value = run(
        composed(*SMALL, f"paths.outputs={tmp_path}/out", "splitter.n_splits=2", "splitter.test_size=10D", "trainer.max_epochs=2"), folder
    )
    client, found = runs(tmp_path)
    (top,) = [r for r in found if r.data.tags["recseq.level"] == "run"]
    folds = [r for r in found if r.data.tags["recseq.level"] == "fold"]
    assert {r.info.status for r in found} == {"FINISHED"}
    assert top.info.run_name == "sasrec-softmax-ids+categories"
    assert sorted(r.data.tags["recseq.fold"] for r in folds) == ["0", "1"]
    assert {r.data.tags["mlflow.parentRunId"] for r in folds} == {top.info.run_id}
    assert top.data.params["model.n_factors"] == "8"
    assert top.data.params["optimizer.lr"] == "0.001"
    for tag in ("git_commit", "git_dirty", "data_hash", "split_hash", "config_hash", "simulated"):
        assert f"recseq.{tag}" in top.data.tags
    summary = json.loads((folder / "summary.json").read_text())["models"]["sasrec"]
    assert top.data.metrics["MAP_10_mean"] == pytest.approx(summary["MAP@10"]["mean"]) == pytest.approx(value)
    assert top.data.metrics["MAP_10_std"] == pytest.approx(summary["MAP@10"]["std"])
    assert [m.step for m in client.get_metric_history(top.info.run_id, "MAP_10")] == [0, 1]
    assert [m.step for m in client.get_metric_history(folds[0].info.run_id, "train_loss")] == [1, 2]
    assert folds[0].data.metrics["n_vocabulary"] > 0
    names = {file.path for file in client.list_artifacts(top.info.run_id)}
    assert {"config.yaml", "metrics.csv", "significance.csv", "summary.json", "provenance.json"} <= names
    assert str(tmp_path / "out" / "artifacts") in top.info.artifact_uri


def test_a_failed_run_is_marked_and_leaves_no_result(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(DataError):
        run(composed(*SMALL, f"paths.outputs={tmp_path}/out", "splitter.test_size=100D", "splitter.n_splits=5"), folder)
    _, found = runs(tmp_path)
    assert {r.info.status for r in found} == {"FAILED"}
    assert not (folder / "summary.json").exists()
    assert not (folder / "metrics.csv").exists()


def test_an_interrupted_run_is_marked_killed_and_leaves_no_half_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from recseq.models.sequential import SequentialRecommender

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SequentialRecommender, "recommend", interrupt)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run(composed(*SMALL, f"paths.outputs={tmp_path}/out", "trainer.max_epochs=1"), folder)
    _, found = runs(tmp_path)
    assert {r.info.status for r in found} == {"KILLED"}
    assert not [path for path in folder.iterdir() if path.name.startswith((".fold", "fold"))]
