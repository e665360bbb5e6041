"""Folds, and the filters that every splitter applies to a fold's test part."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import ClassVar

import polars as pl

from recseq.data.interactions import Interactions
from recseq.errors import DataError
from recseq.registry import Registry


@dataclass(frozen=True)
class Fold:
    """One train/test pair.

    Args:
        index: Number of the fold, from old to new, from 0.
        train: Everything that may be learnt from; never filtered.
        test: Rows to be predicted, after the filters.
        test_start: Begin of the test range, inclusive. Where a splitter cuts by something else than time: the earliest datetime of
            the test part, before the filters.
        test_end: End of the test range, exclusive; else a microsecond after the latest datetime of the test part, before the filters.
        dropped: Test rows that each filter dropped, in the order of application.
    """

    index: int
    train: Interactions
    test: Interactions
    test_start: datetime
    test_end: datetime
    dropped: dict[str, int]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Rows, users and items of both parts."""
        found: dict[str, int] = {}
        for name, part in (("train", self.train.frame), ("test", self.test.frame)):
            found |= {
                f"{name}_rows": part.height,
                f"{name}_users": part["user_id"].n_unique(),
                f"{name}_items": part["item_id"].n_unique(),
            }
        return found


@dataclass(frozen=True, kw_only=True)
class TestFilters:
    """Which rows leave the test part; all against the unfiltered train part, in this order.

    Args:
        cold_users: Users without a row in train.
        cold_items: Items without a row in train.
        already_seen: Pairs that are in train.
    """

    cold_users: bool
    cold_items: bool
    already_seen: bool

    def apply(self, train: pl.DataFrame, test: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
        """The test rows that stay, in their order, and the dropped rows of each filter that is on."""
        steps = (
            ("cold_users", self.cold_users, ["user_id"], "semi"),
            ("cold_items", self.cold_items, ["item_id"], "semi"),
            ("already_seen", self.already_seen, ["user_id", "item_id"], "anti"),
        )
        dropped = {}
        for name, on, keys, how in steps:
            if on:
                before = test.height
                # train is many times as long as test: looked through once, with a hash table of the test part's keys only
                known = train.select(keys).join(test.select(keys).unique(), on=keys, how="semi")
                test = test.join(known, on=keys, how=how, maintain_order="left")  # type: ignore[arg-type]
                dropped[name] = before - test.height
        return test, dropped


class Splitter(ABC):
    """Base of splitters.

    Args:
        filters: Filters of the test part.

    Attributes:
        leak: What of the future a model gets to see in training, as one sentence for a warning; None where nothing leaks.
        train_hint: What to change where a fold has no train rows, for the message; empty for no advice.
        test_hint: The same where a fold has no test rows.
        cuts_by_time: Whether it compares the times of different users, which data without times does not have.
    """

    leak: ClassVar[str | None] = None
    cuts_by_time: ClassVar[bool] = False
    train_hint: str = ""
    test_hint: str = ""

    def __init__(self, filters: TestFilters) -> None:
        self.filters = filters

    @abstractmethod
    def ranges(self, interactions: Interactions) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, datetime | None, datetime | None]]:
        """Train rows, unfiltered test rows, start and end of the test range, fold by fold from old to new.

        Rows keep the input's order, which breaks ties of time. Start and end are None where the test part is no range of time; the
        fold then spans its test rows.
        """

    def split(self, interactions: Interactions) -> Iterator[Fold]:
        """Yield the folds.

        Raises:
            DataError: The splitter cuts by time and the data has none; or a fold without train rows, or without test rows after the
                filters; never a table of NaN.
        """
        if self.cuts_by_time:
            name = next((name for name, part in SPLITTERS.items() if part is type(self)), type(self).__name__)
            interactions.require_times(f"splitter={name}", "splitter=last_n")
        span = f"the data spans {interactions.span}"
        for index, (train, test, start, end) in enumerate(self.ranges(interactions)):
            where = f"fold {index}" if start is None else f"fold {index}, test range [{start}, {end}),"
            if train.is_empty():
                raise DataError(f"{where} has no train rows; {span}{self.train_hint and f': {self.train_hint}'}")
            kept, dropped = self.filters.apply(train, test)
            if kept.is_empty():
                lost = ", ".join(f"{name} {count}" for name, count in dropped.items())
                raise DataError(
                    f"{where} has no test rows: {test.height} before the filters, dropped by them: {lost or 'none'}; "
                    f"{span}{self.test_hint and f': {self.test_hint}'}"
                )
            if start is None or end is None:
                start, end = span_of(test)
            yield Fold(index, interactions.with_rows(train), interactions.with_rows(kept), start, end, dropped)


def span_of(rows: pl.DataFrame) -> tuple[datetime, datetime]:
    """The half-open range of time that just holds some rows (at least one): their earliest datetime, a microsecond after their latest."""
    first, last = rows.select(first=pl.col("datetime").min(), last=pl.col("datetime").max()).row(0)
    return first, last + timedelta(microseconds=1)


SPLITTERS: Registry[Splitter] = Registry("splitter")
