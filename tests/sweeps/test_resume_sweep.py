"""A sweep that was killed goes on in its folder and ends with the leaderboard of one that was not; the tracker has everything once."""

import contextlib
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import polars as pl
import pytest
from command_line import SMALL, recseq
from sweep_helpers import check_tree, leaderboard, logged, start, wait_for

ROWS = (*SMALL[:-1], "trainer.max_epochs=2", "trainer.enable_progress_bar=false", "splitter.n_splits=2", "splitter.test_size=20D")
ROWS += ("model=sasrec,bert4rec", "loss=softmax,gbce", "item_net=[ids],[ids,categories]", "hydra.sweep.dir=sweep")
QUICK = (*SMALL[:5], "model=popular,ease", "hydra.sweep.dir=sweep")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Folder of an uninterrupted sweep of eight rows, and its seconds from the first job on."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder, "-m", *ROWS)
    wait_for((folder / "sweep" / "0" / "run.json").exists)
    begun = time.monotonic()
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err[-3000:]
    assert out.count("so far: ") == 8
    assert "to the best" in out
    return folder, time.monotonic() - begun


def test_eight_rows_are_a_tree_and_a_leaderboard(whole: tuple[Path, float]) -> None:
    folder, _ = whole
    sweep = folder / "sweep"
    table = pl.read_csv(sweep / "leaderboard.csv")
    assert table.height == 8
    assert table["rank"].to_list() == list(range(1, 9))
    assert table["MAP@10"].is_sorted(descending=True)
    assert table.select("model", "loss", "item_net").unique().height == 8
    for row in table.iter_rows(named=True):
        summary = json.loads((sweep / str(row["job"]) / "summary.json").read_text())
        assert summary["models"][summary["model"]]["MAP@10"]["mean"] == row["MAP@10"]
    check_tree(folder, sweep, n_folds=2)


def kill_and_go_on(folder: Path, whole: tuple[Path, float], seed: int) -> None:
    """Kill -9 a sweep's process group at a random moment after its first job began, go on with it, compare."""
    process = start(folder, "-m", *ROWS)
    wait_for((folder / "sweep" / "0").is_dir)
    time.sleep(random.Random(seed).uniform(0, whole[1]))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in (folder / "sweep").glob("*/fold_*/recommendations.parquet")}
    done = recseq(folder, "-m", *ROWS)
    assert done.returncode == 0, done.stderr[-3000:]
    assert leaderboard(folder / "sweep").equals(leaderboard(whole[0] / "sweep"))
    assert {path: path.stat().st_mtime_ns for path in before} == before  # no fold was fitted twice
    check_tree(folder, folder / "sweep", n_folds=2)


def test_a_killed_sweep_ends_like_one_that_was_not(tmp_path: Path, whole: tuple[Path, float]) -> None:
    kill_and_go_on(tmp_path, whole, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_sweep_killed_at_any_moment_ends_like_one_that_was_not(tmp_path: Path, whole: tuple[Path, float], seed: int) -> None:
    kill_and_go_on(tmp_path, whole, seed=seed)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working directory of a small finished sweep."""
    folder = tmp_path_factory.mktemp("quick")
    done = recseq(folder, "-m", *QUICK)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def mine(quick: Path, tmp_path: Path) -> Path:
    """A copy, which the tracker's runs do not know of."""
    shutil.copytree(quick / "sweep", tmp_path / "sweep")
    return tmp_path


def test_a_finished_sweep_runs_nothing_again_and_grows(quick: Path) -> None:
    summaries = {path: path.read_text() for path in quick.glob("sweep/*/summary.json")}
    assert len(summaries) == 2
    done = recseq(quick, "-m", *QUICK[:5], "model=popular,ease,item_knn", "report.k=3", QUICK[-1])
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("finished before, not run again") == 2
    assert {path: path.read_text() for path in summaries} == summaries
    assert pl.read_csv(quick / "sweep" / "leaderboard.csv").height == 3
    check_tree(quick, quick / "sweep", n_folds=1)


@pytest.mark.parametrize(
    ("jobs", "told"),
    [
        (["model=ease,popular"], "its job 0 was"),
        (["model=popular"], "its job 1 was"),
        (["model=popular,ease", "seed=1"], "and is now"),
    ],
)
def test_another_command_line_is_refused_before_anything_runs(mine: Path, jobs: list[str], told: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in (mine / "sweep").rglob("*.*") if not path.name.startswith(".")}
    done = recseq(mine, "-m", *QUICK[:5], *jobs, QUICK[-1])
    assert done.returncode == 1
    assert "cannot go on with this command line" in done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not (mine / "outputs").exists()


def test_results_that_the_tracker_lacks_are_logged_without_fitting(mine: Path) -> None:
    folds = {path: path.stat().st_mtime_ns for path in mine.glob("sweep/*/fold_*/recommendations.parquet")}
    names = json.loads((mine / "sweep" / "jobs.json").read_text())["jobs"]
    models = ",".join(name.removeprefix("model=") for job in names for name in job if name.startswith("model="))
    done = recseq(mine, "-m", *QUICK[:5], f"model={models}", QUICK[-1])
    assert done.returncode == 0, done.stderr[-3000:]
    assert "not in the tracker" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in folds} == folds
    check_tree(mine, mine / "sweep", n_folds=1)


@pytest.mark.parametrize("tracking", ["mlflow", "none"])
def test_a_finished_configuration_is_not_run_again(tmp_path: Path, tracking: str) -> None:
    line = (*SMALL[:5], f"tracking={tracking}", "tracking.skip_finished=true")
    first = recseq(tmp_path, *line, "model=popular", "hydra.run.dir=outputs/first")
    assert first.returncode == 0, first.stderr[-3000:]
    done = recseq(tmp_path, "-m", *line, "model=popular,ease", "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("results are taken from a finished run") == 1
    source = json.loads((tmp_path / "sweep" / "0" / "taken_from.json").read_text())
    assert source["folder"] == str(tmp_path / "outputs" / "first")
    summaries = [json.loads((path / "summary.json").read_text()) for path in (tmp_path / "outputs" / "first", tmp_path / "sweep" / "0")]
    assert summaries[0] == summaries[1]
    table = pl.read_csv(tmp_path / "sweep" / "leaderboard.csv")
    assert table["status"].to_list() == ["FINISHED"] * 2
    assert "to the best" in done.stdout
    if tracking == "mlflow":
        assert len(logged(tmp_path)["run"]) == 2
        shutil.rmtree(tmp_path / "outputs" / "first")
        shutil.rmtree(tmp_path / "sweep" / "0")
        again = recseq(tmp_path, *line, "model=popular", "hydra.run.dir=outputs/second")
        assert again.returncode == 0, again.stderr[-3000:]
        assert f"its folder {tmp_path}/outputs/first is gone" in again.stdout
        assert not (tmp_path / "outputs" / "second" / "taken_from.json").exists()


def test_four_sweeps_at_once_make_one_fresh_store(tmp_path: Path) -> None:
    line = ("-m", *SMALL[:5], "model=popular,ease")
    processes = [start(tmp_path, *line, f"seed={seed}", f"hydra.sweep.dir=sweep{seed}") for seed in range(4)]
    for process in processes:
        _, err = process.communicate(timeout=400)
        assert process.returncode == 0, err[-3000:]
    found = logged(tmp_path)
    assert [len(found[level]) for level in ("sweep", "run", "fold")] == [4, 8, 8]
    assert {run.info.status for level in found.values() for run in level} == {"FINISHED"}
    parents = [run.data.tags["mlflow.parentRunId"] for run in found["run"]]
    assert sorted(parents) == sorted(2 * [run.info.run_id for run in found["sweep"]])


def test_a_sweep_that_runs_is_left_alone(tmp_path: Path) -> None:
    from recseq.sweeps.callback import lock_sweep, unlock_sweep

    (tmp_path / "sweep").mkdir()
    lock_sweep(tmp_path / "sweep")
    done = recseq(tmp_path, "-m", *QUICK)
    unlock_sweep(tmp_path / "sweep")
    assert done.returncode == 1
    assert "another process is running the sweep" in done.stderr
