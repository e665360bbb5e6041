"""mode=evaluate: the numbers of the cross-validation that trained a model, in a new process; what would leak is refused."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from command_line import SMALL, recseq
from mlflow.tracking import MlflowClient
from polars.testing import assert_frame_equal

from recseq.tracking.upload import level_of

QUIET = (*SMALL, "trainer.enable_progress_bar=false")
KEPT = ("splitter.n_splits=2", "train.save_folds=true", "metrics=full")


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def measures(folder: Path, fold: int) -> pl.DataFrame:
    table = pl.read_csv(folder / "metrics.csv", infer_schema_length=None).filter(pl.col("fold") == fold)
    return table.select("model", "test_start", "test_end", *(column for column in table.columns if "@" in column))


def evaluated(home: Path, name: str, *arguments: str) -> Path:
    """The folder of a successful evaluation."""
    folder = home / name
    done = recseq(
        home, "mode=evaluate", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", f"hydra.run.dir={folder}", *arguments
    )
    assert done.returncode == 0, done.stderr
    assert "MAP@10" in done.stdout
    return folder


def refused(home: Path, *arguments: str) -> str:
    done = recseq(home, "mode=evaluate", "trainer.accelerator=cpu", f"hydra.run.dir={home}/refused", "tracking=none", *arguments)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert not (home / "refused" / "summary.json").exists()
    shutil.rmtree(home / "refused", ignore_errors=True)
    return done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cross-validated runs whose models were kept: a transformer, popular and ease."""
    home = tmp_path_factory.mktemp("home")
    runs: dict[str, Sequence[str]] = {
        "sasrec": (*QUIET, "loss=gbce", "loss.n_negatives=7", "reference_models=[popular,popular_recent]"),
        "popular": (*QUIET[:5], "model=popular", "tracking=none"),
        "ease": (*QUIET[:5], "model=ease", "tracking=none"),
    }
    for name, typed in runs.items():
        done = recseq(home, *typed, *KEPT, f"hydra.run.dir={home}/{name}")
        assert done.returncode == 0, done.stderr
    return home


def test_an_evaluated_model_has_the_cross_validation_s_numbers_and_run_folder(home: Path) -> None:
    trained = home / "sasrec"
    folder = evaluated(home, "again", f"model_path={trained}/fold_1/model")
    assert_frame_equal(measures(folder, 1), measures(trained, 1), check_exact=True)
    assert set(pl.read_csv(folder / "metrics.csv")["fold"]) == {1}
    for name in ("recommendations.parquet", "per_user.parquet", "test.parquet", "similar.parquet"):
        ours, theirs = (pl.read_parquet(each / "fold_1" / name) for each in (folder, trained))
        assert_frame_equal(ours, theirs, check_exact=True)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["objective"] == {"MAP@10": measures(trained, 1).row(-1, named=True)["MAP@10"]}
    logged = MlflowClient(tracking_uri=f"sqlite:///{home}/outputs/mlflow.db").get_run(summary["run_id"])
    assert logged.data.tags["recseq.level"] == level_of(folder) == "evaluate"
    assert level_of(trained) == "run"
    assert logged.data.metrics["MAP_10"] == summary["objective"]["MAP@10"]


@pytest.mark.parametrize("name", ["popular", "ease"])
def test_baselines_too(home: Path, name: str) -> None:
    folder = evaluated(home, f"{name}_again", f"model_path={name}/fold_0/model", "tracking=none")
    assert_frame_equal(measures(folder, 0), measures(home / name, 0), check_exact=True)


def test_an_older_model_may_be_measured_on_a_later_fold_and_not_the_other_way(home: Path) -> None:
    folder = evaluated(home, "later", "model_path=popular/fold_0/model", "evaluate.fold=1", "metrics=default", "tracking=none")
    assert set(pl.read_csv(folder / "metrics.csv")["fold"]) == {1}
    message = refused(home, "model_path=popular/fold_1/model", "evaluate.fold=0")
    assert "was trained on the train part of fold 1, up to " in message
    assert "Fold 0 is tested on [" in message
    assert "mode=train train.fold=" in message
    message = refused(home, "model_path=popular/fold_0/model", "evaluate.fold=2")
    assert "evaluate.fold is 2; the splitter makes the folds 0 to 1" in message


def test_a_model_of_all_rows_or_of_others_ends_where_its_rows_reach_into_the_test_part(home: Path) -> None:
    done = recseq(home, "mode=train", *QUIET[:5], "model=popular", "tracking=none", f"hydra.run.dir={home}/all")
    assert done.returncode == 0, done.stderr
    assert "was trained on all rows, up to " in refused(home, "model_path=all/model")
    other = refused(home, "model_path=popular/fold_0/model", "splitter=last_n")
    assert "it was trained with another split than the one at hand" in other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "model_path is needed with mode=evaluate"),
        (["model_path=popular/fold_0/model", "model=ease"], "model=ease has no effect with mode=evaluate: the model is used as it was"),
        (["model_path=nowhere"], "the model in nowhere cannot be loaded: there is no such folder"),
    ],
)
def test_what_cannot_be_evaluated_is_said(home: Path, arguments: list[str], message: str) -> None:
    assert message in refused(home, *arguments)
