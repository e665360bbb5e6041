"""Splitters, one file each; importing this package registers them."""

from recseq.splitting import time_range
from recseq.splitting.base import SPLITTERS, Fold, Splitter, TestFilters

__all__ = ["SPLITTERS", "Fold", "Splitter", "TestFilters", "time_range"]
