"""A recommender whose quality, curve and crashes are config: quick trials for the tests of searches."""

import numpy as np
import polars as pl

from recseq.data.interactions import Interactions, ItemFeatures
from recseq.data.vocabulary import Vocabulary
from recseq.models import MODELS
from recseq.models.popular import Popular
from recseq.options import NonNegativeFloat, Probability
from recseq.training.trainer import FitContext


@MODELS.register("noisy")
class Noisy(Popular):
    """Popularity, drowned in noise; the worse its score will be, the worse the curve that it logs."""

    def __init__(self, *, noise: Probability, crash_above: NonNegativeFloat, n_epochs: int) -> None:
        super().__init__(by="users", period_days=None, inverse=False)
        self.noise = noise
        self.crash_above = crash_above
        self.n_epochs = n_epochs

    def fit(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> None:
        super().fit(train, item_features, context)
        if self.noise > self.crash_above:
            raise RuntimeError("exploded")
        for epoch in range(1, self.n_epochs + 1):
            context.log_epoch({"val_MAP@10": (1 - self.noise) * epoch}, epoch)
        drawn = np.random.default_rng(0).random(self.ranking.height)
        score = pl.col("score") / pl.col("score").max() * (1 - self.noise) + pl.Series(drawn) * self.noise
        self.ranking = self.ranking.with_columns(score).sort("score", descending=True, maintain_order=True)
        self.vocabulary = Vocabulary.from_items(self.ranking["item_id"])
