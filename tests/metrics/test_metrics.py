"""Hand-computed values; the larger comparison with the reference library has golden files of its own."""

import math
import re

import numpy as np
import polars as pl
import pytest

from recseq.data.interactions import ItemFeatures
from recseq.errors import ConfigError, DataError
from recseq.metrics import METRICS, AggregateMetric, Catalogue, Evaluation, Metric, build_metrics, score
from recseq.metrics.example import example

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
    metrics = [METRICS.build({"type": name}) for name in ("HitRate", "CatalogCoverage", "AvgRecPopularity")]
    scores = score(metrics, evaluation, [1, 3])
    assert scores.per_user.columns == ["user_id", *[f"{n}@{k}" for n in ("HitRate", "AvgRecPopularity") for k in (1, 3)]]
    assert scores.per_user["HitRate@3"].to_list() == [1, 0, 0, None]
    assert list(scores.means) == [f"{n}@{k}" for n in ("HitRate", "CatalogCoverage", "AvgRecPopularity") for k in (1, 3)]
    assert scores.means["HitRate@3"] == pytest.approx(1 / 3)
    assert scores.means["AvgRecPopularity@1"] == pytest.approx((3 + 3 + 0) / 3)
    assert scores.means["CatalogCoverage@3"] == pytest.approx(4 / 3)  # z is not in train


def test_row_order_of_recommendations_and_test_pairs_is_without_effect(evaluation: Evaluation) -> None:
    metrics = [METRICS.build({"type": name}) for name in METRICS.names() if name != "IntraListDiversity"]
    shuffled = Evaluation.of(
        RECOMMENDATIONS.sample(fraction=1, shuffle=True, seed=1),
        TEST.reverse(),
        Catalogue.from_train(TRAIN),
        {"popular": REFERENCE.reverse()},
    )
    assert score(metrics, shuffled, [1, 2, 10]).means == score(metrics, evaluation, [1, 2, 10]).means


def test_without_any_recommendation_metrics_are_zero_not_nan() -> None:
    features = ItemFeatures.from_long(pl.DataFrame({"item_id": ["a"], "feature": ["f"], "value": ["v"]}))
    empty = Evaluation.of(RECOMMENDATIONS.clear(), TEST, Catalogue.from_train(TRAIN, features), {"popular": REFERENCE})
    scores = score([METRICS.build({"type": name}) for name in METRICS.names()], empty, [10])
    assert set(scores.means.values()) == {0.0}
    assert all(np.isfinite(value) for value in scores.means.values())


@pytest.mark.parametrize("ranks", [[0, 1, 2, 1, 2, 1], [1, 1, 2, 1, 2, 1]])
def test_ranks_that_make_no_lists_are_refused(ranks: list[int]) -> None:
    with pytest.raises(DataError, match="rank"):
        Evaluation.of(RECOMMENDATIONS.with_columns(rank=pl.Series(ranks)), TEST, Catalogue.from_train(TRAIN))


def test_bands_split_the_hit_rate() -> None:
    """The users of the history bands are the test users, each once; a cold test item has a band of its own."""
    train = {"u": "a", "v": "aab", "w": "aabbcc", "x": "d"}
    found = example({"u": "az", "v": "bz", "w": "c"}, test={"u": "z", "v": "a", "w": "c", "y": "a"}, train=train)
    history = METRICS.build({"type": "HitRateByHistory", "bands": [1, 2, 5]})
    assert isinstance(history, Metric)
    columns = history.columns(found, 2)
    assert {name: values[~np.isnan(values)].tolist() for name, values in columns.items()} == {
        "HitRateByHistory@2_0": [0],
        "HitRateByHistory@2_1": [1],
        "HitRateByHistory@2_2-4": [0],
        "HitRateByHistory@2_5plus": [1],
    }
    assert list(columns) == history.column_names(2, [])
    popularity = score([METRICS.build({"type": "HitRateByPopularity", "borders": [0.5, 0.9]})], found, [2]).means
    # rows: a 5, b 3, c 2, d 1 of 11: a head (0 held before), b mid (5/11) is still head, c mid (8/11), d tail
    assert popularity == {"HitRateByPopularity@2_head": 0, "HitRateByPopularity@2_mid": 1, "HitRateByPopularity@2_cold": 1}


def test_items_on_a_border_and_ties_of_popularity() -> None:
    catalogue = Catalogue.from_train(pl.DataFrame({"user_id": ["t"] * 10, "item_id": list("bbaacccccc")}))  # c 6, then b 2 before a 2
    assert catalogue.item_ids.to_list() == ["b", "a", "c"]
    assert catalogue.popularity_bands([0.6]).tolist() == [1, 1, 0]
    assert catalogue.popularity_bands([0.61]).tolist() == [0, 1, 0]
    assert catalogue.popularity_bands([0.2, 0.8]).tolist() == [1, 2, 0]


def test_gini_of_equal_and_of_one_sided_exposure() -> None:
    (equal,) = score([METRICS.build({"type": "Gini"})], example({"u": "ab", "v": "cd"}, {"u": "a"}, {"t": "abcd"}), [2]).means.values()
    assert equal == 0
    rng = np.random.default_rng(0)
    lists = {f"u{i}": [str(item) for item in rng.choice(20, 5, replace=False)] for i in range(30)}
    found = example(lists, {"u0": ["1"]}, {"t": [str(item) for item in range(25)]})
    metric = METRICS.build({"type": "Gini"})
    assert isinstance(metric, AggregateMetric)
    counts = found.exposure(5).astype(float)
    n = len(counts)
    differences = np.abs(counts[:, None] - counts[None, :]).sum() / (2 * n * counts.sum())
    assert metric.value(found, 5) == pytest.approx(differences * n / (n - 1))


def test_cosine_diversity_is_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(3)
    genres = {item: [str(g) for g in range(6) if rng.random() < 0.4] for item in "abcdefghij"}
    lists = {user: rng.permutation(list("abcdefghij"))[: int(rng.integers(2, 9))].tolist() for user in "uvwxyz"}
    found = example(lists, {"u": "a"}, {"t": "abcdefgh"}, genres=genres)
    metric = METRICS.build({"type": "IntraListDiversity"})
    assert isinstance(metric, Metric)
    values = dict(zip(found.user_ids, metric.per_user(found, 5).tolist(), strict=True))
    for user, items in lists.items():
        sets = [set(genres[item]) for item in items[:5] if genres[item]]
        pairs = [1 - len(a & b) / math.sqrt(len(a) * len(b)) for i, a in enumerate(sets) for b in sets[:i]]
        assert values[user] == pytest.approx(np.mean(pairs) if pairs else math.nan, nan_ok=True)


FEATURES = ItemFeatures.from_long(pl.DataFrame({"item_id": [1, 1], "feature": ["genre", "director"], "value": ["war", "x"]}))


def test_a_metric_without_its_features_is_left_out_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    include = {"HitRate": {}, "IntraListDiversity": {"feature": None}}
    assert [metric.label for metric in build_metrics(include, None, None, "HitRate")] == ["HitRate"]
    assert [record.message for record in caplog.records] == [
        "Metric IntraListDiversity is left out: the data has no categorical item features"
    ]
    assert [metric.label for metric in build_metrics(include, None, FEATURES, "HitRate")] == ["HitRate", "IntraListDiversity"]


@pytest.mark.parametrize(
    ("features", "feature", "objective", "message"),
    [
        (FEATURES, "genres", "HitRate", "'genres'; did you mean 'genre'?.*director, genre"),
        (None, "genre", "HitRate", "has no categorical item features"),
        (None, None, "IntraListDiversity@10", "objective is 'IntraListDiversity@10', but the data has no categorical item features"),
    ],
)
def test_unknown_features_and_impossible_objectives(
    features: ItemFeatures | None, feature: str | None, objective: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_metrics({"HitRate": {}, "IntraListDiversity": {"feature": feature}}, None, features, objective)


def test_names_of_columns_are_known_beforehand_and_legal_in_trackers(evaluation: Evaluation) -> None:
    for name in METRICS.names():
        metric = METRICS.build({"type": name})
        names = metric.column_names(10, ["popular"])
        assert all(re.fullmatch(r"[\w\-. /@]+", column) for column in names)
        if name != "IntraListDiversity":
            assert set(score([metric], evaluation, [10]).means) <= set(names)
