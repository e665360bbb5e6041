"""What happens to interactions before they are split: an ordered list of steps, each of which drops rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recseq.data.interactions import Dataset
from recseq.errors import DataError
from recseq.options import NonNegativeFloat, NonNegativeInt, PositiveInt, Range

Step = Callable[[pl.DataFrame], pl.DataFrame]
Share = Annotated[float, Range(above=0, below=1)]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The `preprocessing` group; its steps run in the order of these options, each on what the one before left.

    Rows keep the input's order, which breaks ties of time. What a later step drops is not made good by an earlier one: a sample of
    users may leave items with fewer rows than `k_core_items`.

    Args:
        start: Rows before this date or time are dropped. ISO 8601; a zone is converted to UTC, none is UTC.
        end: Rows at or after it are dropped.
        min_rating: Rows of smaller weight are dropped.
        max_rating: Rows of greater weight are dropped.
        binarize: Every row that is left then weighs 1. Drops nothing.
        deduplicate: Of a user's rows with the same item only the `first` or the `last` in time stays.
        drop_consecutive: A row is dropped whose item is that of the same user's row before it.
        k_core: What the next two are unless they are set.
        k_core_users: Users with fewer rows are dropped,
        k_core_items: and items with fewer rows, in turns until neither is left. Rows count, not distinct items or users.
        sample_users: Users drawn at random; a whole number, or a share of them below 1.
        sample_seed: Seed of the draw.
    """

    start: str | None
    end: str | None
    min_rating: NonNegativeFloat | None
    max_rating: NonNegativeFloat | None
    binarize: bool
    deduplicate: Literal["first", "last"] | None
    drop_consecutive: bool
    k_core: PositiveInt | None
    k_core_users: PositiveInt | None
    k_core_items: PositiveInt | None
    sample_users: PositiveInt | Share | None
    sample_seed: NonNegativeInt

    @property
    def is_off(self) -> bool:
        """Whether nothing is done."""
        return not list(self.steps())

    def steps(self) -> Iterator[tuple[str, Step]]:
        """Name, with its settings, of each step that is on and the function that takes a frame and returns what stays of it."""
        if self.start is not None or self.end is not None:
            start, end = parse_time(self.start), parse_time(self.end)
            yield f"time window [{start or '...'}, {end or '...'})", lambda frame: in_window(frame, start, end)
        if self.min_rating is not None or self.max_rating is not None:
            name = f"rating {number(self.min_rating)} to {number(self.max_rating)}"
            yield name, lambda frame: in_ratings(frame, self.min_rating, self.max_rating)
        if self.binarize:
            yield "binarize", lambda frame: frame.with_columns(weight=pl.lit(1.0, pl.Float32))
        if (keep := self.deduplicate) is not None:
            yield f"deduplicate, {keep} stays", lambda frame: distinct_pairs(frame, keep)
        if self.drop_consecutive:
            yield "consecutive repeats", without_consecutive
        if self.k_core_users is not None or self.k_core_items is not None:
            users, items = self.k_core_users or 1, self.k_core_items or 1
            yield f"k-core, users {users} items {items}", lambda frame: k_core(frame, users, items)
        if (sample := self.sample_users) is not None:
            yield f"sample of users, {sample:g}", lambda frame: users_sampled(frame, sample, self.sample_seed)

    def apply(self, dataset: Dataset) -> Dataset:
        """The dataset with the rows that all steps leave, and with what each dropped.

        Features and titles of items that lost all rows stay.

        Raises:
            DataError: A step leaves nothing, or ratings or times are asked for where there are none.
        """
        if self.start is not None or self.end is not None:
            name = "start" if self.start is not None else "end"
            dataset.interactions.require_times(f"preprocessing.{name}", "the other steps of preprocessing")
        frame, dropped = dataset.interactions.frame, dict(dataset.dropped)
        for name, step in self.steps():
            before = frame.height
            frame = step(frame)
            dropped[name] = before - frame.height
            if frame.is_empty():
                raise DataError(f"preprocessing, step {name!r} leaves no rows of the {before:,} before it")
        return replace(dataset, interactions=dataset.interactions.with_rows(frame), dropped=dropped)


def check_preprocessing(options: Preprocessing) -> list[str]:
    """Problems of options that fit their types but no calendar, or not each other; each with its config path."""
    problems = []
    times: dict[str, datetime | None] = {}
    for name in ("start", "end"):
        try:
            times[name] = parse_time(getattr(options, name))
        except ValueError:
            problems.append(f"preprocessing.{name} is {getattr(options, name)!r}, must be an ISO date or time like 2024-01-31")
    start, end = times.get("start"), times.get("end")
    if start is not None and end is not None and start >= end:
        problems.append(f"preprocessing.start is {options.start!r}, must be before preprocessing.end, which is {options.end!r}")
    if options.min_rating is not None and options.max_rating is not None and options.min_rating > options.max_rating:
        problems.append(f"preprocessing.min_rating is {options.min_rating!r}, must be <= max_rating, which is {options.max_rating!r}")
    return problems


def parse_time(text: str | None) -> datetime | None:
    """An ISO date or time as naive UTC.

    Raises:
        ValueError: It is none.
    """
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def number(value: float | None) -> str:
    """A bound for people."""
    return "..." if value is None else f"{value:g}"


def in_window(frame: pl.DataFrame, start: datetime | None, end: datetime | None) -> pl.DataFrame:
    """Rows at or after `start` and before `end`."""
    time = pl.col("datetime")
    if start is not None:
        frame = frame.filter(time >= start)
    return frame if end is None else frame.filter(time < end)


def in_ratings(frame: pl.DataFrame, least: float | None, most: float | None) -> pl.DataFrame:
    """Rows whose weight, a rating, lies between two bounds, both inclusive.

    Raises:
        DataError: All weights are 1, so that they are no ratings.
    """
    lowest, highest = frame["weight"].min(), frame["weight"].max()
    if lowest == highest == 1:
        raise DataError(
            "preprocessing.min_rating and max_rating look at weights, but every weight is 1; take the ratings as weights "
            "(dataset.weight=rating, or dataset.columns.weight=<column> of tabular); preprocessing.binarize=true then weighs rows 1"
        )
    weight = pl.col("weight")  # float32: bounds are compared as such, so that 0.1 is 0.1
    if least is not None:
        frame = frame.filter(weight >= pl.lit(least, pl.Float32))
    return frame if most is None else frame.filter(weight <= pl.lit(most, pl.Float32))


def distinct_pairs(frame: pl.DataFrame, keep: Literal["first", "last"]) -> pl.DataFrame:
    """One row a user and item: the first or last in time, of rows of the same time the first or last in order."""
    rows = frame.select("user_id", "item_id", "datetime").with_row_index("row")
    if not frame["datetime"].is_sorted():
        rows = rows.sort("datetime", maintain_order=True)
    kept = rows.unique(["user_id", "item_id"], keep=keep, maintain_order=True)["row"]
    return frame[kept.sort()]


def without_consecutive(frame: pl.DataFrame) -> pl.DataFrame:
    """Without rows that repeat the item of the row before in their user's history; of a run the first stays."""
    rows = frame.select("user_id", "item_id", "datetime").with_row_index("row").sort("user_id", "datetime", maintain_order=True)
    repeats = (pl.col("user_id") == pl.col("user_id").shift()) & (pl.col("item_id") == pl.col("item_id").shift())
    return frame[rows.filter(~repeats.fill_null(False))["row"].sort()]


def k_core(frame: pl.DataFrame, users: int, items: int) -> pl.DataFrame:
    """The largest part of the rows in which each user has at least `users` rows and each item at least `items`.

    Seidman (1983), "Network structure and minimum degree", Social Networks 5(3), here of the bipartite graph of users and items, repeated
    rows being edges of their own. It is unique, so the order of removals does not matter.
    """
    sides = [(dense_codes(frame[name]), least) for name, least in (("user_id", users), ("item_id", items))]
    kept = np.arange(frame.height)
    while True:
        good = np.ones(len(kept), dtype=bool)
        for codes, least in sides:
            if least > 1:
                good &= (np.bincount(codes) >= least)[codes]
        if good.all():
            return frame[kept]
        kept = kept[good]
        sides = [(codes[good], least) for codes, least in sides]


def dense_codes(ids: pl.Series) -> NDArray[np.uint32]:
    """Integers from 0, one a distinct id, in no particular order."""
    table = pl.DataFrame([ids.unique()]).with_row_index("code")
    return pl.DataFrame([ids]).join(table, on=ids.name, how="left", maintain_order="left")["code"].to_numpy()


def users_sampled(frame: pl.DataFrame, sample: float, seed: int) -> pl.DataFrame:
    """Rows of users drawn at random without replacement; of all users where there are no more.

    Args:
        frame: Interactions.
        sample: A number of users, or a share below 1, at least one user.
        seed: Of the draw; which users are drawn hangs on it and on the set of ids, not on the order of rows.
    """
    users = frame["user_id"].unique().sort()
    n = max(1, round(sample * users.len())) if sample < 1 else int(sample)
    if n >= users.len():
        return frame
    drawn = np.random.default_rng(seed).choice(users.len(), size=n, replace=False)
    return frame.filter(pl.col("user_id").is_in(users.gather(np.sort(drawn)).implode()))
