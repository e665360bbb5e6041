"""How well the test items are found. A test user without recommendations counts 0."""

from typing import Literal

import numpy as np

from recseq.metrics.base import METRICS, Metric
from recseq.metrics.catalogue import Floats
from recseq.metrics.evaluation import Evaluation


@METRICS.register("HitRate")
class HitRate(Metric):
    """Share of test users with at least one test item in the top k.

    >>> from recseq.metrics.example import example
    >>> lists, test = {"u": "abc", "v": "ba"}, {"u": "cd", "v": "d", "w": "a"}
    >>> HitRate().per_user(example(lists, test, train={"t": "abcd"}), 3)  # u has c, v nothing, w has no recommendations
    array([1., 0., 0.])

    References:
        Deshpande and Karypis, Item-based top-N recommendation algorithms, 2004.
    """

    label = "HitRate"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """1 with a hit, 0 without."""
        return evaluation.among_test_users(np.any(evaluation.hit[:, :k], axis=1))


@METRICS.register("Precision")
class Precision(Metric):
    """Hits in the top k over k, also for a list that is shorter.

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "abc", "v": "ba"}, test={"u": "cad", "v": "b"}, train={"t": "abcd"})
    >>> Precision().per_user(evaluation, 4)
    array([0.5 , 0.25])
    >>> Precision(r_precision=True).per_user(evaluation, 4).round(4)  # 2 of 3, 1 of 1
    array([0.6667, 1.    ])

    Args:
        r_precision: Divide by min(k, number of the user's test items), the hits that can be had, as RecTools' option of that name.

    References:
        Herlocker, Konstan, Terveen and Riedl, Evaluating collaborative filtering recommender systems, 2004.
    """

    label = "Precision"

    def __init__(self, r_precision: bool = False) -> None:
        self.r_precision = r_precision

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Share of hits."""
        most = np.minimum(k, np.maximum(evaluation.n_relevant, 1)) if self.r_precision else k
        return evaluation.among_test_users(np.count_nonzero(evaluation.hit[:, :k], axis=1) / most)


@METRICS.register("Recall")
class Recall(Metric):
    """Hits in the top k over the number of the user's test items.

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "abc", "v": "ba"}, test={"u": "cadb", "v": "b"}, train={"t": "abcd"})
    >>> Recall().per_user(evaluation, 3)
    array([0.75, 1.  ])

    References:
        Herlocker, Konstan, Terveen and Riedl, Evaluating collaborative filtering recommender systems, 2004.
    """

    label = "Recall"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Share of test items found."""
        hits = np.count_nonzero(evaluation.hit[:, :k], axis=1)
        return evaluation.among_test_users(hits / np.maximum(evaluation.n_relevant, 1))


@METRICS.register("MAP")
class MeanAveragePrecision(Metric):
    """Mean average precision: the sum of the precisions at the ranks of hits within k, over the number of the user's test items.

    `AP@k = 1 / |test items| * sum over hit ranks i <= k of hits in the top i / i`

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "abcd"}, test={"u": "adefg"}, train={"t": "abcd"})
    >>> MeanAveragePrecision().per_user(evaluation, 4)  # (1/1 + 2/4) / 5
    array([0.3])
    >>> MeanAveragePrecision(divide_by_k=True).per_user(evaluation, 4)  # (1/1 + 2/4) / 4
    array([0.375])

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
        hit = evaluation.hit[:, :k]
        precision = hit.cumsum(axis=1, dtype=np.float64) / np.arange(1, hit.shape[1] + 1)
        sums = (precision * hit).sum(axis=1)
        return evaluation.among_test_users(sums / (k if self.divide_by_k else np.maximum(evaluation.n_relevant, 1)))


@METRICS.register("NDCG")
class NDCG(Metric):
    """Normalised discounted cumulative gain with binary relevance: `sum over hits of 1 / log2(rank + 1)` over its ideal.

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "abc"}, test={"u": "c"}, train={"t": "abc"})
    >>> NDCG().per_user(evaluation, 3)  # (1/2) / 1
    array([0.5])
    >>> NDCG(ideal="k").per_user(evaluation, 3).round(4)  # (1/2) / (1 + 1/log2(3) + 1/2)
    array([0.2346])

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
        hit = evaluation.hit[:, :k]
        gains = 1 / np.log2(np.arange(2, k + 2))
        ideals = np.cumsum(gains)
        best = np.clip(evaluation.n_relevant, 1, k) if self.ideal == "achievable" else k
        return evaluation.among_test_users(hit @ gains[: hit.shape[1]] / ideals[best - 1])


@METRICS.register("MRR")
class MeanReciprocalRank(Metric):
    """Mean reciprocal rank: 1 / rank of the first hit in the top k, 0 without a hit.

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "abc", "v": "ba"}, test={"u": "cb", "v": "d"}, train={"t": "abcd"})
    >>> MeanReciprocalRank().per_user(evaluation, 3)
    array([0.5, 0. ])

    References:
        Voorhees, The TREC-8 question answering track report, 1999.
    """

    label = "MRR"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Reciprocal rank."""
        hit = evaluation.hit[:, :k]
        return evaluation.among_test_users((hit / np.arange(1, hit.shape[1] + 1)).max(axis=1, initial=0.0))
