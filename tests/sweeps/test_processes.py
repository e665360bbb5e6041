"""Jobs that die, alone, and the sweep that tells why."""

import json
import os
import shlex
import shutil
import signal
import subprocess
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from command_line import PROGRAM, SMALL, recseq
from sweep_helpers import logged, start, wait_for

from recseq.errors import ConfigError
from recseq.sweeps.devices import environment, groups_of, visible_devices
from recseq.sweeps.processes import _why
from recseq.sweeps.rerun import quoted

PARTS = Path(__file__).parents[1] / "plugins" / "fragile_parts"
FRAGILE = ("--config-dir", str(PARTS / "conf"), *SMALL[:5], "plugins=[fragile_parts]", "model=fragile", "hydra.sweep.dir='a sweep'")
REASONS = {
    "fine": None,
    "raise": "exploded",
    "kill": "killed by signal 9 (out of memory?)",
    "exit": "the job called sys.exit(3)",
    "full": "the disk is full: [Errno 28] No space left on device",
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Working directory and output of a sweep under `hydra/launcher=processes` whose jobs but one die, each in its way."""
    folder = tmp_path_factory.mktemp("fragile")
    shutil.copy(PARTS / "__init__.py", folder / "fragile_parts.py")
    launcher = ("hydra/launcher=processes", "hydra.launcher.n_jobs=2", "hydra.launcher.devices=[7,8]")
    done = recseq(folder, "-m", *FRAGILE, f"model.how={','.join(REASONS)}", *launcher)
    assert done.returncode == 1, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return folder, done.stdout


def test_each_job_ends_as_it_ends_and_the_others_go_on(swept: tuple[Path, str]) -> None:
    folder, stdout = swept
    for number, (how, reason) in enumerate(REASONS.items()):
        note = json.loads((folder / "a sweep" / str(number) / "job.json").read_text())
        assert note["job"] == number
        assert f"model.how={how}" in note["overrides"]
        assert note["status"] == ("FINISHED" if reason is None else "FAILED")
        assert note["error"] == reason
        assert note["seconds"] > 0
        if reason is not None:
            assert f"Job {number} failed: {reason}" in stdout
    table = pl.read_csv(folder / "a sweep" / "leaderboard.csv")
    assert table["status"].to_list() == ["FINISHED"] + ["FAILED"] * 4
    assert table["error"].to_list() == list(REASONS.values())


def test_the_tracker_has_no_run_that_seems_to_run(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    found = logged(folder)
    assert {level: sorted(run.info.status for run in runs) for level, runs in found.items()} == {
        "sweep": ["FAILED"],
        "run": ["FAILED"] * 4 + ["FINISHED"],
        "fold": ["FAILED"] * 4 + ["FINISHED"],
    }
    assert {run.data.tags["mlflow.parentRunId"] for run in found["run"]} == {found["sweep"][0].info.run_id}


def test_jobs_are_pinned_to_devices_in_turn_and_share_the_cores(swept: tuple[Path, str]) -> None:
    folder, stdout = swept
    devices = []
    for number in range(len(REASONS)):
        (line,) = [x for x in (folder / "a sweep" / str(number) / "output.txt").read_text().splitlines() if x.startswith("environment:")]
        _, device, threads = line.split()
        devices.append(device)
        assert threads == os.environ.get("OMP_NUM_THREADS", threads)
    assert devices[:2] == ["7", "8"]
    assert set(devices) == {"7", "8"}
    assert "Job 1 starts on device 8" in stdout


def test_the_command_that_is_printed_runs_the_job_again_and_mends_the_sweep(swept: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(swept[0], folder)
    lines = swept[1].splitlines()
    line = next(after for before, after in pairwise(lines) if before.startswith("Job 2 failed") and after.startswith("  recseq"))
    program, *words = shlex.split(line.replace(str(swept[0]), str(folder)))
    assert program == "recseq"
    (folder / "healed").touch()
    done = subprocess.run([PROGRAM, *words], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "going on with the run that was interrupted" in done.stdout
    sweep = folder / "a sweep"
    table = pl.read_csv(sweep / "leaderboard.csv")
    assert table.filter(pl.col("status") == "FINISHED")["job"].sort().to_list() == [0, 2]
    parent = json.loads((sweep / "sweep.json").read_text())["run_id"]
    run_id = table.filter(pl.col("job") == 2)["run_id"].item()
    (run,) = [run for run in logged(folder)["run"] if run.info.run_id == run_id]
    assert run.data.tags["mlflow.parentRunId"] == parent


def test_a_job_that_raises_or_exits_stops_no_other_under_the_basic_launcher(tmp_path: Path) -> None:
    shutil.copy(PARTS / "__init__.py", tmp_path / "fragile_parts.py")
    done = recseq(tmp_path, "-m", *FRAGILE, "model.how=raise,exit,full,fine", "tracking=none")
    assert done.returncode == 1
    assert pl.read_csv(tmp_path / "a sweep" / "leaderboard.csv")["status"].to_list() == ["FINISHED"] + ["FAILED"] * 3
    assert "the job called sys.exit(3)" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_job_that_raises_or_exits_stops_no_other_under_any_launcher(tmp_path: Path, launcher: str) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.split('_')[0]}_launcher")
    shutil.copy(PARTS / "__init__.py", tmp_path / "fragile_parts.py")
    more = {"joblib": ["hydra.launcher.n_jobs=2"], "submitit_local": ["hydra.launcher.timeout_min=10"]}[launcher]
    done = recseq(tmp_path, "-m", *FRAGILE, "model.how=raise,exit,full,fine", f"hydra/launcher={launcher}", *more)
    assert done.returncode == 1
    assert pl.read_csv(tmp_path / "a sweep" / "leaderboard.csv")["status"].to_list() == ["FINISHED"] + ["FAILED"] * 3
    assert "RUNNING" not in {run.info.status for level in logged(tmp_path).values() for run in level}


def waiting(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("waits-")) for path in folder.glob("waits-*")]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:4]


@pytest.mark.parametrize(
    ("launcher", "how", "code", "word"),
    [
        ("processes", signal.SIGINT, 130, "Interrupted"),
        ("basic", signal.SIGINT, 130, "Interrupted"),
        pytest.param("processes", signal.SIGTERM, 143, "Terminated", marks=pytest.mark.slow),
        pytest.param("basic", signal.SIGTERM, 143, "Terminated", marks=pytest.mark.slow),
        pytest.param("joblib", signal.SIGTERM, 143, "Terminated", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_and_sigterm_close_every_run(tmp_path: Path, launcher: str, how: signal.Signals, code: int, word: str) -> None:
    shutil.copy(PARTS / "__init__.py", tmp_path / "fragile_parts.py")
    more = ["hydra.launcher.n_jobs=2"] if launcher != "basic" else []
    process = start(tmp_path, "-m", *FRAGILE, "model.how=wait,wait", "seed=1,2", f"hydra/launcher={launcher}", *more)
    n_waiting = 1 if launcher == "basic" else 2
    wait_for(lambda: len(waiting(tmp_path)) == n_waiting)
    process.send_signal(how)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err[-3000:]
    assert word in err
    assert "Traceback" not in err
    assert "to go on:" in out
    assert "hydra.sweep.dir=" in out
    assert not any(alive(pid) for pid in waiting(tmp_path))
    found = logged(tmp_path)
    assert {run.info.status for level in found.values() for run in level} == {"KILLED"}
    assert len(found["run"]) == n_waiting


def test_jobs_end_when_their_sweep_is_killed_and_it_goes_on(tmp_path: Path) -> None:
    shutil.copy(PARTS / "__init__.py", tmp_path / "fragile_parts.py")
    line = ("-m", *FRAGILE, "model.how=wait", "seed=1,2", "hydra/launcher=processes", "hydra.launcher.n_jobs=2")
    process = start(tmp_path, *line)
    wait_for(lambda: len(waiting(tmp_path)) == 2)
    process.kill()
    process.communicate()
    (tmp_path / "healed").touch()
    done = recseq(tmp_path, *line)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not any(alive(pid) for pid in waiting(tmp_path))
    found = logged(tmp_path)
    assert {run.info.status for level in found.values() for run in level} == {"FINISHED"}
    assert [len(found[level]) for level in ("sweep", "run", "fold")] == [1, 2, 2]


def test_devices_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 1")
    assert visible_devices() == ["3", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_devices() == []
    assert groups_of(["0", "1", "2", "3", "4"], 2) == ["0,1", "2,3"]
    assert groups_of([], 2) == []
    with pytest.raises(ConfigError, match=r"trainer\.devices is 2, but a job can have only 0"):
        groups_of(["0"], 2)


def test_cores_are_shared_unless_the_user_has_said_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("POLARS_MAX_THREADS", "5")
    found = environment("0,1", n_jobs=3)
    assert [found[name] for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "CUDA_VISIBLE_DEVICES")] == ["2", "5", "0,1"]


def test_reasons_in_words() -> None:
    assert _why(-signal.SIGKILL) == "killed by signal 9 (out of memory?)"
    assert _why(-signal.SIGTERM) == "killed by signal 15 (SIGTERM)"
    assert _why(1) == "its process ended with exit code 1; see output.txt in its folder"


@pytest.mark.parametrize(("text", "value"), [("/a/b-1.0_c", "/a/b-1.0_c"), ("/a b/c=d", "'/a b/c=d'"), ("it's", r"'it\'s'")])
def test_folders_as_values_of_overrides(text: str, value: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    assert quoted(text) == value
    (override,) = OverridesParser.create().parse_overrides([f"hydra.run.dir={value}"])
    assert str(override.value()) == text


def test_a_job_that_is_killed_under_submitit_fails_alone(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    shutil.copy(PARTS / "__init__.py", tmp_path / "fragile_parts.py")
    done = recseq(tmp_path, "-m", *FRAGILE, "model.how=kill,fine", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Job 0 failed: its process ended without a result, in state" in done.stdout
    assert pl.read_csv(tmp_path / "a sweep" / "leaderboard.csv")["status"].to_list() == ["FINISHED", "FAILED"]
    assert sorted(run.info.status for run in logged(tmp_path)["run"]) == ["FAILED", "FINISHED"]
