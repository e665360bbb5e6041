"""Validation inside training: what is held out of a fold's train part, and what is done with its metrics.

The test part of a fold never comes here: everything is cut from the train part, so it cannot choose an epoch.
"""

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl

from recseq.data.interactions import Interactions, ItemFeatures
from recseq.errors import ConfigError, DataError
from recseq.metrics import Catalogue, Evaluation, Scoring, score
from recseq.options import PositiveInt
from recseq.registry import Registry
from recseq.splitting import TestFilters
from recseq.splitting.order import from_the_end
from recseq.splitting.time_range import duration, end_of_unit

log = logging.getLogger(__name__)

Finish = Literal["best", "last", "refit"]
FILTERS = TestFilters(cold_users=True, cold_items=True, already_seen=True)


@dataclass(frozen=True)
class HeldOut:
    """A train part, what was cut from it, and what its metrics decide.

    Args:
        train: What is left to train on.
        pairs: Distinct `user_id`, `item_id` to be predicted.
        item_features: What is known of items.
        scoring: Metrics.
        monitor: Column of the metric that chooses the best epoch.
        mode: Whether the largest or the smallest value of it is best.
        patience: Stop after so many epochs without improvement; None trains on.
        finish: What to recommend with when training has ended.
    """

    train: Interactions
    pairs: pl.DataFrame
    item_features: ItemFeatures | None
    scoring: Scoring
    monitor: str
    mode: Literal["max", "min"]
    patience: int | None
    finish: Finish

    @cached_property
    def catalogue(self) -> Catalogue:
        """Popularity in what is trained on."""
        return Catalogue.from_train(self.train.frame, self.item_features)

    @property
    def k(self) -> int:
        """Length of the lists to be scored."""
        return self.scoring.cutoffs[-1]

    def score(self, recommendations: pl.DataFrame) -> dict[str, float]:
        """Metrics of recommendations to the users of `pairs`."""
        evaluation = Evaluation.of(recommendations, self.pairs, self.catalogue)
        return score(self.scoring.metrics, evaluation, self.scoring.cutoffs).means


class Validation(ABC):
    """Base of ways to validate."""

    @abstractmethod
    def hold_out(self, train: Interactions, item_features: ItemFeatures | None, seed: int) -> HeldOut | None:
        """Cut a validation part from a fold's train part; None trains on all of it.

        Args:
            train: The fold's train part.
            item_features: What is known of items.
            seed: Of the sample of users.

        Raises:
            DataError: Nothing is left to train on or to be predicted.
            ConfigError: The data lacks what the monitored metric needs.
        """


VALIDATIONS: Registry[Validation] = Registry("validation", ("scoring",))


@VALIDATIONS.register("none")
class NoValidation(Validation):
    """Trains on the whole train part."""

    def hold_out(self, train: Interactions, item_features: ItemFeatures | None, seed: int) -> HeldOut | None:
        """Nothing."""
        return None


class CutValidation(Validation):
    """Base of validations that cut rows from the train part.

    The held-out rows are filtered as a test part is: cold users, cold items and pairs that are left in train go.

    Args:
        n_users: So many sampled users are scored; None takes all.
        monitor: The metric that chooses the best epoch, with or without its cut-off.
        patience: Stop after so many epochs without improvement; None trains on.
        finish: Recommend with the `best` epoch's weights, with the `last` epoch's, or `refit` on train and validation for the best number
            of epochs.
        scoring: The run's metrics.
    """

    def __init__(
        self, *, n_users: PositiveInt | None, monitor: str, patience: PositiveInt | None, finish: Finish, scoring: Scoring
    ) -> None:
        self.n_users = n_users
        self.monitor = monitor
        self.patience = patience
        self.finish: Finish = finish
        self.scoring = scoring

    @abstractmethod
    def cut(self, train: pl.DataFrame, generator: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows to train on and rows held out, disjoint; what is in neither is left out of both."""

    def hold_out(self, train: Interactions, item_features: ItemFeatures | None, seed: int) -> HeldOut:
        """See `Validation.hold_out`."""
        rest, held_out = self.cut(train.frame, np.random.default_rng(seed))
        kept, dropped = FILTERS.apply(rest, held_out)
        lost = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in dropped.items())
        if kept.is_empty():
            raise DataError(
                f"validation holds out {held_out.height} of {len(train)} train rows, and none is left after the filters ({lost}); "
                f"hold out more, or use validation=none"
            )
        pairs = kept.select("user_id", "item_id").unique(maintain_order=True)
        log.info(
            "validation: %s of %s train rows held out, %s pairs of %s users to predict; dropped rows: %s",
            *(f"{n:,}" for n in (len(train) - rest.height, len(train), pairs.height, pairs["user_id"].n_unique())),
            lost,
        )
        monitored = self.scoring.metric(self.monitor)
        if (lack := monitored.lacks(item_features)) is not None:
            raise ConfigError(f"validation.monitor is {self.monitor!r}, but the data has no {lack}")
        return HeldOut(
            train=train.with_rows(rest),
            pairs=pairs,
            item_features=item_features,
            scoring=self.scoring.of_data(item_features),
            monitor=self.scoring.column(self.monitor),
            mode="max" if monitored.higher_is_better else "min",
            patience=self.patience,
            finish=self.finish,
        )


@VALIDATIONS.register("last_interaction")
class LastInteraction(CutValidation):
    """Holds out the last interaction of sampled users with two or more; all else stays in train.

    Other users' rows may be newer than a held-out one: no harm inside the train part, but validation figures are a little better than
    a fold's own.
    """

    def cut(self, train: pl.DataFrame, generator: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
        """See `CutValidation.cut`."""
        several = train.select("user_id").filter(pl.len().over("user_id") > 1).unique().sort("user_id")
        users = sample(several, self.n_users, generator)["user_id"]
        held = (from_the_end() == 1) & pl.col("user_id").is_in(users.implode())
        marked = train.with_columns(held=held)
        return marked.filter(~pl.col("held")).drop("held"), marked.filter("held").drop("held")


@VALIDATIONS.register("last_range")
class LastRange(CutValidation):
    """Holds out everything in the last range of time, cut as `splitter=time_range` cuts a fold.

    Rows of the range are never trained on, also those of users that are not sampled.

    Args:
        size: Length of the range, `<n>D` (days) or `<n>H` (hours).
        rest: See `CutValidation`.

    Raises:
        ConfigError: `size` is not of that form.
    """

    def __init__(self, *, size: str, **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type]
        self.size, self.unit = duration(size, "validation.size")

    def hold_out(self, train: Interactions, item_features: ItemFeatures | None, seed: int) -> HeldOut:
        """See `Validation.hold_out`."""
        train.require_times("validation=last_range", "validation=last_interaction")
        return super().hold_out(train, item_features, seed)

    def cut(self, train: pl.DataFrame, generator: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
        """See `CutValidation.cut`."""
        last = train["datetime"].max()
        assert isinstance(last, datetime)
        end = end_of_unit(last, self.unit)
        try:
            start = end - self.size
        except OverflowError:
            start = datetime.min
        rest, within = train.filter(pl.col("datetime") < start), train.filter(pl.col("datetime") >= start)
        if rest.is_empty():
            raise DataError(f"validation.size holds out [{start}, {end}), which leaves nothing of the train part to train on")
        users = sample(within.select("user_id").unique().sort("user_id"), self.n_users, generator)
        return rest, within.join(users, on="user_id", how="semi", maintain_order="left")


def sample(rows: pl.DataFrame, n: int | None, generator: np.random.Generator) -> pl.DataFrame:
    """`n` of the rows in their order; all where `n` is None or there are fewer."""
    if n is None or n >= rows.height:
        return rows
    return rows[np.sort(generator.choice(rows.height, n, replace=False))]
