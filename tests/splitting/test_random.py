from datetime import timedelta

import numpy as np
import pytest
from conftest import composed, interactions
from golden.split_cases import ties
from splitting.test_split_goldens import generated, rows_of

from recseq.config import check_config
from recseq.data.interactions import Interactions
from recseq.errors import ConfigError, DataError
from recseq.splitting.random import Random

DATA = generated(ties())
N = len(DATA)


def splitter(test_share: float = 0.1, n_splits: int = 1, skip_last: int = 0, seed: int = 0, filters: bool = False) -> Random:
    return Random(
        test_share=test_share,
        seed=seed,
        n_splits=n_splits,
        skip_last=skip_last,
        filter_cold_users=filters,
        filter_cold_items=filters,
        filter_already_seen=filters,
    )


@pytest.mark.parametrize(("share", "n_splits"), [(0.1, 1), (0.1, 10), (0.3, 3), (1 / 3, 3), (1 / 7, 7), (0.0007, 2)])
def test_parts_are_disjoint_of_the_asked_size_and_train_is_the_rest(share: float, n_splits: int) -> None:
    tested: list[int] = []
    for fold in splitter(share, n_splits).split(DATA):
        train, test = rows_of(fold.train), rows_of(fold.test)
        assert abs(len(test) - share * N) < 1
        assert sorted([*train, *test]) == list(range(N))
        assert (np.diff(train) > 0).all()  # in the input's order
        assert (np.diff(test) > 0).all()
        times = fold.test.frame["datetime"]
        assert (fold.test_start, fold.test_end) == (times.min(), times.max() + timedelta(microseconds=1))  # type: ignore[operator]
        tested += test.tolist()
    assert len(tested) == len(set(tested))
    if share * n_splits == pytest.approx(1):
        assert len(tested) == N


def test_the_draw_is_uniform_repeatable_and_a_matter_of_the_seed_and_row_numbers() -> None:
    (first,), (second,), (other,) = (splitter(0.2, seed=seed).split(DATA) for seed in (7, 7, 8))
    assert first.test.frame.equals(second.test.frame)
    assert set(rows_of(first.test)) != set(rows_of(other.test))
    assert abs(rows_of(first.test).mean() / N - 0.5) < 0.06
    (shuffled,) = splitter(0.2, seed=7).split(Interactions(DATA.frame.reverse()))
    np.testing.assert_array_equal(np.sort(N - 1 - rows_of(shuffled.test)), rows_of(first.test))


def test_the_draw_is_the_same_everywhere() -> None:
    """Row numbers of one draw, written down: other machines, other versions."""
    data = interactions([(row, "a", row) for row in range(20)])
    (fold,) = splitter(0.25, seed=42).split(data)
    assert fold.test.frame["user_id"].to_list() == [4, 8, 10, 15, 17]


def test_skip_last_keeps_the_last_parts_out_of_train_too() -> None:
    whole, some = list(splitter(0.2, 5).split(DATA)), list(splitter(0.2, 5, skip_last=2).split(DATA))
    away = {row for fold in whole[3:] for row in rows_of(fold.test)}
    assert len(some) == 3
    for ours, theirs in zip(some, whole[:3], strict=True):
        assert ours.index == theirs.index
        assert ours.test.frame.equals(theirs.test.frame)
        assert set(rows_of(ours.train)) == set(rows_of(theirs.train)) - away


def test_the_filters_apply() -> None:
    (plain,), (filtered,) = splitter(0.5).split(DATA), splitter(0.5, filters=True).split(DATA)
    assert filtered.train.frame.equals(plain.train.frame)
    assert sum(filtered.dropped.values()) == len(plain.test) - len(filtered.test) > 0
    assert (filtered.test_start, filtered.test_end) == (plain.test_start, plain.test_end)


def test_more_test_rows_than_rows_is_a_conflict() -> None:
    check_config(composed("splitter=random", "splitter.test_share=0.2", "splitter.n_splits=5"))
    with pytest.raises(ConfigError) as caught:
        check_config(composed("splitter=random", "splitter.test_share=0.3", "splitter.n_splits=4", "splitter.skip_last=4"))
    message = str(caught.value)
    assert "splitter.skip_last is 4, must be less than splitter.n_splits, which is 4" in message
    assert "splitter.test_share is 0.3, but splitter.n_splits=4 disjoint test parts" in message
    assert "use splitter.test_share=0.25 or less" in message


def test_an_empty_part_is_an_error_without_a_word_on_time_ranges() -> None:
    data = interactions([(1, "a", 0), (2, "b", 9)])
    span = "the data spans 2024-01-01 00:00:00 to 2024-01-10 00:00:00"
    with pytest.raises(DataError) as caught:
        list(splitter(0.1).split(data))
    assert str(caught.value) == (
        f"fold 0 has no test rows: 0 before the filters, dropped by them: none; {span}: use a larger splitter.test_share"
    )
    with pytest.raises(DataError) as caught:
        list(splitter(0.9).split(data))
    assert str(caught.value) == f"fold 0 has no train rows; {span}: use a smaller splitter.test_share"
