"""Two ranks on the CPU are one process: the same losses, lists and metrics, nobody lost or doubled; a rank that dies ends the run."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
import torch
from conftest import TINY_MODEL, composed, interactions

from recseq.config import check_config
from recseq.data.interactions import ItemFeatures
from recseq.distributed.team import close_team
from recseq.environment import seed_everything
from recseq.errors import DataError, RankError
from recseq.model_specs import groups_of, model_options
from recseq.models import MODELS, Request
from recseq.models.sequential import SequentialRecommender
from recseq.training.context import FitContext

RNG = np.random.default_rng(0)
# 21 users who are trained on, in batches of 5: the last has one user, so one of two ranks has none.
ROWS = [(user, int(item), day) for user in range(21) for day, item in enumerate(RNG.permutation(12)[: 2 + user % 9])] + [(99, 3, 0)]
N_BATCHES = 5
FEATURES = ItemFeatures.from_long(pl.DataFrame({"item_id": range(12), "feature": "colour", "value": [str(i % 3) for i in range(12)]}))
MASKING = ("model=bert4rec", "model.objective.mask_prob=0.4")
TWO = ("trainer=ddp", "trainer.accelerator=cpu")
Noted = list[list[dict[str, Any]]]


@pytest.fixture(autouse=True, scope="module")
def ranks() -> Iterator[None]:
    """The second rank stays from test to test, and is gone in the end."""
    yield
    close_team()
    assert not followers()


def followers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "recseq.distributed.worker" in child.cmdline()]


def fit(
    notes: Path, *overrides: str, folder: Path | None = None, stop_at: int | None = None
) -> tuple[SequentialRecommender, dict[int, dict[str, float]], Noted]:
    """A fitted model, its epochs' metrics, and what each rank noted of each step."""
    notes.mkdir()
    watched = ("plugins=[watched_parts]", "model.module.type=watched", f"+model.module.notes={notes}", "+model.module.fails=null")
    size = (*TINY_MODEL, "model.batch_size=5", "model.dropout_rate=0", "trainer.enable_progress_bar=false")
    config = check_config(composed(*size, *watched, *overrides))
    seed_everything(1, False)
    model, epochs = MODELS.build(model_options(config["model"]), groups=groups_of(config)), {}
    assert isinstance(model, SequentialRecommender)

    def log_epoch(values: dict[str, float], epoch: int) -> None:
        if epoch == stop_at:
            raise BreakError
        epochs[epoch] = epochs.get(epoch, {}) | values

    model.fit(interactions(ROWS), FEATURES, FitContext(folder, 1, log_epoch))
    return model, epochs, [[json.loads(line) for line in file.read_text().splitlines()] for file in sorted(notes.iterdir())]


class BreakError(Exception):
    pass


def weights(model: SequentialRecommender) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.module.parameters()).detach()


LOSSES = {
    "shifted": ("loss=softmax",),
    "masking": (*MASKING, "loss=softmax"),
    "in_batch": ("loss=sampled_softmax", "loss.n_negatives=3", "loss/negatives=in_batch", "loss.logq_correction=true"),
    "of_users": (*MASKING, "loss=gbce", "loss.n_negatives=3", "loss.sampling=user"),
    "accumulated": ("loss=bce", "loss.n_negatives=2", "trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.1"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_50_steps_and_lists_are_those_of_one_process(name: str, tmp_path: Path) -> None:
    """With dropout 0; negatives are drawn for the batch of all ranks, so sampled losses are equal too."""
    options = (*LOSSES[name], "trainer.max_epochs=10")
    alone, epochs_alone, (steps_alone,) = fit(tmp_path / "one", "trainer=cpu", *options)
    both, epochs_both, noted = fit(tmp_path / "two", *TWO, *options)
    assert len(noted) == 2
    assert len(steps_alone) == 10 * N_BATCHES == 50
    for steps in noted:
        np.testing.assert_allclose([step["loss"] for step in steps], [step["loss"] for step in steps_alone], rtol=0, atol=1e-5)
    assert epochs_alone.keys() == epochs_both.keys()
    for epoch, metrics in epochs_alone.items():
        assert epochs_both[epoch] == pytest.approx(metrics, abs=1e-5)  # train_loss among them, over batches of unequal size
    for step, *shares in zip(steps_alone, *noted, strict=True):
        assert sorted(step["lengths"]) == sorted(length for share in shares for length in share["lengths"])
        assert sorted(step["items"]) == sorted(item for share in shares for item in share["items"])  # nobody lost, nobody doubled
        tokens = [len(share["items"]) for share in shares]
        assert max(tokens) - min(tokens) <= max(step["lengths"])
    assert [len(step["lengths"]) for step in noted[1]][N_BATCHES - 1 :: N_BATCHES] == [0] * 10
    request = Request(pl.Series("user_id", [1000, *range(16), 99]), interactions(ROWS), 4)
    one, two = alone.recommend(request), both.recommend(request)
    assert one.drop("score").equals(two.drop("score"))
    np.testing.assert_allclose(one["score"], two["score"], atol=1e-4)


def test_requests_are_those_of_one_process_whoever_has_the_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, _, _ = fit(tmp_path / "notes", *TWO, "trainer.max_epochs=1")
    users = pl.Series("user_id", [3, 1000, 5])
    request = Request(users, interactions(ROWS), 3, filter_viewed=False, items_to_recommend=pl.Series([1, 2, 77]))
    assert model.recommend(request).equals(model.recommend_alone(request)[0])
    assert "1 of 3 users cannot be served" in caplog.text
    with pytest.raises(DataError, match="1 of 3 users cannot be served"):
        model.recommend(Request(users, interactions(ROWS), 3, on_unsupported="raise"))
    with torch.no_grad():
        model.module.encoder.item_net.blocks["ids"].embedding.weight.mul_(-2)  # the other rank has to hear of it
    one = Request(pl.Series("user_id", [4]), interactions(ROWS), 3)  # fewer users than ranks
    assert model.recommend(one).equals(model.recommend_alone(one)[0])
    assert model.recommend(one).height == 3
    assert len(followers()) == 1


def test_validation_chooses_in_all_ranks_and_training_goes_on_where_it_was(tmp_path: Path) -> None:
    """Dropout is each rank's own, and follows from the batch: a training that goes on ends bit for bit where one without a break does."""
    watch = ("validation=last_interaction", "validation.patience=2", "validation.finish=best", "model.dropout_rate=0.3")
    options = (*TWO, *watch, "trainer.max_epochs=6", "loss=gbce", "loss.n_negatives=3")
    whole, epochs, noted = fit(tmp_path / "notes", *options, folder=tmp_path / "whole")
    assert sorted(epochs) == list(range(1, len(epochs) + 1))
    assert len(noted[0]) == len(noted[1])
    with pytest.raises(BreakError):
        fit(tmp_path / "broken notes", *options, folder=tmp_path / "broken", stop_at=2)
    assert not followers()  # an error in rank 0 ends the others
    resumed, epochs_resumed, _ = fit(tmp_path / "resumed notes", *options, folder=tmp_path / "broken")
    assert torch.equal(weights(resumed), weights(whole))
    assert epochs_resumed == epochs
    assert sorted(file.name for file in (tmp_path / "broken").iterdir()) == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize(("how", "message"), [("raise", "rank 1 failed: ValueError: a rank's own mistake"), ("kill", "rank 1 .* signal 9")])
def test_a_rank_that_fails_or_dies_ends_the_run_with_the_reason(how: str, message: str, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(RankError, match=message):
        fit(tmp_path / "notes", *TWO, f"model.module.fails={how}")
    assert time.monotonic() - started < 60
    assert not followers()
