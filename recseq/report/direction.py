"""Which way is up: whether a column of `metrics.csv` is better high or low."""

from recseq.metrics import METRICS

# Popular and unevenly spread recommendations are what a recommender could do without. A reference model is a baseline: as good with less
# of the baseline's lists is more of one's own.
LOWER_IS_BETTER = frozenset({"AvgRecPopularity", "Gini", "Intersection"})


def lower_is_better(column: str) -> bool:
    """Whether a low value is good; a metric of a user's own says so with a class attribute `lower_is_better = True`.

    Args:
        column: `MAP@10`, `Intersection@10_popular` or `fit_seconds`.
    """
    label = column.partition("@")[0]
    told = any(metric.label == label and getattr(metric, "lower_is_better", False) for _, metric in METRICS.items())
    return told or label in LOWER_IS_BETTER or column.endswith("_seconds")
