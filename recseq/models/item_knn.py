"""Item-based nearest neighbours."""

import numpy as np
import polars as pl
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
from recseq.options import NonNegativeFloat, PositiveInt
from recseq.training.context import FitContext

# Items whose similarities are dense at one time.
BLOCK_ITEMS = 1024


@MODELS.register("item_knn")
class ItemKNN(Recommender):
    """Scores an item by its similarity to the items of the user's history: a cheap and often strong baseline.

    Similarity is the cosine of the items' columns of the user-item matrix, shrunk where few users support it:
    `s_ij = x_i . x_j / (|x_i| |x_j| + shrinkage)`. Each item keeps its nearest `neighbours`. Its vocabulary is the whole fold train.

    Args:
        neighbours: Similar items that each item keeps.
        shrinkage: Added to the denominator.

    References:
        Sarwar et al., Item-based Collaborative Filtering Recommendation Algorithms, 2001 (WWW); for its strength: Ferrari Dacrema et al.,
        2019, arXiv:1907.06902.
    """

    def __init__(self, *, neighbours: PositiveInt, shrinkage: NonNegativeFloat) -> None:
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.vocabulary: Vocabulary
        self.similarity: sparse.csr_array

    def fit(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> None:
        """Find each item's neighbours, a block of items at a time."""
        self.vocabulary = Vocabulary.from_items(train.frame["item_id"])
        store = SequenceStore.from_histories(Histories.from_frame(train.frame), self.vocabulary)
        matrix = user_item_matrix(store, weighted=False)
        matrix.data[:] = 1.0  # a pair counts once
        by_item = sparse.csc_array(matrix)
        norms = np.sqrt(by_item.sum(0))
        blocks = []
        for first in range(0, self.vocabulary.n_items, BLOCK_ITEMS):
            part = slice(first, min(first + BLOCK_ITEMS, self.vocabulary.n_items))
            common = (by_item[:, part].T @ matrix).toarray()  # (block, V): users who took both
            scaled = common / (norms[part, None] * norms[None, :] + self.shrinkage)
            scaled[np.arange(len(scaled)), np.arange(part.start, part.stop)] = 0
            blocks.append(keep_largest(scaled.astype(np.float32), self.neighbours))
        self.similarity = sparse.csr_array(sparse.vstack(blocks).T)  # (item of the history, item to recommend)

    def recommend(self, request: Request) -> pl.DataFrame:
        """See `Recommender.recommend`; users with at least one item of train in their history can be served."""

        def scores(histories: sparse.csr_array) -> np.ndarray:
            taken = histories.copy()
            taken.data[:] = 1.0
            dense: np.ndarray = (taken @ self.similarity).toarray()
            return dense

        return recommend_by_item_scores(request, self.vocabulary, False, scores)

    def similar(self, item_ids: pl.Series, k: int, filter_itself: bool = True) -> pl.DataFrame:
        """See `Recommender.similar`; by the shrunk cosine, among the neighbours that are kept."""
        columns = self.similarity[:, known_items(self.vocabulary, item_ids) - 1]
        return heaviest_items(self.vocabulary, columns.toarray().T, item_ids, k, filter_itself)

    def facts(self) -> dict[str, float]:
        """Size of the model."""
        return {"n_parameters": self.similarity.nnz, "n_vocabulary": self.vocabulary.n_items}

    def state(self) -> ModelState:
        """The similarities as compressed sparse rows, (V, V): `data`, `indices`, `indptr`."""
        parts = {name: torch.from_numpy(getattr(self.similarity, name)) for name in ("data", "indices", "indptr")}
        return ModelState(self.vocabulary, parts, facts=self.facts())

    def restore(self, state: ModelState, item_features: ItemFeatures | None) -> None:
        """See `Recommender.restore`."""
        n_items = state.vocabulary.n_items
        require_tensors(state.tensors, {"data": (None,), "indices": (None,), "indptr": (n_items + 1,)}, n_items)
        self.vocabulary = state.vocabulary
        parts = tuple(state.tensors[name].numpy() for name in ("data", "indices", "indptr"))
        try:
            self.similarity = sparse.csr_array(parts, shape=(n_items, n_items))
            self.similarity.check_format(full_check=True)
        except ValueError as error:
            raise DataError(f"the tensors data, indices and indptr are no matrix of {n_items} items: {error}") from None


def keep_largest(rows: np.ndarray, n: int) -> sparse.csr_array:
    """Each row's n largest positive values."""
    n = min(n, rows.shape[1])
    columns = np.argpartition(-rows, n - 1, axis=1)[:, :n]
    values = np.take_along_axis(rows, columns, axis=1)
    owner = np.repeat(np.arange(len(rows)), n)
    kept = sparse.csr_array((values.ravel(), (owner, columns.ravel())), shape=rows.shape)
    kept.eliminate_zeros()
    return kept
