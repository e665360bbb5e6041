"""The most popular items for everyone."""

import math
from datetime import timedelta
from typing import Annotated, Literal

import numpy as np
import polars as pl
import torch

from recseq.data.interactions import Interactions, ItemFeatures
from recseq.data.sequences import SequenceStore
from recseq.data.vocabulary import Vocabulary
from recseq.errors import DataError
from recseq.models.base import MODELS, Recommender, Request, table, viewed_candidates
from recseq.models.state import ModelState, require_tensors
from recseq.options import Range
from recseq.ranking import top_k
from recseq.training.context import FitContext

SCORES = {
    "users": pl.col("user_id").n_unique(),
    "rows": pl.len(),
    "weight_mean": pl.col("weight").mean(),
    "weight_sum": pl.col("weight").sum(),
}


@MODELS.register("popular")
class Popular(Recommender):
    """Items in the order of their popularity, ties by first appearance.

    Its vocabulary is the whole fold train (of the period).

    Args:
        by: What popularity is: distinct users, rows, or mean or sum of weights.
        period_days: Only rows at or after the last datetime minus so many days; None takes all.
        inverse: Least popular first.
    """

    def __init__(
        self,
        *,
        by: Literal["users", "rows", "weight_mean", "weight_sum"],
        period_days: Annotated[float, Range(above=0, at_most=36500)] | None,
        inverse: bool,
    ) -> None:
        self.by = by
        self.period_days = period_days
        self.inverse = inverse
        self.ranking: pl.DataFrame
        self.vocabulary: Vocabulary

    def fit(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> None:
        """Count."""
        rows = train.frame
        if self.period_days is not None:
            train.require_times("model.period_days", "model.period_days=null")
            rows = rows.filter(pl.col("datetime") >= pl.col("datetime").max() - timedelta(days=self.period_days))
        scores = rows.group_by("item_id", maintain_order=True).agg(score=SCORES[self.by].cast(pl.Float64))
        self.ranking = scores.sort("score", descending=not self.inverse, maintain_order=True)
        self.vocabulary = Vocabulary.from_items(self.ranking["item_id"])

    def recommend(self, request: Request) -> pl.DataFrame:
        """See `Recommender.recommend`; every user can be served."""
        ranking = self.ranking
        if request.items_to_recommend is not None:
            ranking = ranking.filter(pl.col("item_id").is_in(request.items_to_recommend.unique().implode()))
            if ranking.is_empty():
                raise DataError(f"none of the {request.items_to_recommend.len()} items to recommend is in the model's vocabulary")
        user_ids = request.user_ids.unique().sort()
        if not request.filter_viewed:
            places = np.tile(np.arange(min(request.k, ranking.height)), user_ids.len())
            counts = np.full(user_ids.len(), min(request.k, ranking.height))
        else:
            places, counts = self._unseen_places(request, user_ids, ranking)
        return table(user_ids, ranking["item_id"].gather(places), ranking["score"].to_numpy()[places], counts)

    def state(self) -> ModelState:
        """The ranking: `items` in its order, and their `scores`."""
        items = self.vocabulary.encode(self.ranking["item_id"]).to_numpy().astype(np.int32)
        scores = self.ranking["score"].to_numpy().astype(np.float64)
        return ModelState(self.vocabulary, {"items": torch.from_numpy(items), "scores": torch.from_numpy(scores)}, facts=self.facts())

    def restore(self, state: ModelState, item_features: ItemFeatures | None) -> None:
        """See `Recommender.restore`."""
        n_items = state.vocabulary.n_items
        require_tensors(state.tensors, {"items": (n_items,), "scores": (n_items,)}, n_items)
        items = state.tensors["items"].long()
        if not torch.equal(items.sort().values, torch.arange(1, n_items + 1)):
            raise DataError("the tensor items is not a ranking of the vocabulary's items")
        self.vocabulary = state.vocabulary
        item_ids = self.vocabulary.decode(pl.Series(items.numpy()))
        self.ranking = pl.DataFrame([item_ids, pl.Series("score", state.tensors["scores"].double().numpy())])

    def _unseen_places(self, request: Request, user_ids: pl.Series, ranking: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Places in the ranking of each user's first k unseen items, end to end, and how many each user has."""
        store = SequenceStore.from_histories(request.histories(), self.vocabulary)
        lengths = np.zeros(user_ids.len(), dtype=np.int64)
        lengths[user_ids.search_sorted(store.user_ids).to_numpy()] = store.lengths
        ranked = self.vocabulary.encode(ranking["item_id"]).to_numpy().astype(np.int64)
        place_of_item = np.full(self.vocabulary.n_items + 1, -1)
        place_of_item[ranked] = np.arange(len(ranked))
        seen = place_of_item[store.items.numpy()]
        user = np.repeat(np.arange(len(lengths)), lengths)
        user, seen = user[seen >= 0], seen[seen >= 0]
        k = min(request.k, len(ranked))
        best = np.full((len(lengths), k), -1)
        # most users find k unseen items near the top; only those that do not look further down
        open_users, pool = np.arange(len(lengths)), k
        while len(open_users):
            pool = min(pool * 4, len(ranked))
            row = np.full(len(lengths), -1)
            row[open_users] = np.arange(len(open_users))
            near = (seen < pool) & (row[user] >= 0)
            counts = np.bincount(row[user[near]], minlength=len(open_users))
            viewed = viewed_candidates(seen[near] + 1, counts, np.arange(1, pool + 1), pool, torch.device("cpu"))
            found, scores = top_k(torch.ones(len(open_users), 1), -torch.arange(pool, dtype=torch.float32)[:, None], k, viewed)
            found[scores == -math.inf] = -1
            best[open_users, : found.shape[1]] = found.numpy()
            open_users = open_users[(found < 0).any(1).numpy()] if pool < len(ranked) else open_users[:0]
        return best[best >= 0], (best >= 0).sum(1)
