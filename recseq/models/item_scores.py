"""What models share that score items from the set of a user's items: the user-item matrix and ranking by blocks of users."""

from collections.abc import Callable

import numpy as np
import polars as pl
import torch
from scipy import sparse

from recseq.data.sequences import SequenceStore
from recseq.data.vocabulary import Vocabulary
from recseq.models.base import Request, report_unsupported, table, viewed_candidates
from recseq.ranking import MAX_CELLS, stable_top_k


def user_item_matrix(store: SequenceStore, weighted: bool) -> sparse.csr_array:
    """Users x items, float32; repeated rows of a pair are summed.

    Args:
        store: Histories of U users.
        weighted: Sum weights instead of counting rows.

    Returns:
        (U, V), column j is item j + 1.
    """
    values = store.weights.numpy() if weighted else np.ones(len(store.items), dtype=np.float32)
    matrix = sparse.csr_array((values, store.items.numpy() - 1, store.offsets.numpy()), shape=(store.n_users, store.n_items))
    matrix.sum_duplicates()
    return matrix


def recommend_by_item_scores(
    request: Request, vocabulary: Vocabulary, weighted: bool, scores: Callable[[sparse.csr_array], np.ndarray]
) -> pl.DataFrame:
    """Rank by scores that are computed for a block of users at a time.

    Args:
        request: Who is to be served.
        vocabulary: Items of the model.
        weighted: As in `user_item_matrix`.
        scores: From histories (B, V) to dense scores (B, V).

    Returns:
        See `Recommender.recommend`.
    """
    store = SequenceStore.from_histories(request.histories(), vocabulary)
    n_unsupported = request.user_ids.n_unique() - store.n_users
    report_unsupported(n_unsupported, request, "no item of the train part in their history")
    candidates = request.candidates(vocabulary)
    k = min(request.k, len(candidates))
    viewed = viewed_candidates(store.items.numpy(), store.lengths, candidates, vocabulary.n_items, torch.device("cpu"))
    matrix = user_item_matrix(store, weighted)
    places = torch.empty((store.n_users, k), dtype=torch.int64)
    best = torch.empty((store.n_users, k))
    batch_size = max(1, MAX_CELLS // vocabulary.n_items)
    for first in range(0, store.n_users, batch_size):
        rows = slice(first, min(first + batch_size, store.n_users))
        block = torch.from_numpy(np.ascontiguousarray(scores(matrix[rows])[:, candidates - 1], dtype=np.float32))
        if request.filter_viewed:
            viewed.mask(block, first)
        best[rows], places[rows] = stable_top_k(block, k)
    found = best > -torch.inf
    item_ids = vocabulary.decode(pl.Series(candidates[places[found].numpy()]))
    return table(store.user_ids, item_ids, best[found].numpy(), found.sum(1).numpy())
