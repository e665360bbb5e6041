"""How unlike each other the items of a list are."""

from typing import Literal

import numpy as np
import polars as pl
from scipy import sparse

from recseq.data.interactions import ItemFeatures
from recseq.errors import ConfigError
from recseq.metrics.base import METRICS, Metric
from recseq.metrics.catalogue import Floats, encode
from recseq.metrics.evaluation import Evaluation
from recseq.options import did_you_mean


@METRICS.register("IntraListDiversity")
class IntraListDiversity(Metric):
    """Mean distance over the pairs of items in a user's top k, by the categories of the items.

    Items without a category are left out: nothing is known of their distance. A user whose top k is a single item counts 0, one whose top
    k holds fewer than two items with categories is left out. As RecTools' IntraListDiversity with a Hamming calculator whose table has the
    items with categories.

    >>> from recseq.metrics.example import example
    >>> genres = {"a": ["war"], "b": ["war", "love"], "c": ["love"]}
    >>> evaluation = example(lists={"u": "abc"}, test={"u": "a"}, train={"t": "abc"}, genres=genres)
    >>> IntraListDiversity(distance="hamming").per_user(evaluation, 3).round(4)  # (1 + 2 + 1) / 3
    array([1.3333])
    >>> IntraListDiversity().per_user(evaluation, 3).round(4)  # (1 - 1/sqrt(2) + 1 + 1 - 1/sqrt(2)) / 3
    array([0.5286])

    Both distances are half or whole squared distances of vectors v, and `sum over pairs of |v_i - v_j|^2` of m vectors is
    `m * sum |v|^2 - |sum v|^2`: no pair is ever formed.

    Args:
        feature: A categorical item feature; None takes the categories of all.
        distance: `cosine`, 1 - cosine of the items' 0/1 category vectors, in [0, 1], or `hamming`, the number of categories that one
            item has and the other has not.

    References:
        Vargas and Castells, Rank and relevance in novelty and diversity metrics for recommender systems, 2011.
        Ziegler, McNee, Konstan and Lausen, Improving recommendation lists through topic diversification, 2005.
    """

    label = "IntraListDiversity"

    def __init__(self, feature: str | None = None, distance: Literal["cosine", "hamming"] = "cosine") -> None:
        self.feature = feature
        self.distance = distance

    def lacks(self, item_features: ItemFeatures | None) -> str | None:
        """See `AnyMetric.lacks`."""
        names = [] if item_features is None else item_features.features
        if self.feature is not None and self.feature not in names:
            available = did_you_mean(self.feature, names) if names else "the data has no categorical item features"
            raise ConfigError(f"metrics.include.IntraListDiversity.feature is {self.feature!r}; {available}")
        return None if names else "categorical item features"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Mean distance in the list."""
        vectors = self._category_vectors(evaluation)
        described = np.append(np.diff(vectors.indptr) > 0, False)  # the last is for NONE
        items = evaluation.items[:, :k]
        known = described[items]
        m = np.count_nonzero(known, axis=1)
        lists = sparse.csr_array((np.ones(m.sum()), items[known], np.r_[0, np.cumsum(m)]), shape=(len(items), vectors.shape[0]))
        squares = vectors.power(2).sum(axis=1)
        sums = m * (lists @ squares) - (lists @ vectors).power(2).sum(axis=1)
        scale = 2 if self.distance == "cosine" else 1
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.maximum(sums, 0) / scale / (m * (m - 1) / 2)
        return np.where(m >= 2, means, np.where(evaluation.n_recommended(k) == 1, 0.0, np.nan))

    def _category_vectors(self, evaluation: Evaluation) -> sparse.csr_array:
        """One row an item, one column a category; rows of length 1 under the cosine distance."""
        features = evaluation.catalogue.item_features
        assert features is not None, "asked for without `lacks`"
        table = features.categorical
        if self.feature is not None:
            table = table.filter(pl.col("feature") == self.feature)
        item = encode(table["item_id"], evaluation.item_ids)
        category = table.select(pl.struct("feature", "value").rank("dense"))["feature"].to_numpy().astype(np.int64) - 1
        met = item >= 0
        shape = (len(evaluation.item_ids), int(category.max(initial=-1)) + 1)
        vectors = sparse.csr_array((np.ones(np.count_nonzero(met)), (item[met], category[met])), shape=shape)
        if self.distance == "cosine":
            n_categories = np.diff(vectors.indptr)
            vectors.data /= np.sqrt(np.repeat(n_categories, n_categories))
        return vectors
