"""Which metrics at which cut-offs a run computes."""

from collections.abc import Sequence
from dataclasses import dataclass

from recseq.data.interactions import ItemFeatures
from recseq.metrics.base import AnyMetric, column_of


@dataclass(frozen=True)
class Scoring:
    """The run's metrics with their cut-offs, whatever data they need.

    Args:
        metrics: Built metrics.
        cutoffs: Cut-offs, increasing.
    """

    metrics: list[AnyMetric]
    cutoffs: list[int]

    def column(self, name: str) -> str:
        """See `column_of`."""
        return column_of(name, self.cutoffs)

    def metric(self, name: str) -> AnyMetric:
        """The metric of a column that may be named without its cut-off."""
        column = self.column(name)
        return next(metric for metric in self.metrics if any(column in metric.column_names(k, []) for k in self.cutoffs))

    def directions(self, references: Sequence[str]) -> dict[str, bool]:
        """Every column that there may be, and whether more of it is better.

        Args:
            references: Names of the reference models.
        """
        return {
            column: metric.higher_is_better
            for metric in self.metrics
            for k in self.cutoffs
            for column in metric.column_names(k, references)
        }

    def of_data(self, item_features: ItemFeatures | None) -> "Scoring":
        """The metrics that the data has everything for."""
        return Scoring([metric for metric in self.metrics if metric.lacks(item_features) is None], self.cutoffs)
