"""One model's recommendations laid beside the test part: the arrays that every metric reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recseq.errors import DataError
from recseq.metrics.catalogue import Catalogue, Floats, Ints, encode, encode_runs

Bools = NDArray[np.bool_]
NONE = -1  # no recommendation at this rank


@dataclass(frozen=True)
class Evaluation:
    """Recommendations and test pairs in numbers.

    Users are numbered: first the U test users, sorted, then those that have recommendations only. Items are numbered: first the n items
    of the train catalogue, in its order, then others that were recommended or tested. K is the largest rank there is.

    Args:
        user_ids: All users, (U_all,).
        item_ids: All items.
        n_test_users: U.
        items: Item at each rank of each user's list, (U_all, K), rank 1 in column 0; `NONE` where there is none.
        test_user: User of each distinct test pair, (T,), increasing.
        test_item: Item of each test pair, (T,).
        test_rank: Rank at which the test pair is recommended, (T,); 0 where it is not.
        catalogue: The fold's train part.
        references: Recommendations of reference models by name, columns `user_id`, `item_id`, `rank`.
    """

    user_ids: pl.Series
    item_ids: pl.Series
    n_test_users: int
    items: NDArray[np.int32]
    test_user: Ints
    test_item: Ints
    test_rank: Ints
    catalogue: Catalogue
    references: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        recommendations: pl.DataFrame,
        test_pairs: pl.DataFrame,
        catalogue: Catalogue,
        references: Mapping[str, pl.DataFrame] | None = None,
    ) -> "Evaluation":
        """Lay recommendations beside the test part.

        Args:
            recommendations: Columns `user_id`, `item_id`, `rank`; every pair once.
            test_pairs: Columns `user_id`, `item_id`; repeats count once (*ours*; RecTools counts each row).
            catalogue: The fold's train part.
            references: Recommendations of reference models by name.

        Raises:
            DataError: Ranks that make no lists.
        """
        test_users = test_pairs["user_id"].unique().sort()
        user = encode_runs(recommendations["user_id"], test_users)
        others = recommendations["user_id"].filter(pl.Series(user < 0)).unique().sort()
        user_ids = test_users
        if len(others):
            user_ids = pl.concat([test_users, others])
            user = encode_runs(recommendations["user_id"], user_ids)
        item, test_item, item_ids = _encode_items(recommendations["item_id"], test_pairs["item_id"], catalogue.item_ids)
        pairs = np.sort(encode(test_pairs["user_id"], test_users) * len(item_ids) + test_item)
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        test_user, test_item = np.divmod(pairs, max(1, len(item_ids)))
        items = _lists(user, item, recommendations["rank"].to_numpy(), len(user_ids))
        test_rank = np.zeros(len(pairs), dtype=np.int64)
        for column in range(items.shape[1]):
            test_rank[items[test_user, column] == test_item] = column + 1
        return cls(user_ids, item_ids, len(test_users), items, test_user, test_item, test_rank, catalogue, references or {})

    @cached_property
    def test_users(self) -> Bools:
        """(U_all,), True: a test user."""
        return np.arange(len(self.user_ids)) < self.n_test_users

    @cached_property
    def n_relevant(self) -> Ints:
        """Distinct test items of each user, (U_all,); 0 behind the test users."""
        return np.bincount(self.test_user, minlength=len(self.user_ids))

    @cached_property
    def hit(self) -> Bools:
        """(U_all, K), True: the recommendation at this rank is one of the user's test items."""
        hit = np.zeros(self.items.shape, dtype=np.bool_, order="F")
        found = np.flatnonzero(self.test_rank)
        hit[self.test_user[found], self.test_rank[found] - 1] = True
        return hit

    @cached_property
    def n_history(self) -> Ints:
        """Train rows of each user, (U_all,)."""
        user = encode(self.catalogue.train["user_id"], self.user_ids)
        return np.bincount(user + 1, minlength=len(self.user_ids) + 1)[1:]

    def n_recommended(self, k: int) -> Ints:
        """Recommendations of each user in the top k, (U_all,)."""
        return np.count_nonzero(self.items[:, :k] != NONE, axis=1)

    def among_test_users(self, values: Floats | Ints | Bools) -> Floats:
        """(U_all,) values of test users, NaN for the others."""
        return np.where(self.test_users, values, np.nan)

    def of_items(self, values: Floats | Ints, missing: float) -> Floats:
        """Values of the recommended items, (U_all, K).

        Args:
            values: One for each item of the catalogue, (n,).
            missing: Value of items that are not in it, and where there is no recommendation.
        """
        others = np.full(len(self.item_ids) - self.catalogue.n_items + 1, missing)
        return np.concatenate([values, others])[self.items]  # NONE takes the last

    def mean_over_top(self, values: Floats | Bools, k: int) -> Floats:
        """Mean of (U_all, K) values over each user's recommendations in the top k, (U_all,); NaN for users without."""
        sums = np.where(self.items[:, :k] != NONE, values[:, :k], 0.0).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return sums / self.n_recommended(k)

    def exposure(self, k: int) -> Ints:
        """How often each item is in a top k, (n + others,)."""
        return np.bincount(self.items[:, :k].ravel(order="K") + 1, minlength=len(self.item_ids) + 1)[1:]

    @cached_property
    def reference_lists(self) -> dict[str, NDArray[np.int32]]:
        """Lists of each reference model to the same users, as `items`; items that are not in `item_ids` are left out."""
        return {name: self._lists_of(recommendations) for name, recommendations in self.references.items()}

    def _lists_of(self, recommendations: pl.DataFrame) -> NDArray[np.int32]:
        user, item = encode_runs(recommendations["user_id"], self.user_ids), encode(recommendations["item_id"], self.item_ids)
        rank = recommendations["rank"].to_numpy()
        known = (user >= 0) & (item >= 0)
        if not known.all():
            user, item, rank = user[known], item[known], rank[known]
        return _lists(user, item, rank, len(self.user_ids))


def _encode_items(recommended: pl.Series, tested: pl.Series, catalogue: pl.Series) -> tuple[Ints, Ints, pl.Series]:
    """Numbers of recommended and of test items, and the ids behind the numbers: the catalogue's, then others as they come."""
    columns = (recommended, tested)
    numbers = [encode(ids, catalogue) for ids in columns]
    others = pl.concat([ids.filter(pl.Series(number < 0)) for ids, number in zip(columns, numbers, strict=True)]).unique(
        maintain_order=True
    )
    if len(others):
        numbers = [np.where(number < 0, len(catalogue) + encode(ids, others), number) for ids, number in zip(columns, numbers, strict=True)]
    return numbers[0], numbers[1], pl.concat([catalogue, others])


def _lists(user: Ints, item: Ints, rank: Ints, n_users: int) -> NDArray[np.int32]:
    """Item at each rank of each user's list, (n_users, K)."""
    if len(rank) and rank.min() < 1:
        raise DataError(f"recommendations have the rank {rank.min()}; ranks begin with 1")
    longest = int(rank.max()) if len(rank) else 0
    columns = np.full((longest, n_users), NONE, dtype=np.int32)  # a rank's items lie together: metrics go through them rank by rank
    columns.reshape(-1)[(rank.astype(np.int64) - 1) * n_users + user] = item
    if np.count_nonzero(columns != NONE) != len(item):
        raise DataError("recommendations give a rank to two items of one user")
    return columns.T
