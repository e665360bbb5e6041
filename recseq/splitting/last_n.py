"""The last interactions of every user: leave-one-out and its longer relatives."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from recseq.data.interactions import Interactions
from recseq.options import PositiveInt
from recseq.splitting.base import SPLITTERS
from recseq.splitting.multi_fold import MultiFoldSplitter
from recseq.splitting.order import from_the_end


@SPLITTERS.register("last_n")
class LastN(MultiFoldSplitter):
    """Each fold tests `n` interactions of every user and trains on the user's older ones; n=1 is leave-one-out.

    Order inside a user is by datetime, ties by row order. Folds run from old to new: fold i first drops each user's last
    (n_splits - 1 - i) * n rows, tests the next n and trains on what is older. A user with fewer rows left has all of them in the test
    part and none in train, so the filter of cold users drops them. As RecTools' LastNSplitter.

    Leaks: a user's own future is never in train, but users end at different times, so train holds rows of other users that are later
    than a test row: what becomes popular, and what is taken together, is known ahead. Figures are not those of a model in use
    (Ji et al. 2023); compare with `time_range`.

    `skip_last` drops the newest rows of each user altogether: they are in neither part of the folds that remain.

    Args:
        n: Test rows a user and fold.
        rest: See `MultiFoldSplitter`.

    References:
        Ji, Sun, Zhang, Li 2023, "A Critical Study on Data Leakage in Recommender System Offline Evaluation", arXiv:2010.11060;
        Meng, McCreadie, Macdonald, Ounis 2020, "Exploring Data Splitting Strategies for the Evaluation of Recommendation Models",
        arXiv:2007.13237.
    """

    leak = (
        "users end at different times, so train holds rows of other users that are later than a test row, and the model sees what "
        "became popular; splitter=time_range does not leak"
    )
    train_hint = "no user has enough rows; use fewer splitter.n_splits or a smaller splitter.n"

    def __init__(self, *, n: PositiveInt, **rest: Any) -> None:
        super().__init__(**rest)
        self.n = n

    def ranges(self, interactions: Interactions) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, None, None]]:
        """See `Splitter.ranges`."""
        frame = interactions.frame
        place = frame.select(from_the_end()).to_series()
        for fold in range(self.n_folds):
            newer = (self.n_splits - 1 - fold) * self.n
            yield frame.filter(place > newer + self.n), frame.filter(place.is_between(newer + 1, newer + self.n)), None, None
