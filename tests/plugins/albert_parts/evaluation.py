"""A metric and a splitter."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from recseq.data.interactions import Interactions
from recseq.metrics import METRICS, Evaluation, Metric
from recseq.metrics.catalogue import Floats
from recseq.splitting import SPLITTERS, Splitter, TestFilters


@METRICS.register("FirstHitRank")
class FirstHitRank(Metric):
    """Rank of a user's first hit, over users with a hit."""

    label = "FirstHitRank"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        hit = evaluation.hit[:, :k]
        ranks = np.where(hit, np.arange(1, hit.shape[1] + 1), np.inf).min(axis=1, initial=np.inf)
        return np.where(np.isfinite(ranks), ranks, np.nan)


@SPLITTERS.register("weekends")
class Weekends(Splitter):
    """One fold: tests the last Saturday and Sunday."""

    def __init__(self, *, filter_cold_users: bool, filter_cold_items: bool, filter_already_seen: bool) -> None:
        super().__init__(TestFilters(cold_users=filter_cold_users, cold_items=filter_cold_items, already_seen=filter_already_seen))

    def ranges(self, interactions: Interactions) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, datetime, datetime]]:
        frame, time = interactions.frame, pl.col("datetime")
        last = frame.filter(time.dt.weekday() >= 6)["datetime"].dt.date().max()
        start = datetime.combine(last, datetime.min.time()) - timedelta(days=last.weekday() - 5)
        end = start + timedelta(days=2)
        yield frame.filter(time < start), frame.filter(time.is_between(start, end, closed="left")), start, end
