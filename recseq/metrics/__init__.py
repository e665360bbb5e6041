"""Metrics, after the table of their definitions; importing this package registers them."""

from recseq.metrics import accuracy, bands, beyond_accuracy, diversity, exposure
from recseq.metrics.base import (
    METRICS,
    AggregateMetric,
    AnyMetric,
    Metric,
    MultiColumnMetric,
    Scores,
    build_metrics,
    column_of,
    make_metrics,
    score,
)
from recseq.metrics.catalogue import Catalogue
from recseq.metrics.evaluation import Evaluation
from recseq.metrics.scoring import Scoring

__all__ = [
    "METRICS",
    "AggregateMetric",
    "AnyMetric",
    "Catalogue",
    "Evaluation",
    "Metric",
    "MultiColumnMetric",
    "Scores",
    "Scoring",
    "accuracy",
    "bands",
    "beyond_accuracy",
    "build_metrics",
    "column_of",
    "diversity",
    "exposure",
    "make_metrics",
    "score",
]
