from datetime import datetime, timedelta

import numpy as np
import pytest
from conftest import composed, interactions
from golden.split_cases import border, ties
from splitting.test_split_goldens import generated, rows_of

from recseq.config import check_config
from recseq.errors import ConfigError, DataError
from recseq.splitting.global_timestamp import GlobalTimestamp, moment

ROWS = [(1, "a", 0), (2, "b", 4), (1, "b", 2), (2, "a", 6), (1, "a", 7), (3, "a", 8), (1, "c", 9)]


def splitter(at: str | None = None, quantile: float | None = None, filters: bool = False) -> GlobalTimestamp:
    return GlobalTimestamp(at=at, quantile=quantile, filter_cold_users=filters, filter_cold_items=filters, filter_already_seen=filters)


def test_a_date_cuts_before_it() -> None:
    for at in ("2024-01-07", "2024-01-07T00:00", "2024-01-07 00:00:00", "2024-01-06T22:00-02:00", "2024-01-07T00:00Z"):
        (fold,) = splitter(at).split(interactions(ROWS))
        assert fold.train.frame["item_id"].to_list() == ["a", "b", "b"]
        assert fold.test.frame["datetime"].dt.day().to_list() == [7, 8, 9, 10]
        assert fold.test_start == datetime(2024, 1, 7)
        assert fold.test_end == datetime(2024, 1, 10) + timedelta(microseconds=1)


def test_the_filters_apply() -> None:
    (fold,) = splitter("2024-01-07", filters=True).split(interactions(ROWS))
    assert fold.test.frame.select("user_id", "item_id").rows() == [(2, "a")]
    assert fold.dropped == {"cold_users": 1, "cold_items": 1, "already_seen": 1}


@pytest.mark.parametrize("quantile", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_quantile_leaves_its_share_before_the_test_part(quantile: float) -> None:
    n = 1000
    data = interactions([(1, "a", int(day)) for day in np.random.default_rng(0).permutation(n)])
    (fold,) = splitter(quantile=quantile).split(data)
    assert len(fold.train) == quantile * n
    assert fold.test_start == fold.test.frame["datetime"].min()


@pytest.mark.parametrize("data", [generated(ties()), generated(border())], ids=["ties", "border"])
@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9, 0.99])
def test_train_lies_before_test_and_both_are_everything(data, quantile: float) -> None:  # type: ignore[no-untyped-def]
    (fold,) = splitter(quantile=quantile).split(data)
    assert fold.train.frame["datetime"].max() < fold.test.frame["datetime"].min()  # type: ignore[operator]
    assert sorted([*rows_of(fold.train), *rows_of(fold.test)]) == list(range(len(data)))
    assert len(fold.train) <= quantile * len(data) + 0.5  # ties at the border are tested


def test_exactly_one_of_at_and_quantile_is_set() -> None:
    use = "splitter=global_timestamp"
    check_config(composed(use))
    check_config(composed(use, "splitter.at=2021-08-01", "splitter.quantile=null"))
    check_config(composed(use, "splitter.at='2021-08-01 12:30'", "splitter.quantile=null"))
    for overrides, message in {
        ("splitter.at=2021-08-01",): "splitter.at is '2021-08-01' and splitter.quantile is 0.9, only one of them",
        ("splitter.quantile=null",): "splitter.at and splitter.quantile are both empty, one of them must be set",
        ("splitter.at=soon", "splitter.quantile=null"): "splitter.at is 'soon', must be a date such as 2021-08-01",
        ("splitter.at=2021-02-30", "splitter.quantile=null"): "splitter.at is '2021-02-30', must be a date",
        ("splitter.quantile=1",): "splitter.quantile is 1, must be > 0 and < 1",
    }.items():
        with pytest.raises(ConfigError) as caught:
            check_config(composed(use, *overrides))
        assert message in str(caught.value)


def test_there_is_no_fold_to_skip() -> None:
    with pytest.raises(Exception, match="skip_last"):
        composed("splitter=global_timestamp", "splitter.skip_last=1")


def test_a_moment_that_overflows_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be a date"):
        moment("0001-01-01T00:00+05:00", "splitter.at")


@pytest.mark.parametrize(
    ("options", "test_range", "lacks", "hint"),
    [
        ({"at": "2023-12-31"}, "[2023-12-31 00:00:00, LAST)", "train rows", "use a later splitter.at"),
        ({"quantile": 0.01}, "[2024-01-01 00:00:00, LAST)", "train rows", "use a larger splitter.quantile"),
        (
            {"at": "2030-01-01"},
            "[2030-01-01 00:00:00, 2030-01-01 00:00:00)",
            "test rows: 0 before the filters, dropped by them: none",
            "use an earlier splitter.at",
        ),
        (
            {"quantile": 0.99, "filters": True},
            "[2024-01-10 00:00:00, LAST)",
            "test rows: 1 before the filters, dropped by them: cold_users 0, cold_items 1, already_seen 0",
            "use a smaller splitter.quantile",
        ),
    ],
)
def test_empty_folds(options: dict, test_range: str, lacks: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        list(splitter(**options).split(interactions(ROWS)))
    test_range = test_range.replace("LAST", "2024-01-10 00:00:00.000001")
    span = "the data spans 2024-01-01 00:00:00 to 2024-01-10 00:00:00"
    assert str(caught.value) == f"fold 0, test range {test_range}, has no {lacks}; {span}: {hint}"
