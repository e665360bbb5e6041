"""User and time of a row as one integer: sorts and compares more than twice as fast as the two columns."""

from dataclasses import dataclass

import polars as pl

SECOND = 1_000_000
"""In microseconds."""


@dataclass(frozen=True)
class UserTime:
    """User and time of each row as one integer, ordered by user id, then time.

    Args:
        key: `code of the user * span + units of time since the first`, Int64.
        span: Units of time from the first to the last, both included.
        unit: Microseconds; a second where that says it all.
        first_time: Microseconds from 1970.
        first_user: The id of code 0 where ids are codes plus it.
        distinct: The sorted distinct ids, which codes count; None where `first_user` says it all.
    """

    key: pl.Series
    span: int
    unit: int
    first_time: int
    first_user: int
    distinct: pl.Series | None

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "UserTime | None":
        """Encode columns `user_id` and `datetime` of a table with at least a row; None where it takes more than 63 bits."""
        time = frame["datetime"].to_physical()
        first_time = int(time.min())  # type: ignore[arg-type]
        time = time - first_time
        unit = SECOND if (time % SECOND).max() == 0 else 1
        span = int(time.max()) // unit + 1  # type: ignore[arg-type]
        user_ids = frame["user_id"]
        if user_ids.dtype == pl.Int64:  # the difference to the first one will do, gaps or not
            first, last = int(user_ids.min()), int(user_ids.max())  # type: ignore[arg-type]
            if (last - first + 1) * span < 2**63:
                return cls((user_ids - first) * span + time // unit, span, unit, first_time, first, None)
        codes, distinct = user_codes(user_ids)
        if distinct.len() * span >= 2**63:
            return None
        return cls(codes * span + time // unit, span, unit, first_time, 0, distinct)

    def user_ids(self, codes: pl.Series) -> pl.Series:
        """The ids of users' codes."""
        return (codes + self.first_user if self.distinct is None else self.distinct.gather(codes)).alias("user_id")

    @property
    def datetime(self) -> pl.Expr:
        """The time of a column `key`."""
        return ((pl.col("key") % self.span) * self.unit + self.first_time).cast(pl.Datetime("us")).alias("datetime")


def user_codes(user_ids: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The place of each row's user among the sorted distinct ids, Int64, and those ids."""
    distinct = user_ids.unique().sort()
    table = pl.DataFrame([distinct, pl.int_range(distinct.len(), eager=True).alias("user")])
    codes = pl.DataFrame([user_ids]).join(table, on=distinct.name, how="left", maintain_order="left")["user"]
    return codes, distinct
