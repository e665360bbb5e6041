"""SIGTERM ends a command cleanly, and a command that a signal ended at any batch goes on to the same weights, bit for bit."""

import os
import random
import re
import shlex
import signal
import threading
from pathlib import Path

import polars as pl
import pytest
import torch
from command_line import SMALL, recseq
from mlflow.tracking import MlflowClient

from recseq import termination

OPTIONS = (*SMALL, "trainer.max_epochs=3", "model.batch_size=32", "validation=last_interaction", "trainer.enable_progress_bar=false")
STRIKE = """
import os, signal
from recseq.training.lightning_module import SequentialModule

real, left = SequentialModule.training_step, [int(os.environ.get("STRIKE_AT", "-1"))]

def training_step(self, batch, batch_idx):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), int(os.environ["STRIKE_WITH"]))
    return real(self, batch, batch_idx)

SequentialModule.training_step = training_step
"""


def test_sigterm_raises_once_and_the_handler_before_comes_back() -> None:
    @termination.handled()
    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("not reached")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # the same blow, to the whole group

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(termination.Terminated):
        work()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not termination.requested()


def test_sigterm_waits_for_the_end_of_a_block() -> None:
    reached = []

    @termination.handled()
    @termination.deferred()
    def work() -> None:
        with termination.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            assert termination.requested()
        reached.append("the end")

    with pytest.raises(termination.Terminated):
        work()
    assert reached == ["the end"]


def test_threads_and_programs_that_ignore_sigterm_are_left_alone() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with termination.handled():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)

    def inside() -> None:
        with termination.handled():
            found.append(signal.getsignal(signal.SIGTERM))

    found: list[object] = []
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [before]


def test_submitit_requeues_a_job_when_everything_is_closed() -> None:
    said = []

    class Submitit:
        def bypass(self, number: int, frame: object) -> None:
            said.append("bypassed")

        def checkpoint_and_try_requeue(self, number: int, frame: object) -> None:
            said.append(f"requeued after {signal.Signals(number).name}")
            raise SystemExit(-1)

    @termination.handled()
    def work() -> None:
        try:
            with termination.deferred():
                os.kill(os.getpid(), signal.SIGUSR2)
                said.append("saved")
        finally:
            said.append("closed")

    handler = Submitit()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    try:
        signal.signal(signal.SIGTERM, handler.bypass)
        signal.signal(signal.SIGUSR2, handler.checkpoint_and_try_requeue)
        with pytest.raises(SystemExit):
            work()
        assert said == ["saved", "closed", "requeued after SIGUSR2"]
        assert signal.getsignal(signal.SIGTERM) == handler.bypass
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    done = recseq(folder, *OPTIONS, "tracking=none", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def final(folder: Path) -> tuple[dict[str, torch.Tensor], pl.DataFrame, str]:
    fold = folder / "fold_0"
    state = torch.load(fold / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state, pl.read_parquet(fold / "recommendations.parquet"), (fold / "epochs.csv").read_text()


def n_batches(whole: Path) -> int:
    return int(torch.load(whole / "fold_0" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"])


def strike(tmp_path: Path, whole: Path, how: signal.Signals, seed: int) -> None:
    """Strike at a random batch, go on, and compare with the run that nobody struck."""
    (tmp_path / "striking.py").write_text(STRIKE)
    at = random.Random(seed).randint(1, n_batches(whole))
    print(f"struck at batch {at}")
    blow = {"STRIKE_AT": str(at), "STRIKE_WITH": str(int(how))}
    first = recseq(
        tmp_path, *OPTIONS, "plugins=[striking]", "trainer.checkpoint_every_n_batches=4", "hydra.run.dir=a run", environment=blow
    )
    folder = tmp_path / "a run"
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/outputs/mlflow.db")
    statuses = {run.info.status for run in client.search_runs(["1"])}
    assert not (folder / "fold_0").exists()
    assert not (folder / "summary.json").exists()
    if how == signal.SIGTERM:
        assert first.returncode == 143, first.stderr
        assert "Traceback" not in first.stderr
        assert statuses == {"KILLED"}
        assert not list(folder.glob("**/.*.partial"))
        (line,) = re.findall(r"^Terminated; to go on: recseq (.*)$", first.stderr, flags=re.MULTILINE)
        words = shlex.split(line)
    else:
        assert first.returncode == -signal.SIGKILL
        words = [*OPTIONS, "hydra.run.dir=a run"]
    saved = folder / "unfinished" / "fold_0" / "last.ckpt"
    n_saved = torch.load(saved, weights_only=True)["global_step"] if saved.exists() else 0
    assert n_saved >= (at if how == signal.SIGTERM else at - 5)  # the batch under way, and the four that were not saved
    second = recseq(tmp_path, *words)
    assert second.returncode == 0, second.stderr
    state, lists, curves = final(folder)
    state_whole, lists_whole, curves_whole = final(whole)
    assert all(torch.equal(state[name], state_whole[name]) for name in state_whole)
    assert lists.equals(lists_whole)
    assert curves == curves_whole
    assert {run.info.status for run in client.search_runs(["1"])} == {"FINISHED"}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_struck_at_a_random_batch_ends_with_the_same_weights(tmp_path: Path, whole: Path, how: signal.Signals) -> None:
    strike(tmp_path, whole, how, seed=random.randrange(10**6))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ten_strikes_of_each_kind(tmp_path: Path, whole: Path, how: signal.Signals, seed: int) -> None:
    strike(tmp_path, whole, how, seed)


class Finalised:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_comes_while_an_object_is_finalised_is_not_lost() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), termination.handled():  # noqa: PT012
            Finalised()
            termination.raise_if_interrupted()
        termination.raise_if_interrupted()  # of another block
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
