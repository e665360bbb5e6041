"""Training that was interrupted and goes on from its state ends bit for bit where uninterrupted training ends."""

from pathlib import Path

import pytest
import torch
from conftest import interactions
from test_validation import ROWS, build, weights

from recseq.models.sequential import SequentialRecommender
from recseq.training.context import FitContext
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
