"""Cross-validation over time ranges."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl

from recseq.data.interactions import Interactions
from recseq.errors import ConfigError
from recseq.splitting.base import SPLITTERS
from recseq.splitting.multi_fold import MultiFoldSplitter

UNITS = {"D": timedelta(days=1), "H": timedelta(hours=1)}


@SPLITTERS.register("time_range")
class TimeRange(MultiFoldSplitter):
    """Each fold tests one range of time and trains on everything before it (expanding window).

    Ranges follow each other and end with the unit that holds the last interaction: `end` is the last datetime rounded up to the
    unit, and one unit later where it lies exactly on the border. As RecTools' TimeRangeSplitter.

    No leak: nothing at or after a fold's start is in its train part. With `skip_last` the newest ranges are in no part of any fold.

    Args:
        test_size: Length of a range, `<n>D` (days) or `<n>H` (hours).
        rest: See `MultiFoldSplitter`.

    Raises:
        ConfigError: `test_size` is not of that form.
    """

    cuts_by_time = True
    train_hint = "use fewer splitter.n_splits or a smaller splitter.test_size"

    def __init__(self, *, test_size: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.test_size, self.unit = duration(test_size, "splitter.test_size")

    def borders(self, last: datetime) -> list[datetime]:
        """Starts of all folds and the end of the last one, those of skipped folds too.

        Args:
            last: Last datetime of the data.
        """
        end = end_of_unit(last, self.unit)
        try:
            return [end - n * self.test_size for n in range(self.n_splits, -1, -1)]
        except OverflowError:
            raise ConfigError("splitter.test_size times splitter.n_splits reaches back before the calendar begins") from None

    def ranges(self, interactions: Interactions) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, datetime, datetime]]:
        """See `Splitter.ranges`."""
        frame, time = interactions.frame, pl.col("datetime")
        last = frame["datetime"].max()
        assert isinstance(last, datetime)
        for start, end in pairwise(self.borders(last)[: self.n_folds + 1]):
            yield frame.filter(time < start), frame.filter(time.is_between(start, end, closed="left")), start, end


def duration(text: str, where: str) -> tuple[timedelta, timedelta]:
    """A length of time such as 7D or 12H, and its unit.

    Args:
        text: `<n>D` (days) or `<n>H` (hours), n at least 1.
        where: Config path of the text, for messages.

    Raises:
        ConfigError: The text is not of that form.
    """
    match = re.fullmatch(r"([1-9]\d*)([DH])", text)
    if match is None:
        raise ConfigError(f"{where} is {text!r}, must be a number of days or hours such as 7D or 12H")
    unit = UNITS[match[2]]
    try:
        return int(match[1]) * unit, unit
    except OverflowError:
        raise ConfigError(f"{where} is {text!r}, longer than any calendar") from None


def end_of_unit(last: datetime, unit: timedelta) -> datetime:
    """The first border of a day or hour that lies after `last`; one unit later where `last` is a border itself."""
    midnight = datetime.combine(last.date(), datetime.min.time())
    return midnight + ((last - midnight) // unit + 1) * unit
