"""EASE: a linear item-to-item model with a closed form."""

import numpy as np
import polars as pl
import psutil
import torch
from scipy import sparse

from recseq.data.interactions import Interactions, ItemFeatures
from recseq.data.sequences import Histories, SequenceStore
from recseq.data.vocabulary import Vocabulary
from recseq.errors import DataError
from recseq.models.base import MODELS, Recommender, Request
from recseq.models.item_scores import recommend_by_item_scores, user_item_matrix
from recseq.models.item_to_item import heaviest_items, known_items
from recseq.models.state import ModelState, require_tensors
from recseq.options import PositiveFloat
from recseq.training.context import FitContext

# Square float32 matrices that are alive at once while fitting.
SQUARE_MATRICES = 3


@MODELS.register("ease")
class EASE(Recommender):
    """Embarrassingly shallow autoencoder: scores are `X B` with the closed-form B that minimises the ridge loss with a zero diagonal.

    `G = X'X + regularization * I; P = G^-1; B = -P / diag(P), diag(B) = 0`. P comes from a Cholesky factorisation. Its vocabulary is the
    whole fold train. Memory grows with the square of the items: what it needs is estimated first.

    Args:
        regularization: Ridge penalty.
        weighted: X holds the sums of weights instead of the number of rows of each pair.
        transposed: Score with `X B'`, as RecTools 0.19 does, whose ranker takes the rows of B for item vectors. The paper's `X B` scores
            better on MovieTweetings; the published RecTools tables are reproduced with true.

    References:
        Steck, Embarrassingly Shallow Autoencoders for Sparse Data, 2019, arXiv:1905.03375.
    """

    def __init__(self, *, regularization: PositiveFloat, weighted: bool, transposed: bool) -> None:
        self.regularization = regularization
        self.transposed = transposed
        self.weighted = weighted
        self.vocabulary: Vocabulary
        self.weights: np.ndarray

    def fit(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> None:
        """Solve for B.

        Raises:
            DataError: The memory at hand is not enough; the message has the figures.
        """
        self.vocabulary = Vocabulary.from_items(train.frame["item_id"])
        n_items = self.vocabulary.n_items
        needed = SQUARE_MATRICES * 4 * n_items**2
        at_hand = psutil.virtual_memory().available
        if needed > at_hand:
            raise DataError(
                f"ease needs about {needed / 2**30:.1f} GiB for {n_items:,} items, {at_hand / 2**30:.1f} GiB are available; "
                f"use another model, for example model=item_knn"
            )
        store = SequenceStore.from_histories(Histories.from_frame(train.frame), self.vocabulary)
        matrix = user_item_matrix(store, self.weighted)
        gram = torch.from_numpy((matrix.T @ matrix).toarray())
        gram.diagonal().add_(self.regularization)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram, out=gram))
        solution = inverse.div_(-inverse.diagonal().clone())
        weights = solution.fill_diagonal_(0)
        self.weights = (weights.T.contiguous() if self.transposed else weights).numpy()

    def recommend(self, request: Request) -> pl.DataFrame:
        """See `Recommender.recommend`; users with at least one item of train in their history can be served."""

        def scores(histories: sparse.csr_array) -> np.ndarray:
            return histories @ self.weights

        return recommend_by_item_scores(request, self.vocabulary, self.weighted, scores)

    def similar(self, item_ids: pl.Series, k: int, filter_itself: bool = True) -> pl.DataFrame:
        """See `Recommender.similar`; by what a history of the item alone would score, so by its row of weights."""
        rows = self.weights[known_items(self.vocabulary, item_ids) - 1]
        return heaviest_items(self.vocabulary, rows, item_ids, k, filter_itself)

    def facts(self) -> dict[str, float]:
        """Size of the model."""
        return {"n_parameters": self.weights.size, "n_vocabulary": self.vocabulary.n_items}

    def state(self) -> ModelState:
        """The matrix B, (V, V): `weights`."""
        return ModelState(self.vocabulary, {"weights": torch.from_numpy(self.weights)}, facts=self.facts())

    def restore(self, state: ModelState, item_features: ItemFeatures | None) -> None:
        """See `Recommender.restore`."""
        n_items = state.vocabulary.n_items
        require_tensors(state.tensors, {"weights": (n_items, n_items)}, n_items)
        self.vocabulary = state.vocabulary
        self.weights = state.tensors["weights"].float().numpy()
