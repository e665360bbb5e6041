"""Validation is cut from the train part, chooses an epoch, and changes nothing else about training."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_MODEL, composed, interactions

from recseq.config import check_config
from recseq.data.interactions import Interactions
from recseq.environment import seed_everything
from recseq.errors import ConfigError, DataError
from recseq.group_options import MetricOptions
from recseq.metrics import Scoring
from recseq.model_specs import groups_of, model_options
from recseq.models import MODELS, Request
from recseq.models.sequential import SequentialRecommender
from recseq.training.context import FitContext
from recseq.training.validation import VALIDATIONS, HeldOut

RNG = np.random.default_rng(0)
ROWS = [(user, int(item), day) for user in range(40) for day, item in enumerate(RNG.permutation(12)[: 2 + user % 9])]
QUIET = ("trainer=cpu", "trainer.enable_progress_bar=false")


def scoring() -> Scoring:
    return MetricOptions(**check_config(composed())["metrics"]).scoring()


def validation(kind: str, **options: Any) -> Any:
    node = {"type": kind, "n_users": None, "monitor": "MAP", "patience": None, "finish": "last"} | options
    return VALIDATIONS.build(node, scoring=scoring())


def build(*overrides: str) -> SequentialRecommender:
    config = check_config(composed(*TINY_MODEL, *QUIET, *overrides))
    seed_everything(1, False)
    model = MODELS.build(model_options(config["model"]), groups=groups_of(config))
    assert isinstance(model, SequentialRecommender)
    return model


def fit(*overrides: str, train: Interactions | None = None) -> tuple[SequentialRecommender, dict[int, dict[str, float]]]:
    model, epochs = build(*overrides), {}

    def log_epoch(values: dict[str, float], epoch: int) -> None:
        epochs[epoch] = epochs.get(epoch, {}) | values

    model.fit(train or interactions(ROWS), None, FitContext(None, 1, log_epoch))
    return model, epochs


def weights(model: SequentialRecommender) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.module.parameters()).detach()


def test_last_interaction_takes_the_newest_row_ties_by_order() -> None:
    rows = [(1, "a", 3), (1, "b", 5), (2, "a", 1), (1, "c", 5), (3, "b", 2), (3, "a", 1), (4, "c", 0), (4, "b", 0)]
    held = validation("last_interaction").hold_out(interactions(rows), None, seed=0)
    assert set(held.pairs.rows()) == {(1, "c"), (3, "b"), (4, "b")}  # user 2 has one row
    assert held.train.frame.select("user_id", "item_id").rows() == [(1, "a"), (1, "b"), (2, "a"), (3, "a"), (4, "c")]


def test_users_are_sampled_by_seed_alone() -> None:
    data = interactions(ROWS)
    cut = validation("last_interaction", n_users=7)
    first, again, other = (cut.hold_out(data, None, seed=seed).pairs for seed in (1, 1, 2))
    assert first.equals(again)
    assert first["user_id"].n_unique() == 7
    assert not first.equals(other)
    assert len(cut.hold_out(data, None, seed=1).train) == len(data) - 7


def test_last_range_leaves_rows_of_unsampled_users_out_of_training_too() -> None:
    before = [(1, "a", 0), (1, "b", 1), (2, "a", 0), (2, "c", 1)]
    within = [(1, "b", 8), (1, "c", 9), (1, "z", 9), (2, "b", 8), (2, "b", 9), (9, "a", 9)]  # seen, new, cold item, new, repeat, cold user
    held = validation("last_range", size="2D").hold_out(interactions(before + within), None, seed=0)
    assert held.train.frame.select("user_id", "item_id").rows() == [row[:2] for row in before]
    assert held.pairs.rows() == [(1, "c"), (2, "b")]
    one = validation("last_range", size="5D", n_users=1)
    sampled = one.hold_out(interactions([(1, "a", 0), (2, "b", 0), (1, "b", 5), (2, "a", 6)]), None, seed=0)
    assert sampled.pairs.height == 1
    assert sampled.train.frame.height == 2


def test_nothing_to_predict_is_an_error() -> None:
    with pytest.raises(DataError, match=r"validation holds out 2 of 4 train rows.*cold items 2"):
        validation("last_interaction").hold_out(interactions([(1, "a", 0), (1, "x", 1), (2, "a", 0), (2, "y", 1)]), None, seed=0)
    with pytest.raises(DataError, match=r"validation\.size.*leaves nothing"):
        validation("last_range", size="90D").hold_out(interactions(ROWS), None, seed=0)
    with pytest.raises(ConfigError, match=r"validation\.size is '7X'"):
        validation("last_range", size="7X")


def test_training_is_that_of_the_rest_as_if_validation_were_not_there() -> None:
    held = validation("last_interaction").hold_out(interactions(ROWS), None, seed=1)
    watched, _ = fit("validation=last_interaction", "validation.n_users=null", "validation.finish=last", "validation.patience=null")
    plain, _ = fit(train=held.train)
    assert torch.equal(weights(watched), weights(plain))


def test_epoch_metrics_are_those_of_recommend_on_the_held_out_pairs() -> None:
    model, epochs = fit("validation=last_interaction", "validation.finish=last", "trainer.max_epochs=2", "metrics.k=[2,5]")
    assert sorted(epochs) == [1, 2]
    held = validation("last_interaction").hold_out(interactions(ROWS), None, seed=1)
    request = Request(held.pairs["user_id"].unique().sort(), held.train, 5)
    expected = HeldOut(held.train, held.pairs, None, Scoring(held.scoring.metrics, [2, 5]), "MAP@5", "max", None, "last").score(
        model.recommend(request)
    )
    assert {f"val_{name}": value for name, value in expected.items()} == {
        n: v for n, v in epochs[2].items() if n not in ("train_loss", "lr")
    }
    assert expected["HitRate@5"] > 0


def scripted(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Let the monitored metric take these values, epoch by epoch."""
    script = iter(values)
    monkeypatch.setattr(HeldOut, "score", lambda self, recommendations: {self.monitor: next(script)})


@pytest.mark.parametrize(("monitor", "values"), [("MAP", [1, 3, 2, 2, 9, 9]), ("AvgRecPopularity", [9, 1, 2, 2, 0, 0])])
def test_training_stops_by_patience_and_goes_back_to_the_best_epoch(
    monkeypatch: pytest.MonkeyPatch, monitor: str, values: list[float]
) -> None:
    held = validation("last_interaction").hold_out(interactions(ROWS), None, seed=1)
    two, _ = fit("trainer.max_epochs=2", train=held.train)
    scripted(monkeypatch, values)
    options = ("validation=last_interaction", f"validation.monitor={monitor}", "validation.patience=2", "trainer.max_epochs=6")
    best, epochs = fit(*options)
    assert sorted(epochs) == [1, 2, 3, 4]
    assert best.facts()["best_epoch"] == 2
    assert best.facts()["n_epochs"] == 4
    assert torch.equal(weights(best), weights(two))


def test_refit_trains_anew_on_everything_for_the_best_number_of_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = fit("trainer.max_epochs=2")
    scripted(monkeypatch, [1, 3, 2])
    again, epochs = fit("validation=last_interaction", "validation.finish=refit", "trainer.max_epochs=3", "validation.patience=null")
    assert torch.equal(weights(again), weights(plain))
    assert "refit_train_loss" in epochs[2]
    assert "refit_train_loss" not in epochs[3]


def test_a_best_epoch_that_is_the_last_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for values, warned in (([1.0, 2.0], True), ([2.0, 1.0], False)):
        caplog.clear()
        scripted(monkeypatch, values)
        with caplog.at_level(logging.INFO):
            fit("validation=last_interaction", "trainer.max_epochs=2")
        assert ("the best epoch is the last" in caplog.text) is warned


def test_monitor_must_be_a_metric_without_reference_models() -> None:
    check_config(composed("validation=last_interaction", "validation.monitor=NDCG@10"))
    for monitor in ("MAP@5", "Map", "Intersection", "train_loss"):
        with pytest.raises(ConfigError, match=r"validation\.monitor is .*MAP@10"):
            check_config(composed("validation=last_interaction", f"validation.monitor={monitor}"))
