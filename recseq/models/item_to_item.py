"""Item to item: nearest neighbours by the cosine of item vectors, or by the weights that a model has between items."""

import numpy as np
import polars as pl
import torch

from recseq.data.vocabulary import Vocabulary
from recseq.errors import DataError
from recseq.models.base import table, viewed_candidates
from recseq.ranking import stable_top_k, top_k


def known_items(vocabulary: Vocabulary, item_ids: pl.Series) -> np.ndarray:
    """Numbers of items, 1..V, int64.

    Raises:
        DataError: An item that is not in the vocabulary.
    """
    items = vocabulary.encode(item_ids)
    if items.null_count():
        unknown = item_ids.filter(items.is_null())
        raise DataError(f"{unknown.len()} of {item_ids.len()} items are not in the model's vocabulary, for example {unknown[0]!r}")
    return items.to_numpy().astype(np.int64)


def nearest_items(vocabulary: Vocabulary, vectors: torch.Tensor, item_ids: pl.Series, k: int, filter_itself: bool) -> pl.DataFrame:
    """Each item's k nearest.

    Args:
        vocabulary: The model's items.
        vectors: Their vectors in order, (V, D).
        item_ids: Distinct items to find neighbours of.
        k: Neighbours an item.
        filter_itself: Leave the item itself out.

    Returns:
        Columns `item_id`, `similar_item_id`, `score`, `rank`.

    Raises:
        DataError: An item that is not in the vocabulary.
    """
    rows = known_items(vocabulary, item_ids)
    unit = torch.nn.functional.normalize(vectors, dim=1)
    itself = None
    if filter_itself:
        catalogue = np.arange(1, vocabulary.n_items + 1)
        itself = viewed_candidates(rows, np.ones(len(rows), dtype=np.int64), catalogue, vocabulary.n_items, unit.device)
    places, scores = top_k(unit[torch.from_numpy(rows - 1).to(unit.device)], unit, k, itself)
    return _neighbours(vocabulary, item_ids, places, scores)


def heaviest_items(vocabulary: Vocabulary, weights: np.ndarray, item_ids: pl.Series, k: int, filter_itself: bool) -> pl.DataFrame:
    """Each item's k items of largest positive weight.

    Args:
        vocabulary: The model's items.
        weights: What each of the items says of every other, (n, V).
        item_ids: Distinct items, known to the model, (n,).
        k: Neighbours an item.
        filter_itself: Leave the item itself out; where the model gives it no weight of its own, it is left out anyway.

    Returns:
        Columns `item_id`, `similar_item_id`, `score`, `rank`.
    """
    scores = torch.from_numpy(np.where(weights > 0, weights, -np.inf).astype(np.float32))
    if filter_itself:
        scores[torch.arange(len(scores)), torch.from_numpy(known_items(vocabulary, item_ids) - 1)] = -torch.inf
    best, places = stable_top_k(scores, min(k, vocabulary.n_items))
    return _neighbours(vocabulary, item_ids, places, best)


def _neighbours(vocabulary: Vocabulary, item_ids: pl.Series, places: torch.Tensor, scores: torch.Tensor) -> pl.DataFrame:
    found = scores > -torch.inf
    similar_ids = vocabulary.decode(pl.Series(places[found].numpy() + 1))
    neighbours = table(item_ids, similar_ids, scores[found].numpy(), found.sum(1).numpy())
    return neighbours.rename({"user_id": "item_id", "item_id": "similar_item_id"})
