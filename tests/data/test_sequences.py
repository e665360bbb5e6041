import numpy as np
import polars as pl
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
