"""Which way is up: whether a column of `metrics.csv` is better high or low."""

from recseq.metrics import METRICS


def lower_is_better(column: str) -> bool:
    """Whether a low value is good: seconds, and metrics that say so.

    Args:
        column: `MAP@10`, `Intersection@10_popular` or `fit_seconds`.
    """
    label = column.partition("@")[0]
    return column.endswith("_seconds") or any(metric.label == label and not metric.higher_is_better for _, metric in METRICS.items())
