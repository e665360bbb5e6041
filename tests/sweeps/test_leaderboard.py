"""The leaderboard from what lies in the jobs' folders."""

import json
import multiprocessing
from pathlib import Path

import polars as pl
import pytest

from recseq.sweeps.leaderboard import announce, print_leaderboard, write_leaderboard
from recseq.sweeps.notes import write_job


def job(sweep: Path, number: int, column: str, value: float) -> Path:
    folder = sweep / str(number)
    folder.mkdir(parents=True)
    means = {column: {"mean": value}}
    (folder / "summary.json").write_text(json.dumps({"model": "m", "run_id": "", "objective": {column: value}, "models": {"m": means}}))
    write_job(folder, number, [f"seed={number}"], "FINISHED", None, 1.5)
    return folder


@pytest.mark.parametrize(("column", "best"), [("MAP@10", [1, 2, 0]), ("AvgRecPopularity@10", [0, 2, 1])])
def test_the_best_is_first_in_the_metrics_direction(
    tmp_path: Path, column: str, best: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [job(tmp_path, number, column, value) for number, value in enumerate((0.1, 0.3, 0.2))]
    write_job(tmp_path / "3", 3, ["seed=3"], "FAILED", "exploded", None)
    table = write_leaderboard(tmp_path)
    assert table["job"].to_list() == [*best, 3]
    announce(folders[2], table)
    assert capsys.readouterr().out.strip() == f"Job 2 is number 2 of 4 so far: m, {column} 0.200000, 1.5 s"


def test_lists_are_shown_as_they_were_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, blocks in enumerate(("[ids]", "[ids,categories]")):
        job(tmp_path, number, "MAP@10", 0.1)
        (tmp_path / str(number) / "job.json").unlink()
        write_job(tmp_path / str(number), number, [f"item_net={blocks}"], "FINISHED", None, 1.25)
    print_leaderboard(write_leaderboard(tmp_path), tmp_path, {}, [], None)
    out = capsys.readouterr().out
    assert "[ids,categories]" in out
    assert "1.2 │" in out


def test_a_note_of_a_finished_job_stays(tmp_path: Path) -> None:
    job(tmp_path, 0, "MAP@10", 0.5)
    write_job(tmp_path / "0", 0, ["seed=0"], "FINISHED", None, 0.001)
    assert write_leaderboard(tmp_path)["job_seconds"].to_list() == [1.5]


def end_job(sweep: Path, number: int) -> None:
    job(sweep, number, "MAP@10", number / 10)
    write_leaderboard(sweep)


def test_jobs_that_end_at_once_are_all_there(tmp_path: Path) -> None:
    """The last to write has read what all have noted."""
    spawn = multiprocessing.get_context("forkserver")
    processes = [spawn.Process(target=end_job, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert pl.read_csv(tmp_path / "leaderboard.csv")["job"].to_list() == [3, 2, 1, 0]
    assert not list(tmp_path.glob("*.partial"))
