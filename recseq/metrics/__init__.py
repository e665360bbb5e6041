"""Metrics, after the table of their definitions; importing this package registers them."""

from recseq.metrics import accuracy, bands, beyond_accuracy, diversity, exposure
from recseq.metrics.base import METRICS, AggregateMetric, AnyMetric, Metric, Scores, build_metrics, score
from recseq.metrics.catalogue import Catalogue
from recseq.metrics.evaluation import Evaluation

__all__ = [
    "METRICS",
    "AggregateMetric",
    "AnyMetric",
    "Catalogue",
    "Evaluation",
    "Metric",
    "Scores",
    "accuracy",
    "bands",
    "beyond_accuracy",
    "build_metrics",
    "diversity",
    "exposure",
    "score",
]
