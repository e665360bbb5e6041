from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest
from conftest import interactions

from recseq.data.sources import SOURCES
from recseq.errors import DataError
from recseq.metrics import METRICS, Catalogue, Evaluation, means, values_per_user
from recseq.models import MODELS, Recommender, Request
from recseq.splitting import SPLITTERS
from recseq.training.context import FitContext

RNG = np.random.default_rng(1)
ROWS = [(user, int(item), day) for user in range(40) for day, item in enumerate(RNG.integers(0, 15, 2 + user % 6))]
EASE = {"type": "ease", "regularization": 3.0, "weighted": False, "transposed": False}
KNN = {"type": "item_knn", "neighbours": 15, "shrinkage": 2.0}


def fitted(node: dict) -> Recommender:
    model = MODELS.build(node)
    model.fit(interactions(ROWS), None, FitContext(folder=None, seed=0))
    return model


def matrix() -> tuple[np.ndarray, list[int]]:
    items = sorted({item for _, item, _ in ROWS})
    x = np.zeros((40, len(items)))
    for user, item, _ in ROWS:
        x[user, items.index(item)] += 1
    return x, items


def check_scores(model: Recommender, expected: np.ndarray, items: list[int]) -> None:
    table = model.recommend(Request(user_ids=pl.Series([3, 17]), history=interactions(ROWS), k=15, filter_viewed=False))
    for user in (3, 17):
        rows = table.filter(pl.col("user_id") == user)
        np.testing.assert_allclose(rows["score"], expected[user, [items.index(i) for i in rows["item_id"]]], rtol=1e-4, atol=1e-5)
        assert rows["score"].is_sorted(descending=True)
        assert rows.height == len(items)


def test_ease_is_the_closed_form() -> None:
    x, items = matrix()
    p = np.linalg.inv(x.T @ x + 3.0 * np.eye(len(items)))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    check_scores(fitted(EASE), x @ b, items)
    check_scores(fitted(EASE | {"transposed": True}), x @ b.T, items)


def test_item_knn_is_the_shrunk_cosine() -> None:
    x, items = matrix()
    x = (x > 0).astype(float)
    norms = np.sqrt(x.sum(0))
    similarity = (x.T @ x) / (np.outer(norms, norms) + 2.0)
    np.fill_diagonal(similarity, 0)
    check_scores(fitted(KNN), x @ similarity, items)


def test_item_knn_keeps_each_items_nearest_neighbours() -> None:
    model = fitted(KNN | {"neighbours": 3})
    counts = np.diff(model.similarity.tocsc().indptr)  # type: ignore[attr-defined]
    assert counts.max() == 3


def check_neighbours(model: Recommender, weights: np.ndarray, items: list[int]) -> None:
    """The items of the largest positive weights, best first, without the item itself."""
    found = model.similar(pl.Series([items[2], items[7]]), 4)
    assert found is not None
    assert found.columns == ["item_id", "similar_item_id", "score", "rank"]
    for place in (2, 7):
        rows = found.filter(pl.col("item_id") == items[place])
        best = [i for i in np.argsort(-weights[place], kind="stable") if weights[place, i] > 0][:4]
        np.testing.assert_allclose(rows["score"], weights[place, best], rtol=1e-4)
        np.testing.assert_allclose(weights[place, [items.index(i) for i in rows["similar_item_id"]]], weights[place, best], rtol=1e-4)
        assert items[place] not in rows["similar_item_id"].to_list()
        assert rows["rank"].to_list() == list(range(1, len(best) + 1))
    with pytest.raises(DataError, match="1 of 2 items are not in the model's vocabulary, for example 999"):
        model.similar(pl.Series([items[2], 999]), 4)


def test_neighbours_of_items() -> None:
    x, items = matrix()
    p = np.linalg.inv(x.T @ x + 3.0 * np.eye(len(items)))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    check_neighbours(fitted(EASE), b, items)
    check_neighbours(fitted(EASE | {"transposed": True}), b.T, items)
    binary = (x > 0).astype(float)
    norms = np.sqrt(binary.sum(0))
    similarity = (binary.T @ binary) / (np.outer(norms, norms) + 2.0)
    np.fill_diagonal(similarity, 0)
    check_neighbours(fitted(KNN), similarity, items)
    popular = fitted({"type": "popular", "by": "users", "period_days": None, "inverse": False})
    assert popular.similar(pl.Series([items[2]]), 4) is None


@pytest.mark.parametrize("node", [EASE, KNN], ids=["ease", "item_knn"])
def test_histories_filters_and_unsupported_users(node: dict) -> None:
    model = fitted(node)
    history = interactions([*ROWS, (100, 3, 0), (101, 999, 0)])
    table = model.recommend(Request(user_ids=pl.Series([0, 100, 101]), history=history, k=4, on_unsupported="ignore"))
    assert table["user_id"].unique().sort().to_list() == [0, 100]
    seen = {(user, item) for user, item, _ in [*ROWS, (100, 3, 0)]}
    assert not seen & set(table.select("user_id", "item_id").rows())
    with pytest.raises(DataError, match="1 of 3 users cannot be served"):
        model.recommend(Request(user_ids=pl.Series([0, 100, 101]), history=history, k=4, on_unsupported="raise"))
    subset = Request(user_ids=pl.Series([0]), history=history, k=9, items_to_recommend=pl.Series([2, 5]), filter_viewed=False)
    assert set(model.recommend(subset)["item_id"]) == {2, 5}


def test_ease_refuses_what_memory_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    class Little:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    with pytest.raises(DataError, match=r"ease needs about .* GiB for 15 items.*item_knn"):
        fitted(EASE)


def test_ease_reference_numbers_on_movietweetings(movietweetings: Path) -> None:
    """RecTools' EASEModel on the same fold, to three digits."""
    data = SOURCES.build({"type": "movietweetings", "path": str(movietweetings), "weight": "one"}).read()
    filters = {"filter_cold_users": True, "filter_cold_items": True, "filter_already_seen": True}
    (fold,) = SPLITTERS.build({"type": "time_range", "test_size": "14D", "n_splits": 1, **filters}).split(data.interactions)
    model = MODELS.build({"type": "ease", "regularization": 500.0, "weighted": False, "transposed": True})
    model.fit(fold.train, None, FitContext(folder=None, seed=0))
    found = model.recommend(Request(user_ids=fold.test.frame["user_id"].unique(), history=fold.train, k=10))
    evaluation = Evaluation.of(found, fold.test.frame, Catalogue.from_train(fold.train.frame))
    values = means(values_per_user([METRICS.build({"type": n}) for n in ("HitRate", "MAP", "NDCG", "AvgRecPopularity")], evaluation, [10]))
    assert values["HitRate@10"] == pytest.approx(0.194359, rel=1e-3)
    assert values["MAP@10"] == pytest.approx(0.040243, rel=1e-3)
    assert values["NDCG@10"] == pytest.approx(0.066113, rel=1e-3)
    assert values["AvgRecPopularity@10"] == pytest.approx(763.708, rel=1e-3)
