"""What a metric is, and how all of them are computed."""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from recseq.data.interactions import ItemFeatures
from recseq.errors import ConfigError
from recseq.metrics.catalogue import Floats
from recseq.metrics.evaluation import Evaluation
from recseq.registry import Registry

log = logging.getLogger(__name__)


class AnyMetric(ABC):
    """What both kinds of metrics have: `Metric`, a mean over users, and `AggregateMetric`, a number of all lists together.

    Attributes:
        label: Column name without cut-off: `HitRate`.
        higher_is_better: Direction, for early stopping, best checkpoints, leaderboards and pictures.
    """

    label: ClassVar[str]
    higher_is_better: ClassVar[bool] = True

    def column_names(self, k: int, references: Sequence[str]) -> list[str]:
        """Names of the columns that the metric may give, known before anything is fitted.

        Letters, digits and `_-. /@` only: trackers allow no others.

        Args:
            k: Cut-off.
            references: Names of the reference models.
        """
        return [f"{self.label}@{k}"]

    def lacks(self, item_features: ItemFeatures | None) -> str | None:
        """What the data lacks that the metric needs, and without which it is left out; None when it lacks nothing.

        Raises:
            ConfigError: An option names a feature that the data does not have.
        """
        return None


class Metric(AnyMetric):
    """Base of metrics that are the mean of a value per user over the users that it is defined for."""

    @abstractmethod
    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Values of all users, (U_all,); NaN where the metric is not defined for a user."""

    def columns(self, evaluation: Evaluation, k: int) -> dict[str, Floats]:
        """Values per user by column name, `HitRate@10`; a metric against reference models has one column a model."""
        return {f"{self.label}@{k}": self.per_user(evaluation, k)}


class AggregateMetric(AnyMetric):
    """Base of metrics of all lists together, such as the share of the catalogue that is recommended; they have no value per user."""

    @abstractmethod
    def value(self, evaluation: Evaluation, k: int) -> float:
        """The number."""

    def values(self, evaluation: Evaluation, k: int) -> dict[str, float]:
        """Numbers by column name."""
        return {f"{self.label}@{k}": self.value(evaluation, k)}


METRICS: Registry[AnyMetric] = Registry("metric", ("ref_k",))


@dataclass(frozen=True)
class Scores:
    """All metrics of one model on one fold.

    Args:
        per_user: Column `user_id` and one a per-user metric and cut-off, null where it is not defined for a user; one row a user.
        means: Every metric by column name: the mean over the users that it is defined for (0 where for none), or the aggregate.
    """

    per_user: pl.DataFrame
    means: dict[str, float]


def score(metrics: Sequence[AnyMetric], evaluation: Evaluation, cutoffs: Sequence[int]) -> Scores:
    """Compute metrics at all cut-offs, in their order."""
    columns: dict[str, Floats] = {}
    means: dict[str, float] = {}
    for metric in metrics:
        for k in cutoffs:
            if isinstance(metric, AggregateMetric):
                means |= metric.values(evaluation, k)
            elif isinstance(metric, Metric):
                found = metric.columns(evaluation, k)
                columns |= found
                means |= {name: _mean(values) for name, values in found.items()}
    return Scores(pl.DataFrame({"user_id": evaluation.user_ids, **columns}, nan_to_null=True), means)


def _mean(values: Floats) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else 0.0


def build_metrics(
    include: Mapping[str, Mapping[str, Any]], ref_k: int | None, item_features: ItemFeatures | None, objective: str
) -> list[AnyMetric]:
    """Build the metrics that the data has everything for; say which are left out.

    Args:
        include: Options of each metric by name, checked.
        ref_k: Cut-off of reference models.
        item_features: What is known of items.
        objective: Column, or its beginning, that the run returns: its metric may not be left out.

    Raises:
        ConfigError: An option names a feature that the data does not have, or the objective is left out.
    """
    metrics = []
    for name, options in include.items():
        metric = METRICS.build({"type": name, **options}, ref_k=ref_k)
        lack = metric.lacks(item_features)
        if lack is None:
            metrics.append(metric)
        elif re.split("[@_]", objective)[0] == metric.label:
            raise ConfigError(f"metrics.objective is {objective!r}, but the data has no {lack}")
        else:
            log.info("Metric %s is left out: the data has no %s", name, lack)
    return metrics
