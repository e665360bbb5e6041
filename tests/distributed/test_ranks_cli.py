"""Commands whose runs take two ranks: started by the program itself, by torchrun, by Slurm."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import psutil
import pytest
from command_line import PROGRAM, SMALL, recseq

OPTIONS = (
    *SMALL,
    "model.dropout_rate=0",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
)
FAKE_SLURM = Path(__file__).with_name("fake_slurm")


def results(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    lists = pl.read_parquet(folder / "fold_0" / "recommendations.parquet")
    return pl.read_csv(folder / "metrics.csv").drop("fit_seconds", "recommend_seconds"), lists.drop("score")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.DataFrame, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("alone")
    done = recseq(folder, *OPTIONS, "validation=last_interaction", "hydra.run.dir=run", "tracking=none")
    assert done.returncode == 0, done.stderr
    return results(folder / "run")


def followers(folder: Path) -> list[psutil.Process]:
    """Ranks that a program in this folder has started; other tests have theirs."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if "recseq.distributed.worker" in (process.info["cmdline"] or []) and process.info["cwd"] == str(folder):
            found.append(process)  # noqa: PERF401
    return found


def test_a_run_has_the_results_of_one_process(alone: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path) -> None:
    done = recseq(tmp_path, *OPTIONS, "validation=last_interaction", "trainer.devices=2", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sasrec, fold 0: epoch 1 of 2") == 1
    assert done.stdout.count("validation: ") == 1
    for one, other in zip(results(tmp_path / "run"), alone, strict=True):
        assert one.equals(other)
    assert not followers(tmp_path)
    assert sorted(path.name for path in (tmp_path / "run" / "fold_0" / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_baseline_says_once_that_devices_have_no_effect(tmp_path: Path) -> None:
    done = recseq(tmp_path, *SMALL[:5], "model=popular", "trainer=ddp", "tracking=none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model popular uses one device") == 1


@pytest.mark.slow
def test_torchrun_starts_the_ranks(alone: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "recseq.cli"]
    options = (*OPTIONS, "validation=last_interaction", "hydra.run.dir=run", "tracking=none")
    done = subprocess.run([*words, *options, "trainer.devices=2"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Run folder") == 1
    for one, other in zip(results(tmp_path / "run"), alone, strict=True):
        assert one.equals(other)
    wrong = subprocess.run([*words, *options[:-2], "tracking=none"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert wrong.returncode != 0
    assert wrong.stderr.count("torchrun has started 2 processes, 2 on this machine, but trainer.devices is 1") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_end_all_ranks_and_the_run_goes_on(how: signal.Signals, tmp_path: Path) -> None:
    def start(*options: str) -> "subprocess.Popen[str]":
        words = [PROGRAM, *OPTIONS, "model.dropout_rate=0.3", "trainer.max_epochs=40", "trainer.devices=2", *options]
        return subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)

    whole = start("hydra.run.dir=whole", "tracking=none")
    assert whole.wait(300) == 0
    process = start("hydra.run.dir=run", "tracking=none")
    assert process.stdout is not None
    for line in process.stdout:
        if "sasrec, fold 0: epoch 3 of" in line:
            os.killpg(process.pid, how) if how == signal.SIGTERM else process.send_signal(how)
            break
    said = process.communicate(timeout=120)[0]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[how], said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(followers(tmp_path), timeout=30)
    assert not alive
    again = start("hydra.run.dir=run", "tracking=none")
    said = again.communicate(timeout=300)[0]
    assert again.returncode == 0, said
    for one, other in zip(results(tmp_path / "run"), results(tmp_path / "whole"), strict=True):
        assert one.equals(other)


@pytest.mark.slow
def test_slurm_jobs_of_a_sweep_have_their_ranks(tmp_path: Path) -> None:
    """Slurm is a few lines that run what is submitted on this machine, with the variables that Slurm sets."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    launcher = ("hydra/launcher=slurm", "hydra.launcher.gpus_per_node=null", "trainer.devices=2")
    environment = os.environ | {"PATH": f"{FAKE_SLURM}{os.pathsep}{os.environ['PATH']}"}
    for rate, code in (("0.001", 0), ("1e20", 1)):
        words = [PROGRAM, "-m", *OPTIONS, *launcher, "seed=1", f"optimizer.lr={rate}", f"hydra.sweep.dir=sweep{code}"]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stderr
        note = json.loads((tmp_path / f"sweep{code}" / "0" / "job.json").read_text())
        assert note["status"] == ("FAILED" if code else "FINISHED")
        assert code == 0 or "training diverged" in note["error"]
        (script,) = (tmp_path / f"sweep{code}").glob(".submitit/77/*_submission.sh")
        assert re.search("ntasks-per-node=2", script.read_text())
