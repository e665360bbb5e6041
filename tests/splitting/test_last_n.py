from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from conftest import interactions
from golden.split_cases import ties
from splitting.test_split_goldens import generated, rows_of

from recseq.errors import DataError
from recseq.splitting import from_the_end
from recseq.splitting.last_n import LastN

ROWS = [(1, "a", 3), (2, "x", 9), (1, "b", 1), (1, "c", 2), (2, "y", 0), (1, "d", 3), (3, "a", 5)]
#        1: newest but one  2: newest  1: oldest                     2: oldest    1: newest (tie, later row)


def splitter(n: int = 1, n_splits: int = 1, skip_last: int = 0, filters: bool = False) -> LastN:
    return LastN(
        n=n, n_splits=n_splits, skip_last=skip_last, filter_cold_users=filters, filter_cold_items=filters, filter_already_seen=filters
    )


def items(frame: pl.DataFrame) -> list[str]:
    return frame["item_id"].to_list()


def test_from_the_end_counts_from_the_newest_and_breaks_ties_by_row_order() -> None:
    frame = interactions(ROWS).frame
    assert frame.select(from_the_end()).to_series().to_list() == [2, 1, 4, 3, 2, 1, 1]


def test_from_the_end_equals_a_stable_sort() -> None:
    frame = generated(ties()).frame
    user, time = frame["user_id"].to_numpy(), frame["datetime"].to_numpy()
    expected = np.empty(len(user), dtype=np.int64)
    for one in np.unique(user):
        rows = np.flatnonzero(user == one)
        expected[rows[np.argsort(time[rows], kind="stable")]] = np.arange(len(rows), 0, -1)
    np.testing.assert_array_equal(frame.select(from_the_end()).to_series().to_numpy(), expected)
    strings = frame.with_columns(pl.format("u{}", "user_id").alias("user_id"))
    np.testing.assert_array_equal(strings.select(from_the_end()).to_series().to_numpy(), expected)


def test_leave_one_out() -> None:
    (fold,) = splitter().split(interactions(ROWS))
    assert items(fold.train.frame) == ["a", "b", "c", "y"]  # in the input's order
    assert items(fold.test.frame) == ["x", "d", "a"]
    assert fold.dropped == {}


def test_a_user_who_is_all_test_is_cold() -> None:
    (fold,) = splitter(filters=True).split(interactions([*ROWS, (4, "b", 0), (4, "b", 8), (6, "a", 0), (6, "c", 3)]))
    assert fold.test.frame.select("user_id", "item_id").rows() == [(6, "c")]
    assert fold.dropped == {"cold_users": 1, "cold_items": 2, "already_seen": 1}


def test_folds_run_from_old_to_new_and_drop_what_is_newer() -> None:
    rows = [(1, item, day) for day, item in enumerate("abcdef")] + [(2, "z", 0), (2, "y", 1), (2, "x", 2)]
    first, second = splitter(n=2, n_splits=2).split(interactions(rows))
    assert (items(first.train.frame), items(first.test.frame)) == (["a", "b"], ["c", "d", "z"])
    assert (items(second.train.frame), items(second.test.frame)) == (["a", "b", "c", "d", "z"], ["e", "f", "y", "x"])
    assert [first.index, second.index] == [0, 1]


def test_the_range_spans_the_unfiltered_test_rows_and_is_half_open() -> None:
    data = interactions([*ROWS, (5, "new", 40), (6, "a", 0), (6, "c", 10)])
    for filters in (False, True):
        (fold,) = splitter(filters=filters).split(data)
        assert fold.test_start == datetime(2024, 1, 4)
        assert fold.test_end == datetime(2024, 2, 10) + timedelta(microseconds=1)


def test_skip_last_leaves_the_newest_folds_out_and_changes_no_other() -> None:
    data = generated(ties())
    whole, some = list(splitter(2, 4).split(data)), list(splitter(2, 4, skip_last=1).split(data))
    assert [fold.index for fold in some] == [0, 1, 2]
    for ours, theirs in zip(some, whole[:3], strict=True):
        assert ours.train.frame.equals(theirs.train.frame)
        assert ours.test.frame.equals(theirs.test.frame)
    newest = set(rows_of(whole[-1].test))
    for fold in some:
        assert not newest & {*rows_of(fold.train), *rows_of(fold.test)}


@pytest.mark.parametrize(("n", "n_splits"), [(1, 1), (1, 4), (3, 2)])
def test_a_user_is_never_trained_on_after_a_test_row(n: int, n_splits: int) -> None:
    data = generated(ties())
    tested: list[int] = []
    for fold in splitter(n, n_splits).split(data):
        assert not set(rows_of(fold.train)) & set(rows_of(fold.test))
        newest = fold.train.frame.group_by("user_id").agg(newest=pl.col("datetime").max())
        per_user = fold.test.frame.group_by("user_id").agg(pl.len(), oldest=pl.col("datetime").min()).join(newest, on="user_id", how="left")
        assert (per_user["len"] <= n).all()
        assert (per_user["newest"] <= per_user["oldest"]).all()  # equal where the cut lies in a tie
        assert (per_user.filter(pl.col("newest").is_not_null())["len"] == n).all()
        tested += rows_of(fold.test).tolist()
    assert len(tested) == len(set(tested))


def test_an_empty_fold_is_an_error_without_a_word_on_time_ranges() -> None:
    data = interactions([(1, "a", 0), (2, "b", 9), (2, "c", 10)])
    with pytest.raises(DataError) as caught:
        list(splitter(n=2).split(data))
    assert str(caught.value) == (
        "fold 0 has no train rows; the data spans 2024-01-01 00:00:00 to 2024-01-11 00:00:00: "
        "no user has enough rows; use fewer splitter.n_splits or a smaller splitter.n"
    )
    with pytest.raises(DataError) as caught:
        list(splitter(filters=True).split(data))
    assert str(caught.value) == (
        "fold 0 has no test rows: 2 before the filters, dropped by them: cold_users 1, cold_items 1, already_seen 0; "
        "the data spans 2024-01-01 00:00:00 to 2024-01-11 00:00:00"
    )
