"""Trackers; importing this package registers them."""

from recseq.tracking import mlflow
from recseq.tracking.base import TRACKERS, NoTracker, Tracker, flatten, tracked

__all__ = ["TRACKERS", "NoTracker", "Tracker", "flatten", "mlflow", "tracked"]
