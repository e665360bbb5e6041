"""Splitters, one file each; importing this package registers them."""

from recseq.splitting import global_timestamp, last_n, random, time_range
from recseq.splitting.base import SPLITTERS, Fold, Splitter, TestFilters
from recseq.splitting.multi_fold import MultiFoldSplitter
from recseq.splitting.order import from_the_end

__all__ = [
    "SPLITTERS",
    "Fold",
    "MultiFoldSplitter",
    "Splitter",
    "TestFilters",
    "from_the_end",
    "global_timestamp",
    "last_n",
    "random",
    "time_range",
]
