"""Which folders are runs, and what is said of those that are not results."""

import json
import os
from pathlib import Path

import pytest
from fake_runs import fake_run

from recseq.errors import ConfigError
from recseq.report.rows import check_folds
from recseq.report.runs import runs_below, runs_of_experiment


def test_runs_are_found_at_and_below_a_folder_jobs_by_number(tmp_path: Path) -> None:
    for job in (10, 2):
        fake_run(tmp_path / "sweep" / str(job), f"seed={job}", scores={"MAP@10": [0.1]})
    assert [run.folder.name for run in runs_below([tmp_path]).runs] == ["2", "10"]
    assert [run.folder.name for run in runs_below([tmp_path / "sweep" / "10"]).runs] == ["10"]
    both = runs_below([tmp_path / "sweep" / "10", tmp_path])
    assert [run.folder.name for run in both.runs] == ["10", "2"]
    assert both.notes == []


def test_unfinished_failed_and_broken_runs_are_named_not_shown(tmp_path: Path) -> None:
    fake_run(tmp_path / "good", scores={"MAP@10": [0.1]})
    fake_run(tmp_path / "unfinished", "seed=1", scores={"MAP@10": [0.1]})
    (tmp_path / "unfinished" / "summary.json").unlink()
    fake_run(tmp_path / "failed", "seed=2", scores={"MAP@10": [0.1]})
    (tmp_path / "failed" / "job.json").write_text(json.dumps({"status": "FAILED", "error": "no train rows\nat all"}))
    fake_run(tmp_path / "broken", "seed=3", scores={"MAP@10": [0.1]})
    (tmp_path / "broken" / "summary.json").write_text("{")
    found = runs_below([tmp_path])
    assert [run.folder.name for run in found.runs] == ["good"]
    notes = "\n".join(found.notes)
    assert "unfinished is left out: the run is not finished, it has no summary.json" in notes
    assert "failed is left out: the job failed: no train rows" in notes
    assert "broken is left out: it cannot be read" in notes


def test_the_same_experiment_twice_is_shown_once_the_later(tmp_path: Path) -> None:
    for name, time in (("b", 1000), ("a", 2000)):
        folder = fake_run(tmp_path / name, scores={"MAP@10": [0.1]})
        os.utime(folder / "summary.json", (time, time))
    found = runs_below([tmp_path])
    assert [run.folder.name for run in found.runs] == ["a"]
    assert "is the same experiment, run later" in found.notes[0]


def test_no_runs_is_an_error_that_says_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.yaml").write_text("{}")
    with pytest.raises(ConfigError, match=r"no finished run in .*\n.*half is left out"):
        runs_below([tmp_path])
    with pytest.raises(ConfigError, match="nowhere, which is no folder"):
        runs_below([tmp_path / "nowhere"])


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.db', which cannot be opened: there is no such file"):
        runs_of_experiment(f"sqlite:///{tmp_path}/no.db", "recseq")
    assert not (tmp_path / "no.db").exists()


def test_runs_without_a_selected_fold_are_left_out(tmp_path: Path) -> None:
    fake_run(tmp_path / "one", "seed=1", scores={"MAP@10": [0.1]})
    fake_run(tmp_path / "two", "seed=2", scores={"MAP@10": [0.1, 0.2]})
    runs = runs_below([tmp_path]).runs
    kept, notes = check_folds(runs, [1])
    assert [run.folder.name for run in kept] == ["two"]
    assert len(notes) == 1
    assert "one is left out: it has the folds 0" in notes[0]
    with pytest.raises(ConfigError, match=r"report.folds is \[7\]; the runs have the folds 0, 1"):
        check_folds(runs, [7])
