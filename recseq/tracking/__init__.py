"""Trackers; importing this package registers them."""

from recseq.tracking import mlflow
from recseq.tracking.base import TRACKERS, Logged, NoTracker, Tracker, flatten, tracked

__all__ = ["TRACKERS", "Logged", "NoTracker", "Tracker", "flatten", "mlflow", "tracked"]
