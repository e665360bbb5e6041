from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from conftest import interactions
from golden.split_cases import ties
from splitting.test_split_goldens import generated, rows_of

from recseq.data.interactions import Interactions
from recseq.data.sources import SOURCES
from recseq.errors import ConfigError, DataError
from recseq.splitting.time_range import TimeRange


def splitter(
    test_size: str, n_splits: int = 1, cold_users: bool = True, cold_items: bool = True, seen: bool = True, skip_last: int = 0
) -> TimeRange:
    return TimeRange(
        test_size=test_size,
        n_splits=n_splits,
        skip_last=skip_last,
        filter_cold_users=cold_users,
        filter_cold_items=cold_items,
        filter_already_seen=seen,
    )


def test_last_fold_holds_the_unit_of_the_last_interaction() -> None:
    assert splitter("7D").borders(datetime(2021, 8, 22)) == [datetime(2021, 8, 16), datetime(2021, 8, 23)]
    assert splitter("1D").borders(datetime(2021, 9, 6, 1, 25)) == [datetime(2021, 9, 6), datetime(2021, 9, 7)]
    assert splitter("2H", 2).borders(datetime(2021, 9, 6, 1, 25)) == [datetime(2021, 9, 5, h) for h in (22,)] + [
        datetime(2021, 9, 6),
        datetime(2021, 9, 6, 2),
    ]
    assert splitter("1H").borders(datetime(2021, 9, 6, 2)) == [datetime(2021, 9, 6, 2), datetime(2021, 9, 6, 3)]


def test_folds_are_half_open_expanding_and_follow_each_other() -> None:
    data = interactions([(1, day % 3, day) for day in range(10)])
    folds = list(splitter("2D", 3, False, False, False).split(data))
    assert [fold.index for fold in folds] == [0, 1, 2]
    for fold, start in zip(folds, (4, 6, 8), strict=True):
        assert fold.test_start == datetime(2024, 1, 1) + timedelta(days=start)
        assert fold.test_end - fold.test_start == timedelta(days=2)
        assert fold.train.frame.height == start
        assert fold.test.frame["datetime"].dt.day().to_list() == [start + 1, start + 2]
        assert fold.dropped == {}


def test_filters_apply_in_order_against_the_unfiltered_train_part() -> None:
    train = [(1, "a", 0), (1, "b", 0), (2, "a", 1), (3, "c", 1)]
    test = [(1, "a", 5), (1, "c", 5), (2, "z", 5), (9, "a", 5), (9, "z", 5), (2, "b", 5), (2, "b", 6)]
    (fold,) = splitter("2D").split(interactions(train + test))
    assert fold.test.frame.select("user_id", "item_id").rows() == [(1, "c"), (2, "b"), (2, "b")]
    assert fold.dropped == {"cold_users": 2, "cold_items": 1, "already_seen": 1}
    (unfiltered,) = splitter("2D", cold_users=False, cold_items=False, seen=False).split(interactions(train + test))
    assert unfiltered.test.frame.height == 7
    assert fold.train.frame.height == 4


def test_an_empty_fold_is_an_error_that_names_it_and_the_span() -> None:
    data = interactions([(1, "a", 0), (2, "b", 9)])
    with pytest.raises(DataError, match=r"fold 0, test range \[2024-01-10.*cold_users 1.*2024-01-01 00:00:00 to 2024-01-10"):
        list(splitter("1D").split(data))
    with pytest.raises(DataError, match=r"fold 0.*no train rows.*use fewer splitter\.n_splits or a smaller splitter\.test_size"):
        list(splitter("5D", 3).split(data))


@pytest.mark.parametrize("size", ["7", "D7", "0D", "7W", "1.5D", ""])
def test_a_wrong_size_is_refused(size: str) -> None:
    with pytest.raises(ConfigError, match=r"splitter\.test_size.*7D or 12H"):
        splitter(size)


def test_movietweetings_counts(movietweetings: Path) -> None:
    data = SOURCES.build({"type": "movietweetings", "path": str(movietweetings), "weight": "one"}).read().interactions
    (fold,) = splitter("14D").split(data)
    assert (fold.test_start, fold.test_end) == (datetime(2013, 10, 24), datetime(2013, 11, 7))
    assert list(fold.counts.values()) == [134_716, 20_568, 12_296, 5_346, 2_269, 1_812]
    assert isinstance(fold.test, Interactions)
    assert fold.train.frame["datetime"].max() < pl.Series([fold.test_start])[0]


@pytest.mark.parametrize("skip_last", [1, 3])
def test_skip_last_leaves_the_newest_folds_out_and_changes_no_other(skip_last: int) -> None:
    data = generated(ties())
    whole, some = list(splitter("1D", 4).split(data)), list(splitter("1D", 4, skip_last=skip_last).split(data))
    assert [fold.index for fold in some] == list(range(4 - skip_last))
    for ours, theirs in zip(some, whole, strict=False):
        assert (ours.test_start, ours.test_end, ours.dropped) == (theirs.test_start, theirs.test_end, theirs.dropped)
        assert ours.train.frame.equals(theirs.train.frame)
        assert ours.test.frame.equals(theirs.test.frame)
        assert ours.test.frame["datetime"].max() < whole[-skip_last].test_start  # type: ignore[operator]


@pytest.mark.parametrize("size", ["1D", "2D", "5H"])
def test_train_lies_before_test_and_no_row_is_tested_twice(size: str) -> None:
    data = generated(ties())
    tested: list[int] = []
    for fold in splitter(size, 3, False, False, False).split(data):
        train, test = fold.train.frame["datetime"], fold.test.frame["datetime"]
        assert train.max() < fold.test_start <= test.min()  # type: ignore[operator]
        assert test.max() < fold.test_end  # type: ignore[operator]
        assert len(fold.train) == (data.frame["datetime"] < fold.test_start).sum()
        tested += rows_of(fold.test).tolist()
    assert len(tested) == len(set(tested))
