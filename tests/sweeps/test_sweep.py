"""A sweep as it is typed: rows under one parent run, a leaderboard that also has the failed job, references fitted once."""

import json
from pathlib import Path

import polars as pl
import pytest
from command_line import SMALL, recseq
from mlflow.tracking import MlflowClient


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("sweep")
    sizes = ("size=small", "size.n_factors=8", "size.n_heads=2", "trainer=debug", "reference_models=[popular,item_knn]")
    rows = "row=popular,ease,sasrec_gbce_ids"
    done = recseq(folder, "-m", *SMALL[:5], *sizes, rows, "splitter.test_size=7D,1000D")
    assert done.returncode == 1  # the 1000-day jobs fail
    (found,) = folder.glob("outputs/sweeps/*/*")
    return found, done.stdout


def test_leaderboard_has_every_job_best_first_and_failures_last(swept: tuple[Path, str]) -> None:
    folder, stdout = swept
    table = pl.read_csv(folder / "leaderboard.csv")
    assert table["status"].to_list() == ["FINISHED"] * 3 + ["FAILED"] * 3
    assert set(table["row"]) == {"popular", "ease", "sasrec_gbce_ids"}
    finished = table.filter(pl.col("status") == "FINISHED")
    assert finished["MAP@10"].is_sorted(descending=True)
    for job, model, value in finished.select("job", "model", "MAP@10").iter_rows():
        summary = json.loads((folder / str(job) / "summary.json").read_text())
        assert summary["model"] == model
        assert summary["models"][model]["MAP@10"]["mean"] == pytest.approx(value)
    assert table.filter(pl.col("status") == "FAILED")["error"].str.contains("no train rows").all()
    assert "Leaderboard, 6 jobs" in stdout


def test_jobs_hang_under_one_parent_run(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    client = MlflowClient(tracking_uri=f"sqlite:///{folder.parents[2] / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("recseq")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.data.tags["recseq.level"] == "sweep"]
    jobs = [run for run in runs if run.data.tags["recseq.level"] == "run"]
    assert {run.data.tags["mlflow.parentRunId"] for run in jobs} == {parent.info.run_id}
    assert sorted(run.info.status for run in jobs) == ["FAILED"] * 3 + ["FINISHED"] * 3
    assert parent.info.status == "FAILED"
    files = {"leaderboard.csv", "pivot.csv", "pivot.md", "significance.csv", "report.html"}
    pictures = {f"{name}.{ending}" for name in ("pareto", "pareto_item_net") for ending in ("html", "png")}
    assert {
        file.path for file in client.list_artifacts(parent.info.run_id)
    } == files | pictures  # drawn as the program ends, for jobs failed
    finished = pl.read_csv(folder / "leaderboard.csv").filter(pl.col("status") == "FINISHED")
    assert set(finished["run_id"]) == {run.info.run_id for run in jobs if run.info.status == "FINISHED"}


def test_reference_models_are_fitted_once_a_sweep(swept: tuple[Path, str]) -> None:
    folder, stdout = swept
    assert len(list((folder / "references").glob("*.parquet"))) == 2
    assert stdout.count("item_knn, fold 0: fitted") == 1
