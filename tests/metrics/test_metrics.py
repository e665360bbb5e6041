"""Hand-computed values; the larger comparison with the reference library has golden files of its own."""

import math

import numpy as np
import polars as pl
import pytest

from recseq.metrics import METRICS, Catalogue, Evaluation, means, values_per_user

RECOMMENDATIONS = pl.DataFrame(
    {
        "user_id": ["u1", "u1", "u1", "u2", "u2", "u4"],
        "item_id": ["a", "b", "c", "b", "a", "z"],
        "rank": [1, 2, 3, 1, 2, 1],
    }
)
TEST = pl.DataFrame({"user_id": ["u1", "u1", "u1", "u2", "u3", "u1"], "item_id": ["a", "c", "d", "c", "a", "a"]})
TRAIN = pl.DataFrame({"user_id": ["t1", "t2", "t3", "t1", "t2", "t1", "t1"], "item_id": ["a", "a", "a", "b", "b", "c", "b"]})
REFERENCE = pl.DataFrame({"user_id": ["u1", "u1", "u2"], "item_id": ["b", "a", "x"], "rank": [1, 2, 1]})


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation.of(RECOMMENDATIONS, TEST, Catalogue.from_train(TRAIN), {"popular": REFERENCE})


def per_user(evaluation: Evaluation, name: str, k: int, **options: object) -> dict[str, float]:
    metric = METRICS.build({"type": name, **options})
    (values,) = metric.columns(evaluation, k).values()
    return dict(zip(evaluation.user_ids.to_list(), values.tolist(), strict=True))


def test_users_are_the_test_users_and_then_those_with_recommendations_only(evaluation: Evaluation) -> None:
    assert evaluation.user_ids.to_list() == ["u1", "u2", "u3", "u4"]
    assert evaluation.n_test_users == 3
    assert evaluation.n_relevant.tolist() == [3, 1, 1, 0]  # the repeated pair counts once


def test_hit_rate(evaluation: Evaluation) -> None:
    assert per_user(evaluation, "HitRate", 3) == pytest.approx({"u1": 1, "u2": 0, "u3": 0, "u4": math.nan}, nan_ok=True)


def test_map(evaluation: Evaluation) -> None:
    values = per_user(evaluation, "MAP", 3, divide_by_k=False)
    assert values["u1"] == pytest.approx((1 / 1 + 2 / 3) / 3)
    assert (values["u2"], values["u3"]) == (0, 0)
    assert per_user(evaluation, "MAP", 2, divide_by_k=True)["u1"] == pytest.approx(1 / 2)


def test_ndcg(evaluation: Evaluation) -> None:
    gain = 1 + 1 / 2
    assert per_user(evaluation, "NDCG", 3, ideal="achievable")["u1"] == pytest.approx(gain / (1 + 1 / math.log2(3) + 1 / 2))
    assert per_user(evaluation, "NDCG", 2, ideal="achievable")["u1"] == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert per_user(evaluation, "NDCG", 10, ideal="k")["u1"] == pytest.approx(gain / sum(1 / math.log2(i + 1) for i in range(1, 11)))


def test_serendipity(evaluation: Evaluation) -> None:
    """n = 3; rows a 3, b 3, c 1: dense ranks 1, 1, 2."""
    values = per_user(evaluation, "Serendipity", 3)
    # a at rank 1: p_u = 1, p_any = 1; c at rank 3: p_u = 1/3, p_any = 2/3
    assert values["u1"] == 0
    assert math.isnan(values["u3"])
    assert values["u4"] == 0  # nothing relevant
    better = RECOMMENDATIONS.with_columns(rank=pl.Series([3, 2, 1, 1, 2, 1]))
    other = Evaluation.of(better, TEST, Catalogue.from_train(TRAIN))
    assert per_user(other, "Serendipity", 3)["u1"] == pytest.approx((1 - 2 / 3) / 3)


def test_serendipity_of_an_item_not_in_train() -> None:
    recommendations = pl.DataFrame({"user_id": ["u"], "item_id": ["new"], "rank": [1]})
    found = Evaluation.of(recommendations, pl.DataFrame({"user_id": ["u"], "item_id": ["new"]}), Catalogue.from_train(TRAIN))
    assert per_user(found, "Serendipity", 3)["u"] == 1


def test_average_popularity_counts_rows_and_unknown_items_as_zero(evaluation: Evaluation) -> None:
    values = per_user(evaluation, "AvgRecPopularity", 3)
    assert values["u1"] == pytest.approx(7 / 3)
    assert values["u2"] == 3
    assert values["u4"] == 0
    assert math.isnan(values["u3"])


def test_covered_users(evaluation: Evaluation) -> None:
    values = per_user(evaluation, "CoveredUsers", 3)
    assert (values["u1"], values["u2"], values["u3"]) == (1, 1, 0)
    assert math.isnan(values["u4"])


def test_intersection(evaluation: Evaluation) -> None:
    values = per_user(evaluation, "Intersection", 3, ref_k=None)
    assert values["u1"] == pytest.approx(2 / 3)
    assert values["u2"] == 0
    assert per_user(evaluation, "Intersection", 3, ref_k=1)["u1"] == pytest.approx(1 / 3)
    assert list(METRICS.build({"type": "Intersection"}).columns(evaluation, 3)) == ["Intersection@3_popular"]


def test_table_per_user_and_means(evaluation: Evaluation) -> None:
    metrics = [METRICS.build({"type": name}) for name in ("HitRate", "CoveredUsers", "AvgRecPopularity")]
    table = values_per_user(metrics, evaluation, [1, 3])
    assert table.columns == ["user_id", *[f"{n}@{k}" for n in ("HitRate", "CoveredUsers", "AvgRecPopularity") for k in (1, 3)]]
    assert table["HitRate@3"].to_list() == [1, 0, 0, None]
    averages = means(table)
    assert averages["HitRate@3"] == pytest.approx(1 / 3)
    assert averages["AvgRecPopularity@1"] == pytest.approx((3 + 3 + 0) / 3)


def test_without_any_recommendation_metrics_are_zero_not_nan() -> None:
    empty = Evaluation.of(RECOMMENDATIONS.clear(), TEST, Catalogue.from_train(TRAIN), {"popular": REFERENCE})
    metrics = [METRICS.build({"type": name}) for name in METRICS.names()]
    averages = means(values_per_user(metrics, empty, [10]))
    assert set(averages.values()) == {0.0}
    assert all(np.isfinite(value) for value in averages.values())
