"""One holdout: everything from a moment on."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import polars as pl

from recseq.data.interactions import Interactions
from recseq.errors import ConfigError
from recseq.options import Range
from recseq.splitting.base import SPLITTERS, Splitter, TestFilters, span_of


@SPLITTERS.register("global_timestamp")
class GlobalTimestamp(Splitter):
    """One fold: tests everything at or after a moment and trains on everything before it.

    The moment is a date, or the time of the row that has a share of all rows before it; rows at exactly that time are all in the test
    part. The test range ends a microsecond after the last interaction. There is one fold, so nothing can be kept away for tuning: tune
    on `time_range` with `skip_last`.

    No leak: nothing at or after the moment is in train. Finding it by `quantile` looks at the times of test rows, and at nothing else.

    Args:
        at: Date or datetime in ISO form (2021-08-01, 2021-08-01T12:00), UTC unless it has an offset of its own; None to go by quantile.
        quantile: Share of all rows that lies before the test part; None to go by date.
        filter_cold_users: Drop test rows of users without a train row.
        filter_cold_items: Drop test rows of items without a train row.
        filter_already_seen: Drop test rows whose pair is in train.

    Raises:
        ConfigError: `at` is no date.

    References:
        Meng, McCreadie, Macdonald, Ounis 2020, "Exploring Data Splitting Strategies for the Evaluation of Recommendation Models",
        arXiv:2007.13237 (there: temporal global).
    """

    cuts_by_time = True

    def __init__(
        self,
        *,
        at: str | None,
        quantile: Annotated[float, Range(above=0, below=1)] | None,
        filter_cold_users: bool,
        filter_cold_items: bool,
        filter_already_seen: bool,
    ) -> None:
        super().__init__(TestFilters(cold_users=filter_cold_users, cold_items=filter_cold_items, already_seen=filter_already_seen))
        self.at = None if at is None else moment(at, "splitter.at")
        self.quantile = quantile
        self.train_hint = "use a larger splitter.quantile" if self.at is None else "use a later splitter.at"
        self.test_hint = "use a smaller splitter.quantile" if self.at is None else "use an earlier splitter.at"

    @classmethod
    def conflicts(cls, options: Mapping[str, Any], where: str) -> list[str]:
        """Options that fit their types but not each other."""
        at, quantile = options["at"], options["quantile"]
        if at is None and quantile is None:
            return [
                f"{where}.at and {where}.quantile are both empty, one of them must be set: {where}.at=2021-08-01 or {where}.quantile=0.9"
            ]
        if at is not None and quantile is not None:
            return [
                f"{where}.at is {at!r} and {where}.quantile is {quantile:g}, only one of them can say where the test part begins; "
                f"set the other to null: {where}.quantile=null or {where}.at=null"
            ]
        try:
            if at is not None:
                moment(at, f"{where}.at")
        except ConfigError as error:
            return [str(error)]
        return []

    def ranges(self, interactions: Interactions) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, datetime, datetime]]:
        """See `Splitter.ranges`."""
        frame, time = interactions.frame, pl.col("datetime")
        start = self.at
        if start is None:
            assert self.quantile is not None
            times = frame["datetime"].sort()
            start = times[min(round(self.quantile * len(times)), len(times) - 1)]
        _, end = span_of(frame)
        yield frame.filter(time < start), frame.filter(time >= start), start, max(start, end)


def moment(text: str, where: str) -> datetime:
    """A date or datetime in ISO form as naive UTC.

    Raises:
        ConfigError: It is neither.
    """
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ConfigError(f"{where} is {text!r}, must be a date such as 2021-08-01 or a datetime such as 2021-08-01T12:00") from None
