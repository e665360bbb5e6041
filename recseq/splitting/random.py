"""Interactions drawn at random, whoever took them and when."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import numpy as np
import polars as pl

from recseq.data.interactions import Interactions
from recseq.options import Range
from recseq.splitting.base import SPLITTERS
from recseq.splitting.multi_fold import MultiFoldSplitter


@SPLITTERS.register("random")
class Random(MultiFoldSplitter):
    """Each fold tests a random share of all interactions and trains on the rest.

    Test parts of the folds are disjoint, as in k-fold cross-validation and as RecTools' RandomSplitter: `test_share=0.2 n_splits=5`
    tests every row once. Rows are drawn by their number, so the split is the same for the same rows in the same order (the identity of
    data in provenance) on every machine and library version. The seed belongs to the splitter: it is not the run's `seed`, so runs
    with several seeds are scored on the same rows.

    Leaks: train holds rows that are later than a test row, of other users and of the same user. A sequential model is asked for what a
    user took *between* items that it knows; figures say nothing about predicting the future. For comparison with papers that split so.

    `skip_last` keeps the rows of the last parts out of train as well: random folds have no age, and what is kept away for a final figure
    must not be learnt from while tuning. Folds that remain test the same rows as without it, and train on fewer.

    Args:
        test_share: Share of all rows that one fold tests.
        seed: Seed of the draw.
        rest: See `MultiFoldSplitter`.
    """

    leak = (
        "train holds rows that are later than a test row, of other users and of the same user, so the model sees the future; "
        "splitter=time_range does not leak"
    )
    train_hint = "use a smaller splitter.test_share"
    test_hint = "use a larger splitter.test_share"

    def __init__(
        self, *, test_share: Annotated[float, Range(above=0, below=1)], seed: Annotated[int, Range(at_least=0, below=2**63)], **rest: Any
    ) -> None:
        super().__init__(**rest)
        self.test_share = test_share
        self.seed = seed

    @classmethod
    def conflicts(cls, options: Mapping[str, Any], where: str) -> list[str]:
        """Options that fit their types but not each other."""
        share, n_splits = options["test_share"], options["n_splits"]
        found = super().conflicts(options, where)
        if share * n_splits > 1 + 1e-9:
            found.append(
                f"{where}.test_share is {share:g}, but {where}.n_splits={n_splits} disjoint test parts of it are more than all rows; "
                f"use {where}.test_share={1 / n_splits:.4g} or less"
            )
        return found

    def ranges(self, interactions: Interactions) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, None, None]]:
        """See `Splitter.ranges`."""
        frame = interactions.frame
        # raw bits: numpy promises this stream for all versions, and not that of a Generator's methods
        drawn = np.argsort(np.random.PCG64(self.seed).random_raw(frame.height), kind="stable")
        borders = [min(round(part * self.test_share * frame.height), frame.height) for part in range(self.n_splits + 1)]
        parts = np.full(frame.height, self.n_splits)  # rows of no part have a number behind the last
        for part in range(self.n_splits):
            parts[drawn[borders[part] : borders[part + 1]]] = part
        part_of_row = pl.Series(parts)
        kept_away = part_of_row.is_between(self.n_folds, self.n_splits - 1)
        for fold in range(self.n_folds):
            tested = part_of_row == fold
            yield frame.filter(~(tested | kept_away)), frame.filter(tested), None, None
