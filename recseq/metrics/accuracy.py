"""How well the test items are found: HitRate, MAP, NDCG.

A test user without recommendations counts 0.
"""

from typing import Literal

import numpy as np

from recseq.metrics.base import METRICS, Evaluation, Floats, Metric


@METRICS.register("HitRate")
class HitRate(Metric):
    """Share of test users with at least one test item in the top k."""

    label = "HitRate"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """1 with a hit, 0 without."""
        found = evaluation.sum_per_user(evaluation.hit & (evaluation.rank <= k)) > 0
        return np.where(evaluation.test_users, found.astype(np.float64), np.nan)


@METRICS.register("MAP")
class MeanAveragePrecision(Metric):
    """Mean average precision: the sum of the precisions at the ranks of hits within k, over the number of the user's test items.

    `AP@k = 1 / |test items| * sum over hit ranks i <= k of hits in the top i / i`

    Args:
        divide_by_k: Divide by k instead of the number of test items.

    References:
        Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4.
    """

    label = "MAP"

    def __init__(self, divide_by_k: bool = False) -> None:
        self.divide_by_k = divide_by_k

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Average precision."""
        hits = np.flatnonzero(evaluation.hit & (evaluation.rank <= k))
        user, rank = evaluation.user[hits], evaluation.rank[hits]
        order = np.lexsort((rank, user))
        user, rank = user[order], rank[order]
        starts = np.flatnonzero(np.r_[True, user[1:] != user[:-1]]) if len(user) else np.zeros(0, dtype=np.int64)
        nth_hit = np.arange(len(user)) - np.repeat(starts, np.diff(np.r_[starts, len(user)])) + 1
        sums = np.bincount(user, weights=nth_hit / rank, minlength=len(evaluation.user_ids))
        with np.errstate(invalid="ignore", divide="ignore"):
            value = sums / (k if self.divide_by_k else evaluation.n_relevant)
        return np.where(evaluation.test_users, value, np.nan)


@METRICS.register("NDCG")
class NDCG(Metric):
    """Normalised discounted cumulative gain with binary relevance: `sum over hits of 1 / log2(rank + 1)` over its ideal.

    Args:
        ideal: The ideal is the gain of `achievable` hits, min(k, number of test items), as papers report it, or of `k` hits whatever the
            number of test items, which is RecTools' default.

    References:
        Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002.
    """

    label = "NDCG"

    def __init__(self, ideal: Literal["achievable", "k"] = "achievable") -> None:
        self.ideal = ideal

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Normalised gain."""
        gains = 1 / np.log2(np.arange(2, k + 2))
        hits = evaluation.hit & (evaluation.rank <= k)
        gain = evaluation.sum_per_user(np.where(hits, 1 / np.log2(evaluation.rank + 1.0), 0.0))
        ideals = np.r_[np.nan, np.cumsum(gains)]
        reachable = np.minimum(evaluation.n_relevant, k) if self.ideal == "achievable" else np.full(len(gain), k)
        return np.where(evaluation.test_users, gain / ideals[reachable], np.nan)
