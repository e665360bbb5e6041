"""Evaluations as small as the examples in docstrings."""

from collections.abc import Mapping, Sequence

import polars as pl

from recseq.data.interactions import ItemFeatures
from recseq.metrics.catalogue import Catalogue
from recseq.metrics.evaluation import Evaluation


def example(
    lists: Mapping[str, Sequence[str]],
    test: Mapping[str, Sequence[str]],
    train: Mapping[str, Sequence[str]],
    reference: Mapping[str, Sequence[str]] | None = None,
    genres: Mapping[str, Sequence[str]] | None = None,
) -> Evaluation:
    """An evaluation of lists written as letters: `{"u": "ab"}` recommends item a and then item b to user u.

    Args:
        lists: Recommended items of each user, best first.
        test: Test items of each user.
        train: Items of each user's train rows.
        reference: Lists of the reference model `popular`.
        genres: Values of each item's feature `genre`.

    >>> example(lists={"u": "ab"}, test={"u": "b"}, train={"t": "abb"}).hit
    array([[False,  True]])
    """
    features = None
    if genres is not None:
        pairs = [(item, "genre", value) for item, values in genres.items() for value in values]
        features = ItemFeatures.from_long(pl.DataFrame(pairs, schema=["item_id", "feature", "value"], orient="row"))
    references = {} if reference is None else {"popular": _table(reference)}
    return Evaluation.of(_table(lists), _table(test), Catalogue.from_train(_table(train), features), references)


def _table(lists: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    rows = [(user, item, rank) for user, items in lists.items() for rank, item in enumerate(items, 1)]
    return pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String, "rank": pl.Int64}, orient="row")
