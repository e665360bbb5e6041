"""What splitters with several folds have in common."""

from collections.abc import Mapping
from typing import Any

from recseq.options import NonNegativeInt, PositiveInt
from recseq.splitting.base import Splitter, TestFilters


class MultiFoldSplitter(Splitter):
    """Base of splitters that cut `n_splits` folds and can keep the newest of them away.

    Tuning on `skip_last=1` and reporting on `skip_last=0` keeps the choice of options from the fold that is reported: folds have the
    same numbers and the same test rows with and without it.

    Args:
        n_splits: Number of folds that the data is cut into.
        skip_last: How many of them, the last ones, are left out; nothing of their test rows is in a fold that remains.
        filter_cold_users: Drop test rows of users without a train row.
        filter_cold_items: Drop test rows of items without a train row.
        filter_already_seen: Drop test rows whose pair is in train.
    """

    def __init__(
        self,
        *,
        n_splits: PositiveInt,
        skip_last: NonNegativeInt,
        filter_cold_users: bool,
        filter_cold_items: bool,
        filter_already_seen: bool,
    ) -> None:
        super().__init__(TestFilters(cold_users=filter_cold_users, cold_items=filter_cold_items, already_seen=filter_already_seen))
        self.n_splits = n_splits
        self.skip_last = skip_last

    @classmethod
    def conflicts(cls, options: Mapping[str, Any], where: str) -> list[str]:
        """Options that fit their types but not each other."""
        skipped, n_splits = options["skip_last"], options["n_splits"]
        if skipped < n_splits:
            return []
        return [f"{where}.skip_last is {skipped}, must be less than {where}.n_splits, which is {n_splits}, or no fold is left"]

    @property
    def n_folds(self) -> int:
        """Number of folds that are yielded."""
        return self.n_splits - self.skip_last
