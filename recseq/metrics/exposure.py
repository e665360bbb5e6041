"""How recommendations are spread over the catalogue, all users' lists taken together."""

import numpy as np

from recseq.metrics.base import METRICS, AggregateMetric, Metric
from recseq.metrics.catalogue import Catalogue, Floats
from recseq.metrics.evaluation import Bools, Evaluation
from recseq.options import Share


@METRICS.register("CatalogCoverage")
class CatalogCoverage(AggregateMetric):
    """Distinct items in the top k of anyone, over the size of the train catalogue. RecTools' with `normalize=True`.

    >>> from recseq.metrics.example import example
    >>> CatalogCoverage().value(example(lists={"u": "ab", "v": "ac"}, test={"u": "a"}, train={"t": "abcd"}), 2)
    0.75

    References:
        Ge, Delgado-Battenfeld and Jannach, Beyond accuracy: evaluating recommender systems by coverage and serendipity, 2010.
    """

    label = "CatalogCoverage"

    def value(self, evaluation: Evaluation, k: int) -> float:
        """The share; above 1 only where items outside the catalogue are recommended."""
        return float(np.count_nonzero(evaluation.exposure(k)) / evaluation.catalogue.n_items)


@METRICS.register("Gini")
class Gini(AggregateMetric):
    """Gini index of exposure, how often each item is in a top k: 0 when all are there equally often, 1 when it is always the same one.

    `sum over items, least exposed first, of (2 j - n - 1) * share of item j, over n - 1`, over the items of the train catalogue and any
    others that are recommended; 0 where nothing is recommended.

    >>> from recseq.metrics.example import example
    >>> Gini().value(example(lists={"u": "a", "v": "a"}, test={"u": "a"}, train={"t": "abc"}), 1)
    1.0
    >>> Gini().value(example(lists={"u": "ab", "v": "ac"}, test={"u": "a"}, train={"t": "abc"}), 2)  # (-2 * 1/4 + 0 + 2 * 2/4) / 2
    0.25

    References:
        Gunawardana and Shani, Evaluating recommender systems, Recommender Systems Handbook, 2nd edition, 2015.
        Fleder and Hosanagar, Blockbuster culture's next rise or fall, 2009.
    """

    label = "Gini"
    higher_is_better = False  # 0 is the same exposure for every item

    def value(self, evaluation: Evaluation, k: int) -> float:
        """The index."""
        exposure = evaluation.exposure(k)
        outside = np.arange(len(exposure)) >= evaluation.catalogue.n_items
        counts = np.sort(exposure[~outside | (exposure > 0)])
        n, total = len(counts), counts.sum()
        if n < 2 or total == 0:
            return 0.0
        return float((2 * np.arange(1, n + 1) - n - 1) @ counts / ((n - 1) * total))


def _in_tail(catalogue: Catalogue, head_share: float) -> Bools:
    """(n,), True: not one of the most popular items that together hold `head_share` of the train rows."""
    return catalogue.popularity_bands([head_share]) == 1


@METRICS.register("LongTailCoverage")
class LongTailCoverage(AggregateMetric):
    """Share of the long tail that is in the top k of anyone. The tail is what is left of the catalogue without its head.

    High where *many* tail items have a chance; `LongTailShare` is high also where all users get the same few of them. 0 without a tail.

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "ab", "v": "ac"}, test={"u": "a"}, train={"t": "aaaaaaaabc", "s": "de"})
    >>> LongTailCoverage(head_share=0.6).value(evaluation, 2)  # a holds 8 of 12 rows; b and c of b, c, d, e
    0.5

    Args:
        head_share: The head is the most popular items that together hold this share of the train rows.

    References:
        Abdollahpouri, Burke and Mobasher, Managing popularity bias in recommender systems with personalized re-ranking, 2019,
        arXiv:1901.07555 (coverage of long tail items; here every item counts once, whoever it is recommended to).
    """

    label = "LongTailCoverage"

    def __init__(self, head_share: Share = 0.8) -> None:
        self.head_share = head_share

    def value(self, evaluation: Evaluation, k: int) -> float:
        """The share."""
        tail = _in_tail(evaluation.catalogue, self.head_share)
        exposed = evaluation.exposure(k)[: len(tail)] > 0
        return float(exposed[tail].mean()) if tail.any() else 0.0


@METRICS.register("LongTailShare")
class LongTailShare(Metric):
    """Share of a user's recommendations that are of the long tail or not in train at all, over users with recommendations.

    Known as average percentage of long tail items (APLT).

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "ab", "v": "bc"}, test={"u": "a"}, train={"t": "aaaaaaaabc"})
    >>> LongTailShare(head_share=0.6).per_user(evaluation, 2)  # a is the head
    array([0.5, 1. ])

    Args:
        head_share: The head is the most popular items that together hold this share of the train rows.

    References:
        Abdollahpouri, Burke and Mobasher, Managing popularity bias in recommender systems with personalized re-ranking, 2019,
        arXiv:1901.07555.
    """

    label = "LongTailShare"

    def __init__(self, head_share: Share = 0.8) -> None:
        self.head_share = head_share

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Share of the list."""
        tail = _in_tail(evaluation.catalogue, self.head_share).astype(np.float64)
        return evaluation.mean_over_top(evaluation.of_items(tail, missing=1.0), k)
