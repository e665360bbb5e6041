"""Users' histories as compressed sparse rows: one array of items end to end, one of offsets.

Nothing here is done per user: polars sorts, numpy and torch index.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from recseq.data.interactions import DATETIME
from recseq.data.vocabulary import Vocabulary

SECOND = 1_000_000
"""In the unit of `DATETIME`."""


@dataclass(frozen=True)
class UserCodes:
    """Users as integers from 0 in the order of their ids, so that sorts compare integers, not texts.

    Args:
        codes: Code of each row's user, Int64; not every code need have a user.
        n_codes: Codes are below it.
        first: The id of code 0 where ids are codes plus it.
        distinct: The sorted distinct ids, which codes count; None where `first` says it all.
    """

    codes: pl.Series
    n_codes: int
    first: int
    distinct: pl.Series | None

    @classmethod
    def of(cls, user_ids: pl.Series, below: int) -> "UserCodes":
        """Integer ids minus the first one where that stays below a bound, else places among the sorted distinct ids."""
        if user_ids.dtype == pl.Int64:
            first, last = int(user_ids.min()), int(user_ids.max())  # type: ignore[arg-type]
            if last - first < below:
                return cls(user_ids - first, last - first + 1, first, None)
        distinct = user_ids.unique().sort()
        table = pl.DataFrame([distinct, pl.int_range(distinct.len(), eager=True).alias("user")])
        codes = pl.DataFrame([user_ids]).join(table, on=distinct.name, how="left", maintain_order="left")["user"]
        return cls(codes, distinct.len(), 0, distinct)

    def decode(self, codes: pl.Series) -> pl.Series:
        """The ids of codes."""
        return (codes + self.first if self.distinct is None else self.distinct.gather(codes)).alias("user_id")


@dataclass(frozen=True)
class Histories:
    """Rows sorted by user and time, users as runs; ids of the outside, not yet a vocabulary's.

    Args:
        user_ids: Distinct user ids, sorted, (U,).
        rows: Columns `item_id`, `datetime`, `weight` of all users end to end, (R,).
        lengths: Rows of each user, (U,).
    """

    user_ids: pl.Series
    rows: pl.DataFrame
    lengths: NDArray[np.int64]

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> "Histories":
        """Sort interactions by user, then time; ties keep the input's order.

        Args:
            frame: Columns `user_id`, `item_id`, `datetime`, `weight`.
        """
        if frame.is_empty():
            return cls(frame["user_id"], frame.select("item_id", "datetime", "weight"), np.zeros(0, dtype=np.int64))
        time = frame["datetime"].to_physical()
        first = time.min()
        time = time - first
        unit = SECOND if (time % SECOND).max() == 0 else 1
        span = int(time.max()) // unit + 1  # type: ignore[arg-type]
        users = UserCodes.of(frame["user_id"], below=2**63 // span)
        if users.n_codes * span < 2**63:
            # one integer sorts more than twice as fast as two columns, and gives user and time back: neither is carried along
            rows = frame.select("item_id", "weight", key=users.codes * span + time // unit)
            del time
            users = replace(users, codes=pl.Series(dtype=pl.Int64))
            rows = rows.sort("key", maintain_order=True)
            runs = (rows["key"] // span).rle()
            rows = rows.select("item_id", ((pl.col("key") % span) * unit + first).cast(DATETIME).alias("datetime"), "weight")
        else:
            rows = frame.select("item_id", "datetime", "weight", user=users.codes).sort("user", "datetime", maintain_order=True)
            runs = rows["user"].rle()
            rows = rows.drop("user")
        return cls(users.decode(runs.struct.field("value")), rows, runs.struct.field("len").to_numpy().astype(np.int64))

    def keep(self, min_rows: int, last: int | None) -> "Histories":
        """Drop users with fewer than `min_rows` rows, then keep the `last` rows of each of the others (None: all)."""
        users = self.lengths >= min_rows
        kept = self.lengths if last is None else np.minimum(self.lengths, last)
        from_end = np.repeat(np.cumsum(self.lengths), self.lengths) - np.arange(self.rows.height)
        rows = np.repeat(users, self.lengths) & (from_end <= np.repeat(kept, self.lengths))
        return Histories(self.user_ids.filter(pl.Series(users)), self.rows.filter(pl.Series(rows)), kept[users])

    def of_users(self, user_ids: pl.Series) -> "Histories":
        """The histories of some of the users, in their order here."""
        users = self.user_ids.is_in(user_ids.implode()).to_numpy()
        rows = self.rows.filter(pl.Series(np.repeat(users, self.lengths)))
        return Histories(self.user_ids.filter(pl.Series(users)), rows, self.lengths[users])


@dataclass(frozen=True)
class SequenceStore:
    """Encoded histories on one device, as they are fed to a model.

    Args:
        user_ids: (U,), the outside's ids.
        items: Items end to end, (R,) int32.
        offsets: User u owns `items[offsets[u]:offsets[u + 1]]`, (U + 1,) int64.
        weights: (R,) float32.
        seconds: Unix seconds of each row, (R,) int64.
        lengths: Rows of each user on the host, (U,): batches are planned with them without asking the device.
        n_items: Real items of the vocabulary, V; MASK is item V + 1.
    """

    user_ids: pl.Series
    items: torch.Tensor
    offsets: torch.Tensor
    weights: torch.Tensor
    seconds: torch.Tensor
    lengths: NDArray[np.int64]
    n_items: int

    @classmethod
    def from_histories(cls, histories: Histories, vocabulary: Vocabulary) -> "SequenceStore":
        """Encode histories; rows of unknown items are left out, and users without a known item with them."""
        item = vocabulary.encode(histories.rows["item_id"])
        rows = histories.rows.with_columns(item=item)
        user_ids, lengths = histories.user_ids, histories.lengths
        if item.null_count():
            known = item.is_not_null()
            user = np.repeat(np.arange(len(lengths)), lengths)
            lengths = np.bincount(user[known.to_numpy()], minlength=len(lengths))
            rows = rows.filter(known)
            user_ids, lengths = user_ids.filter(pl.Series(lengths > 0)), lengths[lengths > 0]
        return cls(
            user_ids=user_ids,
            items=torch.from_numpy(rows["item"].to_numpy().copy()),
            offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])),
            weights=torch.from_numpy(rows["weight"].to_numpy().copy()),
            seconds=torch.from_numpy(rows["datetime"].dt.epoch("s").to_numpy().copy()),
            lengths=lengths,
            n_items=vocabulary.n_items,
        )

    @property
    def n_users(self) -> int:
        """Number of sequences, U."""
        return len(self.lengths)

    def tail(self, last: int) -> "SequenceStore":
        """The same users with at most their `last` newest rows."""
        lengths = np.minimum(self.lengths, last)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        ends = np.cumsum(self.lengths)
        source = torch.from_numpy(np.arange(offsets[-1]) + np.repeat(ends - offsets[1:], lengths))
        return replace(
            self,
            items=self.items[source],
            offsets=torch.from_numpy(offsets),
            weights=self.weights[source],
            seconds=self.seconds[source],
            lengths=lengths,
        )

    def to(self, device: torch.device) -> "SequenceStore":
        """The same store with its arrays on `device`."""
        arrays: dict[str, Any] = {name: getattr(self, name).to(device) for name in ("items", "offsets", "weights", "seconds")}
        return replace(self, **arrays)
