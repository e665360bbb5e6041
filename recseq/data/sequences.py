"""Users' histories as compressed sparse rows: one array of items end to end, one of offsets.

Nothing here is done per user: polars sorts, numpy and torch index.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from recseq.data.ordering import UserTime, user_codes
from recseq.data.vocabulary import Vocabulary


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
        user_time = UserTime.of(frame)
        if user_time is None:
            codes, distinct = user_codes(frame["user_id"])
            rows = frame.select("item_id", "datetime", "weight", user=codes).sort("user", "datetime", maintain_order=True)
            runs = rows["user"].rle()
            user_ids = distinct.gather(runs.struct.field("value"))
        else:
            rows = frame.select("item_id", "weight", key=user_time.key)  # neither user nor time: the key gives them back
            user_time = replace(user_time, key=user_time.key.clear())  # on large data each copy counts
            rows = rows.sort("key", maintain_order=True).with_columns(user_time.datetime)
            runs = (rows["key"] // user_time.span).rle()
            user_ids = user_time.user_ids(runs.struct.field("value"))
        rows = rows.select("item_id", "datetime", "weight")
        return cls(user_ids, rows, runs.struct.field("len").to_numpy().astype(np.int64))

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
