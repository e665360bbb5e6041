import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from conftest import TINY_MODEL, composed, interactions

from recseq.config import check_config
from recseq.data.interactions import ItemFeatures
from recseq.environment import seed_everything
from recseq.errors import ConfigError, DataError
from recseq.model_specs import groups_of, model_options
from recseq.models import MODELS, Request
from recseq.models.sequential import SequentialRecommender
from recseq.training.context import FitContext

RNG = np.random.default_rng(0)
ROWS = [(user, int(item), day) for user in range(30) for day, item in enumerate(RNG.permutation(12)[: 2 + user % 9])]
FEATURES = ItemFeatures.from_long(pl.DataFrame({"item_id": range(12), "feature": "g", "value": [str(i % 3) for i in range(12)]}))


def fitted(*overrides: str, features: ItemFeatures | None = None, rows: list[tuple[Any, Any, int]] = ROWS) -> SequentialRecommender:
    quiet = ("trainer=cpu", "trainer.enable_progress_bar=false", "trainer.max_epochs=1")
    config = check_config(composed(*TINY_MODEL, *quiet, *overrides))
    seed_everything(1, False)
    model = MODELS.build(model_options(config["model"]), groups=groups_of(config))
    assert isinstance(model, SequentialRecommender)
    model.fit(interactions(rows), features, FitContext(folder=None, seed=1))
    return model


@pytest.fixture(scope="module")
def model() -> SequentialRecommender:
    return fitted()


def request(users: list[int], k: int = 3, **options: Any) -> Request:
    return Request(user_ids=pl.Series(users), history=options.pop("history", interactions(ROWS)), k=k, **options)


def test_recommendations_leave_out_the_full_history_and_are_ranked(model: SequentialRecommender) -> None:
    table = model.recommend(request(list(range(30)), k=4))
    seen = {(user, item) for user, item, _ in ROWS}
    assert not seen & set(table.select("user_id", "item_id").rows())
    counts = table.group_by("user_id").len().sort("user_id")
    assert counts["len"].to_list() == [min(4, 12 - (2 + user % 9)) for user in range(30)]
    for _, rows in table.group_by("user_id"):
        assert rows["rank"].to_list() == list(range(1, rows.height + 1))
        assert rows["score"].is_sorted(descending=True)


def test_users_not_in_training_are_served_like_any_other(model: SequentialRecommender) -> None:
    history = interactions([(100, item, day) for _, item, day in [row for row in ROWS if row[0] == 5]] + ROWS)
    table = model.recommend(request([100, 5], history=history))
    new, old = (table.filter(pl.col("user_id") == user).drop("user_id") for user in (100, 5))
    assert new.select("item_id", "rank").equals(old.select("item_id", "rank"))


def test_unsupported_users(model: SequentialRecommender, caplog: pytest.LogCaptureFixture) -> None:
    history = interactions([(7, 3, 0), (8, 999, 0)])
    with pytest.raises(DataError, match=r"2 of 3 users cannot be served"):
        model.recommend(request([7, 8, 9], history=history, on_unsupported="raise"))
    with caplog.at_level(logging.WARNING):
        table = model.recommend(request([7, 8, 9], history=history, on_unsupported="warn"))
    assert table["user_id"].unique().to_list() == [7]
    assert "2 of 3 users" in caplog.text
    caplog.clear()
    model.recommend(request([7, 8, 9], history=history, on_unsupported="ignore"))
    assert not caplog.text


def test_candidates_are_a_subset_when_asked_for(model: SequentialRecommender) -> None:
    table = model.recommend(request([0, 1], k=12, items_to_recommend=pl.Series([4, 5, 999]), filter_viewed=False))
    assert sorted(table["item_id"].unique().to_list()) == [4, 5]
    with pytest.raises(DataError, match="none of the 1 items"):
        model.recommend(request([0], items_to_recommend=pl.Series([999])))


def test_scores_are_dot_products_of_hidden_state_and_item_vectors(model: SequentialRecommender) -> None:
    from recseq.data.sequences import SequenceStore

    table = model.recommend(request([3], k=12, filter_viewed=False))
    with torch.no_grad():
        matrix = model.encoder.item_net()
        store = SequenceStore.from_histories(request([3]).histories(), model.vocabulary)
        scores = model.ranker.user_vectors(store, matrix)[0] @ matrix.T
    items = model.vocabulary.encode(table["item_id"]).to_numpy()
    np.testing.assert_allclose(table["score"].to_numpy(), scores.numpy()[items], rtol=1e-5)


def test_similar_items(model: SequentialRecommender) -> None:
    table = model.similar(pl.Series([2, 7]), k=3)
    assert table.columns == ["item_id", "similar_item_id", "score", "rank"]
    assert table.filter(pl.col("item_id") == pl.col("similar_item_id")).is_empty()
    with_itself = model.similar(pl.Series([2, 7]), k=3, filter_itself=False)
    assert with_itself.filter(pl.col("rank") == 1)["similar_item_id"].to_list() == [2, 7]
    assert with_itself.filter(pl.col("rank") == 1)["score"].to_list() == pytest.approx([1, 1])
    with pytest.raises(DataError, match="999"):
        model.similar(pl.Series([2, 999]), k=3)


def test_training_is_repeatable_and_depends_on_the_seed() -> None:
    first, second = fitted(), fitted()
    for ours, theirs in zip(first.module.parameters(), second.module.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=0, rtol=0)


def test_categories_are_taken_when_there_are_features_and_refused_when_not() -> None:
    assert set(fitted(features=FEATURES).encoder.item_net.blocks) == {"ids", "categories"}
    assert set(fitted().encoder.item_net.blocks) == {"ids"}
    assert set(fitted("item_net=[categories]", features=FEATURES).encoder.item_net.blocks) == {"categories"}
    with pytest.raises(ConfigError, match="no such item features"):
        fitted("item_net=[ids,categories]")


def test_vocabulary_is_what_training_sequences_hold_unless_the_whole_catalogue_is_asked_for() -> None:
    rows = [(1, item, day) for day, item in enumerate(range(10))] + [(2, 77, 0)]
    assert fitted(rows=rows).vocabulary.item_ids.to_list() == list(range(4, 10))
    assert fitted("model.whole_catalogue=true", rows=rows).vocabulary.item_ids.to_list() == [*range(10), 77]


def test_too_few_interactions_is_an_error() -> None:
    with pytest.raises(DataError, match=r"model\.train_min_user_interactions=2"):
        fitted(rows=[(1, 1, 0), (2, 2, 1)])


def test_facts(model: SequentialRecommender) -> None:
    facts = model.facts()
    assert facts["n_vocabulary"] == 12
    assert facts["n_train_sequences"] == 30
    assert facts["n_parameters"] == sum(p.numel() for p in model.module.parameters())
    assert facts["share_users_trained"] == 1


def test_checkpoint_is_written_and_loads_without_pickle(tmp_path: Path) -> None:
    config = check_config(composed(*TINY_MODEL, "trainer=cpu", "trainer.enable_progress_bar=false", "trainer.max_epochs=1"))
    model = MODELS.build(model_options(config["model"]), groups=groups_of(config))
    logged: list[tuple[dict[str, float], int]] = []
    context = FitContext(folder=tmp_path, seed=1, log_epoch=lambda values, epoch: logged.append((values, epoch)))
    model.fit(interactions(ROWS), None, context)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 0
    assert logged[0][1] == 1
    assert logged[0][0]["train_loss"] > 0
