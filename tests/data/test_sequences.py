from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import interactions

from recseq.data.sequences import Histories, SequenceStore
from recseq.data.vocabulary import Vocabulary


def test_rows_are_sorted_by_user_and_time_with_ties_in_input_order() -> None:
    rows = [("b", "x", 1), ("a", "y", 2), ("a", "z", 1), ("b", "w", 1), ("a", "q", 2), ("b", "v", 0)]
    histories = Histories.from_frame(interactions(rows).frame)
    assert histories.user_ids.to_list() == ["a", "b"]
    assert histories.lengths.tolist() == [3, 3]
    assert histories.rows["item_id"].to_list() == ["z", "y", "q", "v", "x", "w"]


def test_users_are_in_the_order_of_their_ids_whatever_came_before() -> None:
    """Text ids are sorted as texts: an order by appearance or by a process-wide cache would change results between processes."""
    pl.Series(["zz", "b", "a"]).cast(pl.Categorical)
    histories = Histories.from_frame(interactions([("b", 1, 0), ("zz", 1, 0), ("a", 1, 0)]).frame)
    assert histories.user_ids.to_list() == ["a", "b", "zz"]


def test_keep_counts_rows_before_it_truncates() -> None:
    rows = [(1, item, day) for day, item in enumerate([5, 6, 7, 8])] + [(2, 5, 0)] + [(3, 6, 0), (3, 5, 1)]
    kept = Histories.from_frame(interactions(rows).frame).keep(2, 3)
    assert kept.user_ids.to_list() == [1, 3]
    assert kept.lengths.tolist() == [3, 2]
    assert kept.rows["item_id"].to_list() == [6, 7, 8, 6, 5]


def test_vocabulary_of_truncated_rows_leaves_out_what_is_deeper() -> None:
    rows = [(1, item, day) for day, item in enumerate([5, 6, 7, 8])]
    kept = Histories.from_frame(interactions(rows).frame).keep(2, 3)
    assert Vocabulary.from_items(kept.rows["item_id"]).item_ids.to_list() == [6, 7, 8]


def test_store_leaves_out_unknown_items_and_users_without_known_ones() -> None:
    rows = [(1, 5, 0), (1, 9, 1), (1, 6, 2), (2, 9, 0), (3, 6, 0), (3, 6, 1)]
    store = SequenceStore.from_histories(Histories.from_frame(interactions(rows).frame), Vocabulary.from_items(pl.Series([5, 6])))
    assert store.user_ids.to_list() == [1, 3]
    assert store.items.tolist() == [1, 2, 2, 2]
    assert store.offsets.tolist() == [0, 2, 4]
    assert np.array_equal(store.lengths, [2, 2])


def test_tail_keeps_the_newest_rows() -> None:
    rows = [(1, item, day) for day, item in enumerate([5, 6, 7, 8])] + [(2, 5, 0)]
    histories = Histories.from_frame(interactions(rows).frame)
    store = SequenceStore.from_histories(histories, Vocabulary.from_items(histories.rows["item_id"])).tail(2)
    assert store.items.tolist() == [3, 4, 1]
    assert store.offsets.tolist() == [0, 2, 3]


def test_vocabulary_round_trip() -> None:
    vocabulary = Vocabulary.from_items(pl.Series(["b", "a", "b"]))
    assert vocabulary.encode(pl.Series(["b", "?", "a"])).to_list() == [2, None, 1]
    assert vocabulary.decode(pl.Series([2, 1])).to_list() == ["b", "a"]
    assert vocabulary.mask_item == 3


def naive(rows: list[tuple[Any, Any, datetime, float]]) -> dict[Any, list[tuple[Any, datetime, float]]]:
    """Histories in plain Python: users sorted, rows of each in the order of time, ties as they came."""
    found: dict[Any, list[tuple[Any, datetime, float]]] = {}
    for user, *rest in sorted(rows, key=lambda row: (row[0], row[2])):
        found.setdefault(user, []).append(tuple(rest))
    return found


@pytest.mark.parametrize("unit", [1_000_000, 1])
@pytest.mark.parametrize(
    "user_of",
    [lambda i: i, lambda i: i * 7 - 50, lambda i: (-1) ** i * (2**63 - 1 - i), lambda i: i * 10**17, lambda i: f"u{i}"],
    ids=["dense", "gaps", "whole range", "far apart", "texts"],
)
def test_every_way_of_sorting_gives_the_histories_of_a_plain_loop(user_of: Callable[[int], Any], unit: int) -> None:
    rng = np.random.default_rng(3)
    start = datetime(1999, 12, 31, 23, 59, 59, 17)
    rows = [
        (user_of(int(user)), int(item), start + timedelta(microseconds=int(time) * unit), float(item) / 2)
        for user, item, time in zip(rng.integers(0, 20, 400), rng.integers(0, 9, 400), rng.integers(0, 12, 400), strict=True)
    ]
    schema = {"user_id": None, "item_id": pl.Int64, "datetime": pl.Datetime("us"), "weight": pl.Float32}
    histories = Histories.from_frame(pl.DataFrame(rows, schema=schema, orient="row"))
    expected = naive(rows)
    assert histories.user_ids.to_list() == list(expected)
    assert histories.lengths.tolist() == [len(own) for own in expected.values()]
    assert histories.rows.rows() == [row for own in expected.values() for row in own]
    assert histories.rows.columns == ["item_id", "datetime", "weight"]


def test_times_too_fine_and_long_for_one_integer_are_sorted_all_the_same() -> None:
    times = [datetime(2199, 1, 1, microsecond=1), datetime(1900, 1, 1), datetime(2000, 1, 1)]
    users = [str(user) for user in range(3000)]
    rows = [(user, item, time, 1.0) for user in users for item, time in enumerate(times)]
    schema = {"user_id": pl.String, "item_id": pl.Int64, "datetime": pl.Datetime("us"), "weight": pl.Float32}
    histories = Histories.from_frame(pl.DataFrame(rows, schema=schema, orient="row"))
    assert histories.user_ids.to_list() == sorted(users)
    assert histories.rows["item_id"].to_list() == [1, 2, 0] * len(users)


def test_no_rows_no_histories() -> None:
    histories = Histories.from_frame(interactions([(1, 5, 0)]).frame.clear())
    assert (histories.user_ids.len(), histories.rows.height, len(histories.lengths)) == (0, 0, 0)
