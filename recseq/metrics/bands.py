"""The hit rate of some users or for some items only: where a model is good, and where it is not."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from recseq.metrics.base import METRICS, Metric
from recseq.metrics.catalogue import Floats
from recseq.metrics.evaluation import Evaluation
from recseq.options import PositiveInt, Share


class BandedHitRate(Metric):
    """Base of hit rates with one column a band, `HitRateByHistory@10_5-9`; a band that no test user belongs to has none."""

    def column_names(self, k: int, references: Sequence[str]) -> list[str]:
        """One a band."""
        return [f"{self.label}@{k}_{name}" for name in self.band_names()]

    def band_names(self) -> list[str]:
        """Names of the bands, in order."""
        raise NotImplementedError

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """In the only band that has users.

        Raises:
            ValueError: Several have; `columns` has a value for each.
        """
        (values,) = self.columns(evaluation, k).values()
        return values


@METRICS.register("HitRateByHistory")
class HitRateByHistory(BandedHitRate):
    """Hit rate of the test users with so many train rows.

    >>> from recseq.metrics.example import example
    >>> train = {"u": "ab", "v": "bcb", "w": "aabbc"}
    >>> evaluation = example(lists={"u": "c", "v": "a", "w": "d"}, test={"u": "c", "v": "d", "w": "d"}, train=train)
    >>> for name, values in HitRateByHistory(bands=[1, 3, 5, 9]).columns(evaluation, 1).items():
    ...     print(name, values)
    HitRateByHistory@1_1-2 [ 1. nan nan]
    HitRateByHistory@1_3-4 [nan  0. nan]
    HitRateByHistory@1_5-8 [nan nan  1.]

    Args:
        bands: Smallest number of train rows of each band, increasing; users with fewer than the first have a band of their own.

    References:
        Kang and McAuley, Self-attentive sequential recommendation, 2018, arXiv:1808.09781 (models compared on sparse and dense data).
    """

    label = "HitRateByHistory"

    def __init__(self, bands: Sequence[PositiveInt] = (1, 5, 10, 20, 50)) -> None:
        self.bands = list(bands)

    @staticmethod
    def conflicts(options: Mapping[str, Any], where: str) -> list[str]:
        """Bands must follow each other."""
        return _not_increasing(options.get("bands"), f"{where}.bands")

    def band_names(self) -> list[str]:
        """`0`, `1-4`, `5-9`, ..., `50plus`."""
        ranges = [(low, high - 1) for low, high in pairwise([0, *self.bands])]
        return [f"{low}" if low == high else f"{low}-{high}" for low, high in ranges] + [f"{self.bands[-1]}plus"]

    def columns(self, evaluation: Evaluation, k: int) -> dict[str, Floats]:
        """A column for each band that has test users."""
        hit = evaluation.hit[:, :k].any(axis=1).astype(np.float64)
        band = np.searchsorted(self.bands, evaluation.n_history, side="right")
        found = {}
        for number, name in enumerate(self.band_names()):
            inside = evaluation.test_users & (band == number)
            if inside.any():
                found[f"{self.label}@{k}_{name}"] = np.where(inside, hit, np.nan)
        return found


@METRICS.register("HitRateByPopularity")
class HitRateByPopularity(BandedHitRate):
    """Hit rate on test items of one popularity: of the test users that have such items, the share with one of them in the top k.

    Items of the train catalogue, most popular first, are cut into head, mid and tail where they hold given shares of the train rows; test
    items that are not in train are `cold`.

    >>> from recseq.metrics.example import example
    >>> evaluation = example(lists={"u": "ac", "v": "ba"}, test={"u": "ab", "v": "c"}, train={"t": "aaaabbbc", "s": "d"})
    >>> for name, values in HitRateByPopularity(borders=[0.4, 0.7]).columns(evaluation, 2).items():  # a holds 4 of 9 rows, a and b 7
    ...     print(name, values)
    HitRateByPopularity@2_head [ 1. nan]
    HitRateByPopularity@2_mid [ 0. nan]
    HitRateByPopularity@2_tail [nan  0.]

    Args:
        borders: Shares in (0, 1), increasing: two cut into head, mid and tail, one into head and tail.

    References:
        Abdollahpouri, Mansoury, Burke, Mobasher and Malthouse, User-centered evaluation of popularity bias in recommender systems, 2021,
        arXiv:2103.06364 (items in three groups that hold 20, 60 and 20 % of the rows).
    """

    label = "HitRateByPopularity"

    def __init__(self, borders: Sequence[Share] = (0.2, 0.8)) -> None:
        self.borders = list(borders)

    @staticmethod
    def conflicts(options: Mapping[str, Any], where: str) -> list[str]:
        """One or two borders that follow each other."""
        borders = options.get("borders")
        if borders is not None and len(borders) not in (1, 2):
            return [f"{where}.borders is {list(borders)}, must be one or two shares"]
        return _not_increasing(borders, f"{where}.borders")

    def band_names(self) -> list[str]:
        """`head`, `mid`, `tail`, `cold`."""
        return ["head", "mid", "tail", "cold"] if len(self.borders) == 2 else ["head", "tail", "cold"]

    def columns(self, evaluation: Evaluation, k: int) -> dict[str, Floats]:
        """A column for each band that has test items."""
        n_users, cold = len(evaluation.user_ids), len(self.borders) + 1
        catalogue_bands = evaluation.catalogue.popularity_bands(self.borders)
        bands = np.concatenate([catalogue_bands, np.full(len(evaluation.item_ids) - len(catalogue_bands), cold)])[evaluation.test_item]
        hit = (evaluation.test_rank > 0) & (evaluation.test_rank <= k)
        found = {}
        for number, name in enumerate(self.band_names()):
            inside = bands == number
            if inside.any():
                has = np.bincount(evaluation.test_user[inside], minlength=n_users) > 0
                hits = np.bincount(evaluation.test_user[inside & hit], minlength=n_users) > 0
                found[f"{self.label}@{k}_{name}"] = np.where(has, hits, np.nan)
        return found


def _not_increasing(values: Sequence[float] | None, where: str) -> list[str]:
    if values is None:
        return []
    if not values:
        return [f"{where} is empty"]
    return [f"{where} is {list(values)}, must increase"] if any(a >= b for a, b in pairwise(values)) else []
