"""Training that was interrupted and goes on from its state ends bit for bit where uninterrupted training ends."""

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import interactions
from test_validation import ROWS, build, weights

from recseq import termination
from recseq.models.sequential import SequentialRecommender
from recseq.training.context import FitContext
from recseq.training.lightning_module import SequentialModule
from recseq.training.validation import HeldOut


class BreakError(Exception):
    pass


def train(folder: Path, *overrides: str, stop_at: int | None = None) -> tuple[SequentialRecommender, dict[int, dict[str, float]]]:
    model, epochs = build(*overrides, "model.dropout_rate=0.3"), {}

    def log_epoch(values: dict[str, float], epoch: int) -> None:
        if epoch == stop_at:
            raise BreakError
        epochs[epoch] = epochs.get(epoch, {}) | values

    model.fit(interactions(ROWS), None, FitContext(folder, 1, log_epoch))
    return model, epochs


@pytest.mark.parametrize(
    "overrides",
    [
        ("loss=softmax",),
        ("loss=gbce", "loss.n_negatives=3", "model/objective=masking", "model.causal=false", "model.use_key_padding_mask=true"),
        ("validation=last_interaction", "validation.patience=null"),
        ("validation=last_interaction", "validation.patience=null", "validation.finish=refit"),
    ],
)
@pytest.mark.parametrize("stop_at", [2, 4])
def test_resumed_is_uninterrupted(tmp_path: Path, overrides: tuple[str, ...], stop_at: int) -> None:
    options = (*overrides, "trainer.max_epochs=4")
    whole, epochs = train(tmp_path / "whole", *options)
    with pytest.raises(BreakError):
        train(tmp_path / "broken", *options, stop_at=stop_at)
    assert (tmp_path / "broken" / "last.ckpt").exists()
    torch.manual_seed(12345)  # whatever has been drawn since
    resumed, epochs_resumed = train(tmp_path / "broken", *options)
    assert torch.equal(weights(resumed), weights(whole))
    assert epochs_resumed == epochs
    assert resumed.facts()["n_epochs"] == whole.facts()["n_epochs"]


def test_training_that_had_ended_is_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([1.0, 3.0, 2.0, 2.0, 9.0, 9.0])
    monkeypatch.setattr(HeldOut, "score", lambda self, recommendations: {self.monitor: next(scores)})
    options = ("validation=last_interaction", "validation.patience=2", "trainer.max_epochs=6")
    first, epochs = train(tmp_path, *options)
    again, epochs_again = train(tmp_path, *options)
    assert sorted(epochs) == sorted(epochs_again) == [1, 2, 3, 4]
    assert torch.equal(weights(first), weights(again))
    assert again.facts()["best_epoch"] == 2


MASKING = ("loss=gbce", "loss.n_negatives=3", "model/objective=masking", "model.causal=false", "model.use_key_padding_mask=true")
REFIT = ("validation=last_interaction", "validation.patience=null", "validation.finish=refit")


def strike_at(patch: pytest.MonkeyPatch, step: int) -> dict[str, int]:
    """Send this process SIGTERM in the middle of a training step, counted over all fits; returns the counter."""
    real, count = SequentialModule.training_step, {"steps": 0}

    def training_step(self: SequentialModule, batch: Any, batch_idx: int) -> torch.Tensor:
        count["steps"] += 1
        if count["steps"] == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, batch, batch_idx)

    patch.setattr(SequentialModule, "training_step", training_step)
    return count


def terminate(monkeypatch: pytest.MonkeyPatch, folder: Path, options: tuple[str, ...], step: int) -> int:
    """Train until SIGTERM comes at a step; returns the steps made."""
    with monkeypatch.context() as patch:
        count = strike_at(patch, step)
        with pytest.raises(termination.Terminated):
            termination.handled()(train)(folder, *options)
    return count["steps"]


@pytest.mark.parametrize("overrides", [("loss=softmax",), MASKING, REFIT])
@pytest.mark.parametrize("seed", [1, 2])
def test_training_that_was_terminated_twice_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], seed: int
) -> None:
    options = (*overrides, "trainer.max_epochs=3")
    with monkeypatch.context() as patch:
        count = strike_at(patch, -1)
        whole, epochs = train(tmp_path / "whole", *options)
    stops = sorted(random.Random(seed).sample(range(1, count["steps"]), 2))
    assert terminate(monkeypatch, tmp_path / "broken", options, stops[0]) == stops[0]
    terminate(monkeypatch, tmp_path / "broken", options, stops[1] - stops[0])
    torch.manual_seed(12345)
    with monkeypatch.context() as patch:
        rest = strike_at(patch, -1)
        resumed, epochs_resumed = train(tmp_path / "broken", *options)
    assert rest["steps"] == count["steps"] - stops[1]
    assert torch.equal(weights(resumed), weights(whole))
    assert epochs_resumed == epochs
    states = [torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "broken")]
    one, other = (state["recseq"]["random_state"][0] for state in states)
    assert torch.equal(one, other)


def test_a_kill_costs_at_most_the_batches_since_the_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("trainer.max_epochs=2", "trainer.checkpoint_every_n_batches=3")
    whole, epochs = train(tmp_path / "whole", *options)

    def broken(self: SequentialModule, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == 18:
            raise BreakError
        return real(self, batch, batch_idx)

    real = SequentialModule.training_step
    with monkeypatch.context() as patch:
        patch.setattr(SequentialModule, "training_step", broken)
        with pytest.raises(BreakError):
            train(tmp_path / "broken", *options)
    assert torch.load(tmp_path / "broken" / "last.ckpt", weights_only=True)["global_step"] == 16
    resumed, epochs_resumed = train(tmp_path / "broken", *options)
    assert torch.equal(weights(resumed), weights(whole))
    assert epochs_resumed == epochs


def test_sums_of_every_kind_and_of_metrics_that_come_late_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = SequentialModule.training_step

    def training_step(self: SequentialModule, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = real(self, batch, batch_idx)
        size = float(batch.n_targets)
        for kind in ("mean", "max", "min", "sum"):
            self.log(f"size_{kind}", size, on_step=False, on_epoch=True, reduce_fx=kind, batch_size=1)
        if batch_idx in (1, 8):
            self.log("seldom", size, on_step=False, on_epoch=True, batch_size=1)
        if batch_idx == 2:
            self.log("early", size, on_step=False, on_epoch=True, batch_size=1)
        return loss

    monkeypatch.setattr(SequentialModule, "training_step", training_step)
    _, epochs = train(tmp_path / "whole", "trainer.max_epochs=1")
    terminate(monkeypatch, tmp_path / "broken", ("trainer.max_epochs=1",), 5)
    terminate(monkeypatch, tmp_path / "broken", ("trainer.max_epochs=1",), 1)
    _, epochs_resumed = train(tmp_path / "broken", "trainer.max_epochs=1")
    assert {"size_max", "seldom", "early", "train_loss"} <= set(epochs[1])
    assert epochs_resumed == epochs
