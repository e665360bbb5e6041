"""How sure the difference between two models is: paired bootstrap intervals, paired tests over users, Holm's correction.

What is assumed, and what the numbers do not say:

- The sample is the users of each fold's test part. Folds are strata: the bootstrap resamples users within each fold, and both values of a
  user stay together (paired).
- A user who is tested in several folds counts as several independent ones. Where many users return, intervals are too narrow and
  p-values too small.
- Intervals are percentile intervals: they follow a skewed distribution of means, but cover a little less than they say for few users.
- The training run is taken as given. Neither the interval nor the test knows how much another seed would change a model; that is
  `recseq.metrics.summary.over_seeds`.
- "Significant" says that a difference as large is unlikely without a true one, not that it is large: with many users it never is
  unlikely. It speaks of users like these in a time like this, offline. Holm's correction is over the models compared within one metric;
  several metrics, cut-offs and runs are not corrected for.

References:
    Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16.
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.
    Urbano, Lima, Hanjalic, Statistical significance testing in information retrieval, 2019, arXiv:1905.11096 (the t-test does well).
    Ihemelandu, Ekstrand, Inference at scale: significance testing for large search and recommendation experiments, 2023, arXiv:2305.02461
    (the Wilcoxon test errs more often than it says with many users; nearly every difference becomes significant, so look at its size).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from recseq.metrics.catalogue import Floats
from recseq.options import PositiveInt, Range

DRAWN_AT_ONCE = 2**24  # resample counts in memory, four bytes each
SAME = 1e-12  # differences that vary by less, relative to the largest, differ by rounding only
SCHEMA = {
    **{"metric": pl.String, "model": pl.String, "other": pl.String, "n_users": pl.Int64},
    **dict.fromkeys(("mean", "other_mean", "difference", "low", "high", "p_value", "p_holm"), pl.Float64),
    "significant": pl.Boolean,
}


@dataclass(frozen=True, kw_only=True)
class SignificanceOptions:
    """The node `metrics.significance`.

    Args:
        n_resamples: Bootstrap resamples.
        confidence: Of intervals; a difference is significant when its corrected p-value is below 1 - confidence.
        test: Paired test over users: `t` (of the mean difference) or `wilcoxon` (signed ranks, differences of zero left out: of another
            question than the mean, so that its verdict may go against the sign of the difference).
    """

    n_resamples: PositiveInt
    confidence: Annotated[float, Range(above=0, below=1)]
    test: Literal["t", "wilcoxon"]


@dataclass(frozen=True)
class Significance:
    """What a run says of the model asked for.

    Args:
        intervals: From `mean_intervals`, the model's own.
        comparisons: From `compare_models`; no rows without another model.
        options: How they were made.
    """

    intervals: pl.DataFrame
    comparisons: pl.DataFrame
    options: SignificanceOptions


def compare_models(
    per_user: pl.DataFrame, model: str, others: Sequence[str], metrics: Sequence[str], options: SignificanceOptions, seed: int
) -> pl.DataFrame:
    """Compare a model with others, user by user.

    Only users that both models have a value for count. Metrics that `per_user` lacks (those of a whole list of users, seconds) are left
    out, and so are metrics against a reference model that is one of the two compared: `Intersection@10_popular` of popular is 1 by
    construction.

    Args:
        per_user: Columns `model`, `fold`, `user_id` (a row each) and one a metric, null where it is not defined for the user.
        model: The model asked for.
        others: Models to compare it with; Holm's correction is over them.
        metrics: Columns to compare.
        options: Resamples, confidence, test.
        seed: Of the resamples. The order of rows does not matter, nor which models or metrics are compared at once.

    Returns:
        One row a metric and other model: `metric`, `model`, `other`, `n_users` (pairs of fold and user that both have a value for), `mean`
        and `other_mean` (mean over folds of the mean over those users; a fold without any is left out), `difference` (mean - other_mean)
        and its interval `low`, `high`, `p_value` (over the differences of all folds at once), `p_holm`, `significant`. Never NaN: without
        paired users the numbers are null. Where all differences are zero p is 1 and the interval is [0, 0]; for one user p is 1.

    Raises:
        ValueError: A model that `per_user` has no rows of.
    """
    named = [name for name in metrics if name in per_user.columns]
    compared = [(j, name, i, other) for j, name in enumerate(named) for i, other in enumerate(others) if _sensible(name, model, other)]
    if not compared:
        return pl.DataFrame(schema=SCHEMA)
    j, i = np.array([pair[0] for pair in compared]), np.array([pair[2] for pair in compared])
    ours, theirs, differences = [], [], []
    for values in _values_of_folds(per_user, [model, *others], named):  # (users, models, metrics)
        own, other = values[:, 0][:, j], values[:, 1:][:, i, j]  # (users, pairs compared)
        difference = own - other
        paired = ~np.isnan(difference)
        ours.append(_mean(np.where(paired, own, np.nan)))
        theirs.append(_mean(np.where(paired, other, np.nan)))
        differences.append(difference)
    low, high = _interval(differences, options, seed)
    columns = [np.concatenate(column) for column in zip(*(difference.T for difference in differences), strict=True)]
    columns = [column[~np.isnan(column)] for column in columns]
    p_values = [_p_value(column, options.test) for column in columns]
    p_holm: list[float | None] = [None] * len(compared)
    for family in range(len(named)):
        members = [at for at, pair in enumerate(compared) if pair[0] == family]
        for at, p in zip(members, holm([p_values[at] for at in members]), strict=True):
            p_holm[at] = p
    found = {
        "metric": [pair[1] for pair in compared],
        "model": [model] * len(compared),
        "other": [pair[3] for pair in compared],
        "n_users": [len(column) for column in columns],
        "mean": _mean(np.stack(ours)),
        "other_mean": _mean(np.stack(theirs)),
        "difference": _mean(np.stack([_mean(difference) for difference in differences])),
        "low": low,
        "high": high,
        "p_value": p_values,
        "p_holm": p_holm,
        "significant": [p is not None and p < 1 - options.confidence for p in p_holm],
    }
    return pl.DataFrame(found, schema=SCHEMA, nan_to_null=True)


def mean_intervals(
    per_user: pl.DataFrame, models: Sequence[str], metrics: Sequence[str], options: SignificanceOptions, seed: int
) -> pl.DataFrame:
    """Intervals of each model's own means.

    Two of these that overlap say little about the difference, whose interval is narrower because users are paired: `compare_models`.

    Args:
        per_user: As for `compare_models`.
        models: Models.
        metrics: Columns; those that `per_user` lacks are left out.
        options: Resamples and confidence.
        seed: Of the resamples, which are those of `compare_models` with the same seed.

    Returns:
        One row a model and metric: `model`, `metric`, `mean` (mean over folds of the mean over users with a value), `low`, `high`; null
        where no user has a value.

    Raises:
        ValueError: A model that `per_user` has no rows of.
    """
    named = [name for name in metrics if name in per_user.columns]
    schema = {"model": pl.String, "metric": pl.String, "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    pairs = [(model, name) for model in models for name in named]
    if not pairs:
        return pl.DataFrame(schema=schema)
    folds = [values.reshape(len(values), -1) for values in _values_of_folds(per_user, models, named)]  # (users, models * metrics)
    mean = _mean(np.stack([_mean(values) for values in folds]))
    low, high = _interval(folds, options, seed)
    found = {"model": [pair[0] for pair in pairs], "metric": [pair[1] for pair in pairs], "mean": mean, "low": low, "high": high}
    return pl.DataFrame(found, schema=schema, nan_to_null=True)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction: the i-th smallest of m is multiplied by m + 1 - i, never below the one before, at most 1.

    Args:
        p_values: Of one family of tests; None for a test that could not be made, which does not count.
    """
    corrected: list[float | None] = [None] * len(p_values)
    made = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    before = 0.0
    for rank, (p, index) in enumerate(made):
        before = max(before, min(1.0, (len(made) - rank) * p))
        corrected[index] = before
    return corrected


def _sensible(metric: str, model: str, other: str) -> bool:
    """Not against a reference (`Intersection@10_popular`) that is one of the two: its own value is so by construction."""
    reference = metric.partition("@")[2].partition("_")[2]
    return not reference or reference not in (model, other)


def _values_of_folds(per_user: pl.DataFrame, models: Sequence[str], metrics: Sequence[str]) -> Iterator[Floats]:
    """Values of all users of a fold, (users, models, metrics), NaN where there is none; fold by fold, users sorted."""
    present = per_user["model"].unique().sort().to_list()
    unknown = [name for name in models if name not in present]
    if unknown:
        raise ValueError(f"no values of {', '.join(unknown)}; there are values of {', '.join(present)}")
    values = [pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in metrics]
    for _, rows in sorted(per_user.partition_by("fold", as_dict=True).items()):
        users = rows.select(pl.col("user_id").unique().sort())
        found = np.empty((users.height, len(models), len(metrics)))
        for i, name in enumerate(models):
            own = rows.lazy().filter(pl.col("model") == name).select("user_id", *values).collect()
            own = users.join(own, on="user_id", how="left", maintain_order="left", validate="1:1").drop("user_id")
            found[:, i] = own.select(pl.all().fill_null(np.nan)).to_numpy()
        yield found


def _mean(values: Floats) -> Floats:
    """Means of columns over their values that are not NaN; NaN for a column without any."""
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(present, values, 0.0).sum(0) / present.sum(0)


def _interval(folds: Iterable[Floats], options: SignificanceOptions, seed: int) -> tuple[Floats, Floats]:
    """Percentile intervals of the mean over folds of each column's mean over users.

    Args:
        folds: Values of each fold's users, (users, columns); NaN where a user has none. A fold without any value in a column is left out
            of that column.
        options: Resamples and confidence.
        seed: Of the resamples; each fold has a stream of its own.

    Returns:
        Lower and upper bound of each column, NaN where there are no values.
    """
    draws, n_folds = np.zeros((1, 1)), np.zeros(1)
    for index, values in enumerate(folds):
        centre = _mean(values)
        defined = ~np.isnan(centre)
        draws = draws + np.where(defined, _resampled_means(values, centre, options.n_resamples, np.random.default_rng([seed, index])), 0.0)
        n_folds = n_folds + defined
    with np.errstate(invalid="ignore"):
        draws = draws / n_folds  # (resamples, columns)
    tail = (1 - options.confidence) / 2
    bounds = np.full((2, draws.shape[1]), np.nan)
    for column, drawn in enumerate(draws.T):
        drawn = drawn[~np.isnan(drawn)]  # a resample that has nobody with a value in some fold says nothing
        if len(drawn):
            bounds[:, column] = np.quantile(drawn, [tail, 1 - tail])
    return bounds[0], bounds[1]


def _resampled_means(values: Floats, centre: Floats, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Means of each column in resamples of the users, (resamples, columns); NaN where a resample has nobody with a value.

    A resample is a row of counts, how often each user was drawn; the means of all columns in a block of resamples are one matrix product.
    The product is of deviations from the column's mean, so single precision costs nothing: a millionth of the interval's width.
    """
    n_users, n_columns = values.shape
    present = ~np.isnan(values)
    deviations = np.where(present, values - centre, 0.0).astype(np.float32)
    gaps = ~present.all(0)
    weights = present[:, gaps].astype(np.float32)
    means = np.empty((n_resamples, n_columns))
    n_drawn = np.full((n_resamples, n_columns), n_users, dtype=np.float64)
    counts = np.empty((max(1, min(n_resamples, DRAWN_AT_ONCE // n_users)), n_users), dtype=np.float32)
    for start in range(0, n_resamples, len(counts)):
        block: NDArray[np.float32] = counts[: n_resamples - start]
        for row in block:
            row[:] = np.bincount(rng.integers(n_users, size=n_users), minlength=n_users)
        means[start : start + len(block)] = block @ deviations
        n_drawn[start : start + len(block), gaps] = block @ weights
    with np.errstate(invalid="ignore"):
        return centre + means / n_drawn


def _p_value(differences: Floats, test: str) -> float | None:
    """Two-sided p-value of paired differences; None without any.

    Where all differences are equal and not zero the t statistic is infinite however few they are; the exact sign test's p-value,
    `2 ** (1 - n)`, stands there instead, which is also 1 for one user.
    """
    n = len(differences)
    if n == 0:
        return None
    largest = np.abs(differences).max()
    if largest == 0:
        return 1.0
    if test == "wilcoxon":
        return float(stats.wilcoxon(differences).pvalue)
    if np.ptp(differences) <= SAME * largest:
        return float(2.0 ** (1 - n))
    return float(stats.ttest_1samp(differences, 0.0).pvalue)
