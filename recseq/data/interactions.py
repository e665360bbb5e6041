"""Interactions and item features in their canonical form.

Everything downstream of a source sees only these tables; ids stay as the outside gave them (integers or strings).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

import polars as pl

from recseq.data.ordering import UserTime
from recseq.errors import DataError

ID_TYPES = (pl.Int64, pl.String)
DATETIME = pl.Datetime("us")
NO_TIMES = "no times, only each user's order"


@dataclass(frozen=True)
class Interactions:
    """Who took what, when and how much.

    Args:
        frame: Columns `user_id`, `item_id` (Int64 or String), `datetime` (naive UTC, microseconds), `weight` (Float32), no nulls.
            Row order is the input's: it breaks ties of time inside a user.
        clock: What `datetime` says. `time`: when it was. `steps`: the data has each user's order and no times, so a user's rows lie one
            second apart from 1970-01-01 on; nothing can be said of two users' rows (see `with_steps`).
    """

    frame: pl.DataFrame
    clock: Literal["time", "steps"] = "time"

    def __post_init__(self) -> None:
        wanted = {"user_id": ID_TYPES, "item_id": ID_TYPES, "datetime": (DATETIME,), "weight": (pl.Float32,)}
        check_columns(self.frame, wanted, "interactions")

    def __len__(self) -> int:
        return self.frame.height

    @classmethod
    def with_steps(cls, frame: pl.DataFrame) -> "Interactions":
        """Interactions of data without times: a user's rows, in their order, get the steps 0, 1, 2, ... as seconds.

        Args:
            frame: Columns `user_id`, `item_id`, `weight`; rows of one user are in the user's order, users may be mixed.
        """
        step = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id") * 1_000_000
        return cls(frame.select("user_id", "item_id", step.cast(DATETIME).alias("datetime"), "weight"), clock="steps")

    def with_rows(self, frame: pl.DataFrame) -> "Interactions":
        """Some of the rows, or changed ones, under the same clock."""
        return Interactions(frame, self.clock)

    def require_times(self, what: str, instead: str) -> None:
        """Refuse to treat steps as times.

        Args:
            what: The option that needs times: "splitter=time_range".
            instead: What to use instead: "splitter=last_n".

        Raises:
            DataError: The clock counts steps.
        """
        if self.clock == "steps":
            raise DataError(f"{what} needs times, but this data has only the order of each user's interactions: use {instead}")

    @property
    def span(self) -> str:
        """From when to when the data is, for people."""
        return NO_TIMES if self.range is None else f"{self.range[0]} to {self.range[1]}"

    @property
    def range(self) -> tuple[datetime, datetime] | None:
        """Earliest and latest time of a table with at least a row; None of steps."""
        if self.clock == "steps":
            return None
        first, last = self.frame.select(first=pl.col("datetime").min(), last=pl.col("datetime").max()).row(0)
        return first, last

    @cached_property
    def n_users(self) -> int:
        """Distinct users."""
        return self.frame["user_id"].n_unique()

    @cached_property
    def n_items(self) -> int:
        """Distinct items."""
        return self.frame["item_id"].n_unique()

    @cached_property
    def tied_rows(self) -> int:
        """Rows that share user and datetime with another row: their order, and so published results, hang on the input's order."""
        user_time = UserTime.of(self.frame) if len(self) else None
        keys = self.frame.select("user_id", "datetime") if user_time is None else user_time.key
        return int(keys.is_duplicated().sum())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all rows in their order, the identity of the data in provenance and run identity."""
        return fingerprint(self.frame)


@dataclass(frozen=True)
class ItemFeatures:
    """What is known of items besides who took them.

    Args:
        categorical: Long table `item_id`, `feature`, `value` (both String), no nulls, every row once. An item may have several
            values of one feature; an item without a row has none.
        numeric: The same for features that are numbers: `value` is Float64, finite.
    """

    categorical: pl.DataFrame
    numeric: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={"item_id": pl.Int64, "feature": pl.String, "value": pl.Float64})
    )

    def __post_init__(self) -> None:
        for table, kind in ((self.categorical, pl.String), (self.numeric, pl.Float64)):
            wanted = {"item_id": ID_TYPES, "feature": (pl.String,), "value": (kind,)}
            check_columns(table, wanted, "item features")

    @classmethod
    def from_long(cls, frame: pl.DataFrame, numeric: pl.DataFrame | None = None) -> "ItemFeatures":
        """Drop missing values and repeats of long tables, keeping first appearances in order.

        A missing value is no category (RecTools makes NaN one of its own).

        Args:
            frame: Categorical features: `item_id`, `feature`, `value`.
            numeric: Numeric features, the same columns; None for none.
        """
        long = frame.select("item_id", pl.col("feature").cast(pl.String), pl.col("value").cast(pl.String))
        categorical = long.drop_nulls().unique(maintain_order=True)
        if numeric is None:
            return cls(categorical)
        numbers = numeric.select("item_id", pl.col("feature").cast(pl.String), pl.col("value").cast(pl.Float64))
        return cls(categorical, numbers.drop_nulls().filter(pl.col("value").is_finite()).unique(maintain_order=True))

    def with_others(self, other: "ItemFeatures") -> "ItemFeatures":
        """These features, and of items that have none here those of another table.

        Raises:
            DataError: Item ids are integers on one side and texts on the other.
        """
        tables = []
        for ours, theirs in ((self.categorical, other.categorical), (self.numeric, other.numeric)):
            if ours.is_empty() or theirs.is_empty():
                tables.append(theirs if ours.is_empty() else ours)
                continue
            if ours.schema["item_id"] != theirs.schema["item_id"]:
                raise DataError(f"item ids with features are {ours.schema['item_id']} here and {theirs.schema['item_id']} there")
            tables.append(pl.concat([ours, theirs.join(ours, on="item_id", how="anti", maintain_order="left")]))
        return ItemFeatures(*tables)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all rows in their order."""
        return fingerprint(self.categorical) + fingerprint(self.numeric)

    @property
    def features(self) -> list[str]:
        """Names of the categorical features, sorted."""
        return sorted(self.categorical["feature"].unique())


@dataclass(frozen=True)
class Dataset:
    """What a source delivers.

    Args:
        name: Name for tables and tags.
        interactions: All interactions.
        item_features: None where the data has none.
        titles: Columns `item_id`, `title` for display, or None.
        users: What is known of users, for results by groups of them: `user_id`, once each, and a column a fact; None without.
        simulated: The data came out of a simulator; every report must say so.
        notes: Counts and warnings of reading, for the log and provenance.
        dropped: Rows that each step of preprocessing dropped, in the order of application.
    """

    name: str
    interactions: Interactions
    item_features: ItemFeatures | None = None
    titles: pl.DataFrame | None = None
    users: pl.DataFrame | None = None
    simulated: bool = False
    notes: tuple[str, ...] = ()
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name for people: says when the data is simulated."""
        return f"{self.name} (simulated)" if self.simulated else self.name


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 over names, types and values of a table without nulls; the same on every machine and polars version."""
    digest = hashlib.sha256()
    for column in frame.get_columns():
        digest.update(f"{column.name}:{column.dtype}:{column.len()};".encode())
        if column.dtype == pl.String:
            digest.update(column.str.len_bytes().to_numpy().tobytes())
            digest.update("".join(column).encode())
        else:
            digest.update(column.to_physical().to_numpy().tobytes())
    return digest.hexdigest()


def check_columns(frame: pl.DataFrame, wanted: Mapping[str, tuple[pl.DataType | type[pl.DataType], ...]], what: str) -> None:
    """Refuse a table that is not in canonical form.

    Raises:
        DataError: Columns, types or nulls are not as `wanted` says.
    """
    if frame.columns != list(wanted):
        raise DataError(f"{what} must have the columns {list(wanted)}, got {frame.columns}")
    for name, types in wanted.items():
        if frame.schema[name] not in types:
            raise DataError(f"column {name!r} of {what} has type {frame.schema[name]}, must be one of {[str(kind) for kind in types]}")
        if (nulls := frame[name].null_count()) > 0:
            raise DataError(f"column {name!r} of {what} has {nulls} missing values")
