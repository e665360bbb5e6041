"""What metrics compute from, and what a metric is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recseq.registry import Registry

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Catalogue:
    """Items of a fold's train part and how popular they are there.

    Args:
        items: Columns `item_id`, `rows` (train rows), `users` (distinct train users), `pop_rank` (dense rank of rows, most popular 1).
        n_users: Distinct train users.
    """

    items: pl.DataFrame
    n_users: int

    @classmethod
    def from_train(cls, train: pl.DataFrame) -> "Catalogue":
        """Count a fold's train part."""
        items = train.group_by("item_id", maintain_order=True).agg(rows=pl.len(), users=pl.col("user_id").n_unique())
        items = items.with_columns(pop_rank=pl.col("rows").rank("dense", descending=True))
        return cls(items, train["user_id"].n_unique())

    @property
    def n_items(self) -> int:
        """Catalogue size, n."""
        return self.items.height


@dataclass(frozen=True)
class Evaluation:
    """One model's recommendations laid beside the test part, as flat arrays that every metric reads.

    Users are numbered: first the test users, sorted, then users that have recommendations only. Recommendations are N rows.

    Args:
        user_ids: All users, (U_all,).
        n_test_users: How many of them are test users, U.
        user: User of each recommendation, (N,).
        rank: Rank of each recommendation, (N,), 1 is best.
        hit: Whether it is one of the user's test items, (N,).
        n_relevant: Distinct test items of each user, (U_all,); 0 behind the test users.
        recommended: Columns `user` and `item_id`, with `rows`, `users`, `pop_rank` of the train part (null for an item not in it), N rows.
        catalogue: The fold's train part.
        references: Recommendations of reference models by name, columns `user_id`, `item_id`, `rank`.
    """

    user_ids: pl.Series
    n_test_users: int
    user: NDArray[np.int64]
    rank: NDArray[np.int64]
    hit: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]
    recommended: pl.DataFrame
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
        """
        pairs = test_pairs.select("user_id", "item_id").unique()
        relevant = pairs.group_by("user_id").len().sort("user_id")
        others = recommendations.select("user_id").unique().join(relevant, on="user_id", how="anti").sort("user_id")
        user_ids = pl.concat([relevant["user_id"], others["user_id"]])
        users = pl.DataFrame({"user_id": user_ids}).with_row_index("user")
        rows = (
            recommendations.select("user_id", "item_id", "rank")
            .join(users, on="user_id", how="left", maintain_order="left")
            .join(pairs.with_columns(hit=True), on=["user_id", "item_id"], how="left", maintain_order="left")
            .join(catalogue.items, on="item_id", how="left", maintain_order="left")
        )
        return cls(
            user_ids=user_ids,
            n_test_users=relevant.height,
            user=rows["user"].to_numpy().astype(np.int64),
            rank=rows["rank"].to_numpy().astype(np.int64),
            hit=rows["hit"].fill_null(False).to_numpy(),
            n_relevant=np.concatenate([relevant["len"].to_numpy(), np.zeros(others.height)]).astype(np.int64),
            recommended=rows.select("user", "item_id", "rows", "users", "pop_rank"),
            catalogue=catalogue,
            references=references or {},
        )

    def sum_per_user(self, values: Floats | NDArray[np.bool_]) -> Floats:
        """Sums over each user's recommendations of (N,) values, (U_all,)."""
        return np.bincount(self.user, weights=values, minlength=len(self.user_ids)).astype(np.float64, copy=False)

    @cached_property
    def test_users(self) -> NDArray[np.bool_]:
        """(U_all,), True: a test user."""
        return np.arange(len(self.user_ids)) < self.n_test_users

    def served(self, k: int) -> NDArray[np.bool_]:
        """(U_all,), True: has a recommendation in the top k."""
        return self.sum_per_user(self.rank <= k) > 0

    def mean_over_top(self, values: Floats, k: int) -> Floats:
        """Mean of (N,) values over each user's recommendations in the top k, (U_all,); NaN for users without."""
        top = self.rank <= k
        with np.errstate(invalid="ignore"):
            return self.sum_per_user(np.where(top, values, 0.0)) / self.sum_per_user(top)


class Metric(ABC):
    """Base of metrics.

    A metric is the mean of a value per user over the users that it is defined for.

    Attributes:
        label: Column name without cut-off: `HitRate`.
        higher_is_better: Direction, for early stopping, best checkpoints, leaderboards and pictures.
    """

    label: ClassVar[str]
    higher_is_better: ClassVar[bool] = True

    @abstractmethod
    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Values of all users, (U_all,); NaN where the metric is not defined for a user."""

    @classmethod
    def column_names(cls, k: int, references: list[str]) -> list[str]:
        """Names of the columns that `columns` gives, known before anything is fitted."""
        return [f"{cls.label}@{k}"]

    def columns(self, evaluation: Evaluation, k: int) -> dict[str, Floats]:
        """Values per user by column name, `HitRate@10`; a metric against reference models has one column a model."""
        return {f"{self.label}@{k}": self.per_user(evaluation, k)}


METRICS: Registry[Metric] = Registry("metric", ("ref_k",))


def values_per_user(metrics: list[Metric], evaluation: Evaluation, cutoffs: list[int]) -> pl.DataFrame:
    """All metrics of all users.

    Returns:
        Column `user_id` and one a metric and cut-off, null where a metric is not defined for a user; one row a user.
    """
    columns: dict[str, Floats] = {}
    for metric in metrics:
        for k in cutoffs:
            columns |= metric.columns(evaluation, k)
    frame = pl.DataFrame({"user_id": evaluation.user_ids, **columns}, nan_to_null=True)
    return frame


def means(per_user: pl.DataFrame) -> dict[str, float]:
    """Mean of each metric over the users that it is defined for; 0 where it is defined for none."""
    averages = per_user.drop("user_id").mean().row(0, named=True)
    return {name: 0.0 if value is None else float(value) for name, value in averages.items()}
