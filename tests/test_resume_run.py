"""A run that was interrupted goes on in its folder and ends with the numbers of one that was not; the tracker has it once."""

import json
from pathlib import Path

import polars as pl
import pytest
from conftest import TINY_MODEL, composed
from mlflow.tracking import MlflowClient

from recseq import folds
from recseq.errors import ConfigError
from recseq.modes import run
from recseq.training.callbacks import EpochEnd

OPTIONS = (
    *("dataset.n_users=200", "dataset.n_items=50", "dataset.n_interactions=1200", "dataset.n_directors=10", "dataset.n_genres=5"),
    *TINY_MODEL,
    "model.batch_size=64",
    "trainer=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.max_epochs=3",
    "splitter.n_splits=3",
    "validation=last_interaction",
)


class BreakError(Exception):
    pass


def results(folder: Path) -> tuple[pl.DataFrame, list[pl.DataFrame], list[str], dict]:
    table = pl.read_csv(folder / "metrics.csv").drop("fit_seconds", "recommend_seconds")
    summary = json.loads((folder / "summary.json").read_text())
    means = {column: value for column, value in summary["models"]["sasrec"].items() if "@" in column}
    lists = [pl.read_parquet(folder / f"fold_{i}" / "recommendations.parquet") for i in range(3)]
    return table, lists, [(folder / f"fold_{i}" / "epochs.csv").read_text() for i in range(3)], means


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(composed(*OPTIONS, "tracking=none"), folder / "run")
    return folder / "run"


def interrupt(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Break in the second fold: in its second epoch, or when its folder is about to be written."""
    count = {"n": 0}
    owner, name, limit = (EpochEnd, "on_train_epoch_end", 5) if where == "epoch" else (folds, "write_json", 2)
    real = getattr(owner, name)

    def broken(*args: object) -> None:
        count["n"] += 1
        if count["n"] == limit:
            raise BreakError
        real(*args)

    monkeypatch.setattr(owner, name, broken)


@pytest.mark.parametrize("where", ["epoch", "fold"])
def test_a_run_goes_on_where_it_was_and_ends_the_same(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    folder, options = tmp_path / "run", (*OPTIONS, f"paths.outputs={tmp_path}/out")
    with monkeypatch.context() as patch:
        interrupt(patch, where)
        with pytest.raises(BreakError):
            run(composed(*options), folder)
    assert (folder / "fold_0").is_dir()
    assert not (folder / "fold_1").exists()
    assert (folder / "unfinished" / "fold_1" / "last.ckpt").exists()
    (folder / ".fold_1.99.partial").mkdir()  # what a kill would have left
    before = (folder / "fold_0" / "recommendations.parquet").stat().st_mtime_ns
    run(composed(*options, "trainer.enable_progress_bar=false"), folder)
    assert (folder / "fold_0" / "recommendations.parquet").stat().st_mtime_ns == before
    for one, other in zip(results(folder), results(whole), strict=True):
        if isinstance(one, pl.DataFrame):
            assert one.equals(other)
        elif isinstance(one, list) and isinstance(one[0], pl.DataFrame):
            assert all(a.equals(b) for a, b in zip(one, other, strict=True))
        else:
            assert one == other
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["fold_0", "fold_1", "fold_2"]
    assert (folder / "fold_1" / "checkpoints" / "last.ckpt").exists()
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/out/mlflow.db")
    (experiment,) = [found for found in client.search_experiments() if found.name == "recseq"]
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(found.data.tags["recseq.level"] for found in runs) == ["fold"] * 3 + ["run"]
    assert {found.info.status for found in runs} == {"FINISHED"}
    (top,) = [found for found in runs if found.data.tags["recseq.level"] == "run"]
    assert [point.step for point in client.get_metric_history(top.info.run_id, "MAP_10")] == [0, 1, 2]
    for found in runs:
        if found.data.tags["recseq.level"] == "fold":
            assert [point.step for point in client.get_metric_history(found.info.run_id, "val_MAP_10")] == [1, 2, 3]
            assert "MAP_10" in found.data.metrics


def test_another_configuration_does_not_go_on_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt(patch, "epoch")
        with pytest.raises(BreakError):
            run(composed(*OPTIONS, "tracking=none"), folder)
    with pytest.raises(ConfigError, match=r"interrupted run with another config_hash"):
        run(composed(*OPTIONS, "tracking=none", "optimizer.lr=0.5"), folder)
    with pytest.raises(ConfigError, match=r"interrupted run with another data_hash, config_hash"):
        run(composed(*OPTIONS, "tracking=none", "dataset.seed=5"), folder)
