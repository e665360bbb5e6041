"""Cross-validation over time ranges."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl

from recseq.data.interactions import Interactions
from recseq.errors import ConfigError
from recseq.options import PositiveInt
from recseq.splitting.base import SPLITTERS, Splitter, TestFilters

UNITS = {"D": timedelta(days=1), "H": timedelta(hours=1)}


@SPLITTERS.register("time_range")
class TimeRange(Splitter):
    """Each fold tests one range of time and trains on everything before it (expanding window).

    Ranges follow each other and end with the unit that holds the last interaction: `end` is the last datetime rounded up to the
    unit, and one unit later where it lies exactly on the border. As RecTools' TimeRangeSplitter.

    No leak: nothing at or after a fold's start is in its train part.

    Args:
        test_size: Length of a range, `<n>D` (days) or `<n>H` (hours).
        n_splits: Number of folds.
        filter_cold_users: Drop test rows of users without a train row.
        filter_cold_items: Drop test rows of items without a train row.
        filter_already_seen: Drop test rows whose pair is in train.

    Raises:
        ConfigError: `test_size` is not of that form.
    """

    def __init__(
        self, *, test_size: str, n_splits: PositiveInt, filter_cold_users: bool, filter_cold_items: bool, filter_already_seen: bool
    ) -> None:
        super().__init__(TestFilters(cold_users=filter_cold_users, cold_items=filter_cold_items, already_seen=filter_already_seen))
        match = re.fullmatch(r"([1-9]\d*)([DH])", test_size)
        if match is None:
            raise ConfigError(f"splitter.test_size is {test_size!r}, must be a number of days or hours such as 7D or 12H")
        self.unit = UNITS[match[2]]
        try:
            self.test_size = int(match[1]) * self.unit
        except OverflowError:
            raise ConfigError(f"splitter.test_size is {test_size!r}, longer than any calendar") from None
        self.n_splits = n_splits

    def borders(self, last: datetime) -> list[datetime]:
        """Starts of all folds and the end of the last one.

        Args:
            last: Last datetime of the data.
        """
        midnight = datetime.combine(last.date(), datetime.min.time())
        end = midnight + ((last - midnight) // self.unit + 1) * self.unit  # on a border: one unit later
        try:
            return [end - n * self.test_size for n in range(self.n_splits, -1, -1)]
        except OverflowError:
            raise ConfigError("splitter.test_size times splitter.n_splits reaches back before the calendar begins") from None

    def ranges(self, interactions: Interactions) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, datetime, datetime]]:
        """See `Splitter.ranges`."""
        frame = interactions.frame
        last = frame["datetime"].max()
        assert isinstance(last, datetime)
        borders = self.borders(last)
        for start, end in pairwise(borders):
            time = pl.col("datetime")
            yield frame.filter(time < start), frame.filter(time.is_between(start, end, closed="left")), start, end
