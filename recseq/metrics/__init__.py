"""Metrics, after the table of their definitions; importing this package registers them."""

from recseq.metrics import accuracy, beyond_accuracy
from recseq.metrics.base import METRICS, Catalogue, Evaluation, Metric, means, values_per_user

__all__ = ["METRICS", "Catalogue", "Evaluation", "Metric", "accuracy", "beyond_accuracy", "means", "values_per_user"]
