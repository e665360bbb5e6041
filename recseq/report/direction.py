"""Which way is up: whether a column of `metrics.csv` is better high or low."""

from recseq.metrics import METRICS


def lower_is_better(column: str) -> bool:
    """Whether a low value is good: of seconds always, of a metric as its class says; of an unknown metric not.

    Args:
        column: `MAP@10`, `Intersection@10_popular` or `fit_seconds`.
    """
    if column.endswith("_seconds"):
        return True
    label = column.partition("@")[0]
    return any(metric.label == label and metric.lower_is_better for _, metric in METRICS.items())
