"""What each user's recommendations are like besides right: surprising, new, popular, there at all, like another model's."""

from collections.abc import Sequence

import numpy as np

from recseq.metrics.base import METRICS, Metric
from recseq.metrics.catalogue import Floats
from recseq.metrics.evaluation import NONE, Evaluation


@METRICS.register("Serendipity")
class Serendipity(Metric):
    """Hits that popularity alone would not have given.

    Mean over the user's recommendations of rank <= k of `max(p_u - p_any, 0) * hit` with `p_u = (n + 1 - rank) / n`,
    `p_any = (n + 1 - pop_rank) / n`, n the size of the train catalogue and pop_rank the dense rank of the item's train rows;
    p_any is 0 for an item not in train. Over users with recommendations. As RecTools.

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "cab", "v": "ac"}, test={"u": "ca", "v": "a"}, train={"t": "aaabbc", "s": "d"})
    >>> Serendipity().per_user(evaluation, 2)  # n = 4; u: c has p_u = 1, p_any = 2/4, a has 3/4, 1: (1/2 + 0) / 2; v: a has 1, 1
    array([0.25, 0.  ])

    References:
        Murakami, Mori and Orihara, Metrics for evaluating the serendipity of recommendation lists, 2008 (the idea: what a primitive
        method would not have given).
    """

    label = "Serendipity"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Mean surprise of the list."""
        n = evaluation.catalogue.n_items
        surprise = np.zeros_like(evaluation.hit, dtype=np.float64)
        user, column = np.nonzero(evaluation.hit)
        p_any = np.append((n + 1 - evaluation.catalogue.pop_rank) / n, 0.0)
        surprise[user, column] = np.maximum((n - column) / n - p_any[np.minimum(evaluation.items[user, column], n)], 0)
        return evaluation.mean_over_top(surprise, k)


@METRICS.register("Novelty")
class Novelty(Metric):
    """Mean inverse user frequency (MIUF): mean of `-log2(train users of the item / train users)` over the recommendations.

    An item not in train counts one user. Over users with recommendations. RecTools' MeanInvUserFreq.

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "ab", "v": "a"}, test={"u": "a"}, train={"p": "aab", "q": "a", "r": "a", "s": "a"})
    >>> Novelty().per_user(evaluation, 2)  # a: 4 of 4 users, 0 bits; b: 1 of 4, 2 bits
    array([1., 0.])

    References:
        Castells, Vargas and Wang, Novelty and diversity metrics for recommender systems, 2011.
        Zhou et al., Solving the apparent diversity-accuracy dilemma of recommender systems, 2010, arXiv:0808.2670.
    """

    label = "Novelty"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Mean surprisal of the list in bits."""
        n_users = evaluation.catalogue.n_users
        bits = -np.log2(evaluation.catalogue.users / n_users)
        return evaluation.mean_over_top(evaluation.of_items(bits, missing=np.log2(n_users)), k)


@METRICS.register("AvgRecPopularity")
class AvgRecPopularity(Metric):
    """Mean number of train rows of the recommended items (0 for an item not in train), over users with recommendations.

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "ab", "v": "az"}, test={"u": "a"}, train={"t": "aaab"})
    >>> AvgRecPopularity().per_user(evaluation, 2)
    array([2. , 1.5])
    >>> AvgRecPopularity(normalize=True).per_user(evaluation, 2)  # of 4 rows
    array([0.5  , 0.375])

    Args:
        normalize: Count shares of all train rows instead of rows.

    References:
        Abdollahpouri, Burke and Mobasher, Managing popularity bias in recommender systems with personalized re-ranking, 2019,
        arXiv:1901.07555.
    """

    label = "AvgRecPopularity"
    higher_is_better = False  # lower is further from recommending what is popular anyway

    def __init__(self, normalize: bool = False) -> None:
        self.normalize = normalize

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Mean popularity of the list."""
        mean = evaluation.mean_over_top(evaluation.of_items(evaluation.catalogue.rows, missing=0.0), k)
        return mean / evaluation.catalogue.n_rows if self.normalize else mean


@METRICS.register("CoveredUsers")
class CoveredUsers(Metric):
    """Share of test users with at least one recommendation in the top k.

    >>> from recseq.metrics.example import example
    >>> CoveredUsers().per_user(example(lists={"u": "a"}, test={"u": "b", "v": "a"}, train={"t": "ab"}), 1)
    array([1., 0.])

    References:
        Ge, Delgado-Battenfeld and Jannach, Beyond accuracy: evaluating recommender systems by coverage and serendipity, 2010.
    """

    label = "CoveredUsers"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """1 with a recommendation, 0 without."""
        return evaluation.among_test_users(evaluation.n_recommended(k) > 0)


@METRICS.register("Intersection")
class Intersection(Metric):
    """Share of the model's top k that is in a reference model's top `ref_k`, over users with recommendations.

    One column a reference model: `Intersection@10_popular`.

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "abcd"}, test={"u": "a"}, train={"t": "abcd"}, reference={"u": "bad"})
    >>> Intersection().columns(evaluation, 2)  # a and b, both in ba
    {'Intersection@2_popular': array([1.])}
    >>> Intersection(ref_k=1).columns(evaluation, 4)  # only b
    {'Intersection@4_popular': array([0.25])}

    Args:
        ref_k: Cut-off of the reference; None takes the metric's own.

    References:
        Fagin, Kumar and Sivakumar, Comparing top k lists, 2003 (overlap of lists as sets).
    """

    label = "Intersection"
    higher_is_better = False  # references are baselines: as good with less of the baseline's lists is more of one's own

    def __init__(self, ref_k: int | None = None) -> None:
        self.ref_k = ref_k

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Against the only reference model.

        Raises:
            ValueError: There is none or more than one; `columns` has a value for each.
        """
        (values,) = self.columns(evaluation, k).values()
        return values

    def column_names(self, k: int, references: Sequence[str]) -> list[str]:
        """One a reference model."""
        return [f"{self.label}@{k}_{name}" for name in references]

    def columns(self, evaluation: Evaluation, k: int) -> dict[str, Floats]:
        """A column for each reference model."""
        ref_k = self.ref_k if self.ref_k is not None else k
        items = evaluation.items[:, :k]
        found = {}
        for name, lists in evaluation.reference_lists.items():
            shared = np.zeros_like(items, dtype=np.bool_)
            for other in lists[:, :ref_k].T:
                shared |= items == other[:, None]
            found[f"{self.label}@{k}_{name}"] = evaluation.mean_over_top(shared & (items != NONE), k)
        return found
