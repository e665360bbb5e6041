from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import interactions

from recseq.data.sources import SOURCES
from recseq.metrics import METRICS, Catalogue, Evaluation, score
from recseq.models import MODELS, Recommender, Request
from recseq.splitting import SPLITTERS
from recseq.training.context import FitContext

ROWS = [(1, "b", 0), (2, "b", 0), (1, "a", 1), (2, "a", 1), (3, "c", 2), (3, "c", 3), (3, "c", 4), (4, "d", 9)]


def fitted(rows: list[tuple[Any, Any, int]] = ROWS, **options: Any) -> Recommender:
    model = MODELS.build({"type": "popular", "by": "users", "period_days": None, "inverse": False} | options)
    model.fit(interactions(rows), None, FitContext(folder=None, seed=0))
    return model


def served(model: Recommender, users: list[Any], k: int = 10, **options: Any) -> dict[Any, list[Any]]:
    table = model.recommend(Request(user_ids=pl.Series(users), history=interactions(ROWS), k=k, **options))
    assert table.schema == pl.Schema({"user_id": pl.Int64, "item_id": pl.String, "score": pl.Float32, "rank": pl.Int32})
    return {key[0]: rows["item_id"].to_list() for key, rows in table.group_by("user_id", maintain_order=True)}


def test_order_is_by_distinct_users_with_ties_by_first_appearance() -> None:
    assert served(fitted(), [99]) == {99: ["b", "a", "c", "d"]}
    assert served(fitted(by="rows"), [99], k=2) == {99: ["c", "b"]}
    assert served(fitted(inverse=True), [99], k=2) == {99: ["c", "d"]}


def test_viewed_items_are_left_out_and_short_lists_stay_short() -> None:
    assert served(fitted(), [3, 1, 99]) == {1: ["c", "d"], 3: ["b", "a", "d"], 99: ["b", "a", "c", "d"]}
    assert served(fitted(), [1], filter_viewed=False) == {1: ["b", "a", "c", "d"]}
    assert served(fitted(), [1, 3], items_to_recommend=pl.Series(["a", "d", "unknown"])) == {1: ["d"], 3: ["a", "d"]}


def test_users_far_down_the_ranking_are_served() -> None:
    """A user who has seen more than the first pool of candidates gets what is behind it."""
    rows = [(user, item, 0) for item in range(60) for user in range(1, 62 - item)]
    model = MODELS.build({"type": "popular", "by": "users", "period_days": None, "inverse": False})
    model.fit(interactions(rows), None, FitContext(folder=None, seed=0))
    table = model.recommend(Request(user_ids=pl.Series([1, 30, 61]), history=interactions(rows), k=2))
    assert table.filter(pl.col("user_id") == 30)["item_id"].to_list() == [32, 33]
    assert table.filter(pl.col("user_id") == 61)["item_id"].to_list() == [1, 2]
    assert table.filter(pl.col("user_id") == 1).is_empty()


def test_period_counts_from_the_last_row_inclusive() -> None:
    assert served(fitted(period_days=5), [99]) == {99: ["c", "d"]}
    assert served(fitted(period_days=4), [99]) == {99: ["d"]}


def test_reference_numbers_on_movietweetings(movietweetings: Path) -> None:
    """RecTools' PopularModel and metrics on the same fold, to six digits."""
    data = SOURCES.build({"type": "movietweetings", "path": str(movietweetings), "weight": "one"}).read()
    filters = {"filter_cold_users": True, "filter_cold_items": True, "filter_already_seen": True}
    (fold,) = SPLITTERS.build({"type": "time_range", "test_size": "14D", "n_splits": 1, "skip_last": 0, **filters}).split(data.interactions)
    model = MODELS.build({"type": "popular", "by": "users", "period_days": None, "inverse": False})
    model.fit(fold.train, None, FitContext(folder=None, seed=0))
    found = model.recommend(Request(user_ids=fold.test.frame["user_id"].unique(), history=fold.train, k=10))
    evaluation = Evaluation.of(found, fold.test.frame, Catalogue.from_train(fold.train.frame), {"popular": found})
    names = ("HitRate", "MAP", "NDCG", "AvgRecPopularity", "Serendipity", "CoveredUsers", "Intersection")
    values = score([METRICS.build({"type": name}) for name in names], evaluation, [10]).means
    assert values["HitRate@10"] == pytest.approx(0.197885, abs=5e-7)
    assert values["MAP@10"] == pytest.approx(0.036144, abs=5e-7)
    assert values["NDCG@10"] == pytest.approx(0.064147, abs=5e-7)
    assert values["AvgRecPopularity@10"] == pytest.approx(1390.57, abs=5e-3)
    assert values["Serendipity@10"] == pytest.approx(4.061e-06, abs=5e-10)
    assert values["CoveredUsers@10"] == values["Intersection@10_popular"] == 1
