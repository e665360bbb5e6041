"""Intervals and tests against scipy, hand-computed examples and simulated truth; degenerate cases end in numbers or nulls, never NaN."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pytest
from scipy import stats

from recseq.metrics import significance
from recseq.metrics.significance import SCHEMA, SignificanceOptions, compare_models, holm, mean_intervals

pytestmark = pytest.mark.filterwarnings("error")
OPTIONS = SignificanceOptions(n_resamples=200, confidence=0.95, test="t")
WILCOXON = SignificanceOptions(n_resamples=200, confidence=0.95, test="wilcoxon")
Values = Sequence[float | None]


def table(models: Mapping[str, Mapping[int, Values]], metric: str = "MAP@10") -> pl.DataFrame:
    """Per-user values by model and fold; user i of a fold is the i-th value, and a value of NaN is a user that the model lacks."""
    rows = [
        {"model": model, "fold": fold, "user_id": f"u{user}", metric: value}
        for model, folds in models.items()
        for fold, values in folds.items()
        for user, value in enumerate(values)
        if value is None or not np.isnan(value)
    ]
    return pl.DataFrame(rows, schema={"model": pl.String, "fold": pl.Int64, "user_id": pl.String, metric: pl.Float64})


def compare(models: Mapping[str, Mapping[int, Values]], options: SignificanceOptions = OPTIONS, **others: object) -> dict[str, object]:
    """The one row of a comparison of a with b."""
    found = compare_models(table(models), "a", ["b"], ["MAP@10"], options, seed=1)
    assert found.schema == pl.Schema(SCHEMA)
    assert not any(found[name].is_nan().any() for name in found.columns if found.schema[name] == pl.Float64)
    return found.row(0, named=True)


@pytest.fixture(scope="module")
def skewed() -> dict[str, dict[int, Values]]:
    rng = np.random.default_rng(3)
    return {
        "a": {0: rng.exponential(1.2, 120).tolist(), 1: rng.exponential(1.0, 60).tolist()},
        "b": {0: rng.exponential(0.9, 120).tolist(), 1: rng.exponential(0.9, 60).tolist()},
    }


def test_interval_is_that_of_scipys_paired_percentile_bootstrap(skewed: dict[str, dict[int, Values]]) -> None:
    a, b = np.array(skewed["a"][0]), np.array(skewed["b"][0])
    options = SignificanceOptions(n_resamples=20_000, confidence=0.9, test="t")
    ours = compare({"a": {0: a.tolist()}, "b": {0: b.tolist()}}, options)
    theirs = stats.bootstrap(
        (a, b),
        lambda x, y, axis: (x - y).mean(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=0.9,
        n_resamples=20_000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours["low"] == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours["high"] == pytest.approx(theirs.high, abs=0.03 * width)
    assert ours["low"] != theirs.low


@pytest.mark.parametrize("options", [OPTIONS, WILCOXON])
def test_p_value_is_scipys_over_the_differences_of_all_folds(skewed: dict[str, dict[int, Values]], options: SignificanceOptions) -> None:
    a, b = ([*skewed[name][0], *skewed[name][1]] for name in "ab")
    expected = (stats.ttest_rel if options.test == "t" else stats.wilcoxon)(a, b).pvalue
    assert compare(skewed, options)["p_value"] == pytest.approx(expected, rel=1e-9)


def test_interval_holds_the_true_difference_about_as_often_as_it_says() -> None:
    """The mean of folds' true differences, 0.2 and -0.1; folds of unlike size, values skewed and with holes."""
    rng, inside, repeats = np.random.default_rng(11), 0, 200
    for _ in range(repeats):
        values: dict[str, dict[int, Values]] = {"a": {}, "b": {}}
        for fold, (n, true) in enumerate([(150, 0.2), (60, -0.1)]):
            common = rng.exponential(1.0, n)
            values["b"][fold] = common.tolist()
            values["a"][fold] = np.where(rng.random(n) < 0.2, np.nan, common + true + rng.exponential(0.5, n) - 0.5).tolist()
        row = compare(values)
        inside += row["low"] <= 0.05 <= row["high"]  # type: ignore[operator]
    assert 0.90 <= inside / repeats <= 0.985


def test_differences_are_of_the_means_of_folds_and_folds_are_strata() -> None:
    """Without strata the share of fold 1 among resampled users would vary and so would the mean; with them nothing does."""
    row = compare({"a": {0: [1.0] * 30, 1: [2.0] * 10}, "b": {0: [0.5] * 30, 1: [0.5] * 10}})
    assert (row["n_users"], row["mean"], row["other_mean"], row["difference"]) == (40, 1.5, 0.5, 1.0)
    assert (row["low"], row["high"]) == (1.0, 1.0)


def test_only_users_with_both_values_count() -> None:
    """u0 and u1 are paired; u2 has no value of a, u3 none of b, u4 no row of a, u5 none of b."""
    row = compare({"a": {0: [1.0, 2.0, None, 9.0, np.nan, 9.0]}, "b": {0: [0.0, 4.0, 9.0, None, 9.0]}})
    assert (row["n_users"], row["mean"], row["other_mean"], row["difference"]) == (2, 1.5, 2.0, -0.5)
    assert -2.0 <= row["low"] <= row["high"] <= 1.0  # type: ignore[operator]
    assert row["p_value"] == pytest.approx(stats.ttest_rel([1, 2], [0, 4]).pvalue)


def test_resamples_with_holes_average_over_those_that_are_drawn() -> None:
    """Holes are like the rest at random: the interval is about that of the values that are there."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=400)
    options = SignificanceOptions(n_resamples=5000, confidence=0.95, test="t")
    there = rng.random(400) < 0.5
    holes = mean_intervals(
        table({"a": {0: np.where(there, values, np.nan).tolist()}, "b": {0: [0.0] * 400}}), ["a"], ["MAP@10"], options, 1
    )
    alone = mean_intervals(table({"a": {0: values[there].tolist()}}), ["a"], ["MAP@10"], options, 1)
    assert holes["mean"].item() == pytest.approx(alone["mean"].item())
    for bound in ("low", "high"):
        assert holes[bound].item() == pytest.approx(alone[bound].item(), abs=0.01)


@pytest.mark.parametrize("options", [OPTIONS, WILCOXON])
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0, 2.0, 0.0], [1.0, 2.0, 0.0], {"difference": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0, "significant": False}),
        ([1.0], [0.25], {"n_users": 1, "difference": 0.75, "low": 0.75, "high": 0.75, "p_value": 1.0, "significant": False}),
        ([1.0], [1.0], {"difference": 0.0, "p_value": 1.0, "significant": False}),
        ([None, None], [1.0, 2.0], {"n_users": 0, "mean": None, "difference": None, "low": None, "p_value": None, "significant": False}),
        ([None], [None], {"n_users": 0, "other_mean": None, "high": None, "p_holm": None, "significant": False}),
        ([1.0, np.nan], [np.nan, 1.0], {"n_users": 0, "difference": None, "p_value": None}),
        ([1.0] * 30, [0.0] * 30, {"difference": 1.0, "low": 1.0, "high": 1.0, "significant": True}),
        ([0.3, 0.1], [0.2, 0.0], {"significant": False}),  # equal differences but for rounding: two users prove nothing
    ],
)
def test_degenerate_cases(options: SignificanceOptions, a: Values, b: Values, expected: dict[str, object]) -> None:
    row = compare({"a": {0: a}, "b": {0: b}}, options)
    assert {name: row[name] for name in expected} == expected


def test_equal_differences_have_the_p_value_of_the_sign_test() -> None:
    assert compare({"a": {0: [1.0] * 6}, "b": {0: [0.0] * 6}})["p_value"] == stats.binomtest(6, 6).pvalue


def test_a_fold_without_paired_users_is_left_out() -> None:
    row = compare({"a": {0: [1.0, 2.0], 1: [None, None]}, "b": {0: [0.0, 0.0], 1: [5.0, 5.0]}})
    assert (row["mean"], row["other_mean"], row["difference"], row["n_users"]) == (1.5, 0.0, 1.5, 2)
    assert 1.0 <= row["low"] <= row["high"] <= 2.0  # type: ignore[operator]


def test_holm_by_hand() -> None:
    """Sorted .005, .01, .03, .04 are multiplied by 4, 3, 2, 1: .02, .03, .06, .04; the last is raised to the one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.6]) == [1.0, None, 1.0]
    assert holm([]) == []


def test_holm_is_over_the_models_within_a_metric() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=50)
    models = {"a": base, "b": base + rng.normal(0.2, 0.5, 50), "c": base + rng.normal(0.25, 1, 50), "d": base + rng.normal(0.05, 1, 50)}
    first = table({name: {0: values.tolist()} for name, values in models.items()}, "MAP@10")
    per_user = first.with_columns(pl.col("MAP@10").alias("NDCG@10"))
    found = compare_models(per_user, "a", ["b", "c", "d"], ["MAP@10", "NDCG@10"], OPTIONS, seed=1)
    assert found.select("metric", "other").rows() == [(metric, other) for metric in ("MAP@10", "NDCG@10") for other in "bcd"]
    for _, rows in found.group_by("metric"):
        assert rows["p_holm"].to_list() == pytest.approx(holm(rows["p_value"].to_list()))
        assert rows["significant"].to_list() == [p < 0.05 for p in rows["p_holm"]]
    assert found["significant"].any()
    assert not found["significant"].all()
    assert found["p_holm"][0] > found["p_value"][0]


def test_metrics_that_mean_nothing_are_left_out() -> None:
    metrics = ["MAP@10", "Intersection@10_pop", "Intersection@10_pop_recent", "Intersection@10_sasrec", "Coverage@10", "fit_seconds"]
    names = ["sasrec", "pop", "pop_recent", "recent"]
    per_user = table({name: {0: [0.1, 0.2]} for name in names}).with_columns(pl.col("MAP@10").alias(name) for name in metrics[1:4])
    found = compare_models(per_user, "sasrec", names[1:], metrics, OPTIONS, seed=1)
    assert found.select("metric", "other").rows() == [
        *(("MAP@10", other) for other in ("pop", "pop_recent", "recent")),
        *(("Intersection@10_pop", other) for other in ("pop_recent", "recent")),
        *(("Intersection@10_pop_recent", other) for other in ("pop", "recent")),
    ]
    nothing = compare_models(per_user, "sasrec", [], metrics, OPTIONS, seed=1)
    assert nothing.schema == pl.Schema(SCHEMA)
    assert nothing.is_empty()


def test_the_seed_alone_decides(skewed: dict[str, dict[int, Values]], monkeypatch: pytest.MonkeyPatch) -> None:
    per_user = table(skewed | {"c": skewed["b"]}).with_columns(pl.col("MAP@10").alias("NDCG@10"))
    first = compare_models(per_user, "a", ["b", "c"], ["MAP@10", "NDCG@10"], OPTIONS, seed=1)
    assert first.equals(compare_models(per_user, "a", ["b", "c"], ["MAP@10", "NDCG@10"], OPTIONS, seed=1))
    other = compare_models(per_user, "a", ["b"], ["MAP@10"], OPTIONS, seed=2)
    assert other["low"][0] != first["low"][0]
    assert other["p_value"][0] == first["p_value"][0]
    monkeypatch.setattr(significance, "DRAWN_AT_ONCE", 7 * 120)  # blocks that do not divide the resamples
    shuffled = compare_models(per_user.sample(fraction=1, shuffle=True, seed=3), "a", ["b"], ["NDCG@10"], OPTIONS, seed=1)
    for name in ("difference", "low", "high", "p_value"):
        assert shuffled[name][0] == pytest.approx(first.filter(pl.col("metric") == "NDCG@10")[name][0], rel=1e-5)


def test_single_precision_costs_nothing_beside_large_values(skewed: dict[str, dict[int, Values]]) -> None:
    shifted = {name: {fold: [1e7 + v for v in values] for fold, values in folds.items()} for name, folds in skewed.items()}  # type: ignore[operator]
    small, large = (mean_intervals(table(values), ["a"], ["MAP@10"], OPTIONS, seed=1).row(0, named=True) for values in (skewed, shifted))
    for name in ("mean", "low", "high"):
        assert large[name] - 1e7 == pytest.approx(small[name], abs=1e-6)


def test_intervals_of_a_models_own_mean(skewed: dict[str, dict[int, Values]]) -> None:
    options = SignificanceOptions(n_resamples=5000, confidence=0.95, test="t")
    per_user = table(skewed).with_columns(pl.lit(None, pl.Float64).alias("None@10"))
    found = mean_intervals(per_user, ["b", "a"], ["None@10", "MAP@10", "fit_seconds"], options, seed=1)
    assert found.select("model", "metric").rows() == [("b", "None@10"), ("b", "MAP@10"), ("a", "None@10"), ("a", "MAP@10")]
    assert found.row(0) == ("b", "None@10", None, None, None)
    mean, low, high = found.select("mean", "low", "high").row(3)
    folds = [np.array(skewed["a"][0]), np.array(skewed["a"][1])]
    assert mean == pytest.approx(np.mean([values.mean() for values in folds]))
    error = np.sqrt(sum(values.var(ddof=1) / len(values) for values in folds)) / 2
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_without_metrics_of_users_there_are_no_rows(skewed: dict[str, dict[int, Values]]) -> None:
    assert mean_intervals(table(skewed), ["a"], ["CatalogCoverage@10"], OPTIONS, seed=1).is_empty()
    assert compare_models(table(skewed), "a", ["b"], ["CatalogCoverage@10"], OPTIONS, seed=1).is_empty()


def test_a_model_without_rows_is_named(skewed: dict[str, dict[int, Values]]) -> None:
    with pytest.raises(ValueError, match="no values of c; there are values of a, b"):
        compare_models(table(skewed), "a", ["c"], ["MAP@10"], OPTIONS, seed=1)


def test_two_rows_of_one_user_are_refused() -> None:
    twice = pl.concat([table({"a": {0: [1.0]}, "b": {0: [1.0]}})] * 2)
    with pytest.raises(pl.exceptions.ComputeError):
        compare_models(twice, "a", ["b"], ["MAP@10"], OPTIONS, seed=1)
