"""Each step by hand, their order, and k-core beside a plain loop."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import composed, interactions
from omegaconf import OmegaConf

from recseq.config import check_config
from recseq.data.interactions import Dataset, Interactions
from recseq.data.preprocessing import Preprocessing, k_core, parse_time
from recseq.errors import ConfigError, DataError

ROWS = [  # user, item, day, weight
    ("a", "x", 3, 5.0),
    ("a", "x", 1, 2.0),
    ("a", "y", 2, 4.0),
    ("a", "x", 1, 3.0),
    ("b", "x", 1, 1.0),
    ("b", "x", 2, 0.5),
    ("b", "z", 4, 5.0),
    ("c", "y", 5, 4.5),
]
OFF: Any = OmegaConf.to_container(composed().preprocessing, resolve=True)


def dataset(rows: list[tuple[Any, Any, int, float]] = ROWS) -> Dataset:
    frame = interactions([row[:3] for row in rows]).frame
    return Dataset("hand", Interactions(frame.with_columns(weight=pl.Series([row[3] for row in rows], dtype=pl.Float32))))


def steps(**changes: Any) -> Preprocessing:
    return Preprocessing(**{**OFF, **changes})


def kept(**changes: Any) -> list[int]:
    """Numbers of the rows that stay; the input's order must stay too."""
    given = dataset()
    tagged = [(user, item, day, weight + i * 1000) for i, (user, item, day, weight) in enumerate(ROWS)]
    if "min_rating" in changes or "max_rating" in changes:
        frame = steps(**changes).apply(given).interactions.frame
        numbered = given.interactions.frame.with_row_index("row")
        return numbered.join(frame, on=frame.columns, how="semi", maintain_order="left")["row"].to_list()
    return [int(weight // 1000) for weight in steps(**changes).apply(dataset(tagged)).interactions.frame["weight"]]


def test_nothing_is_done_by_default() -> None:
    given = dataset()
    assert steps().is_off
    done = steps().apply(given)
    assert done.interactions.frame.equals(given.interactions.frame)
    assert done.dropped == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"start": "2024-01-03"}, [0, 2, 5, 6, 7]),  # day 2 is the 3rd of January
        ({"end": "2024-01-03"}, [1, 3, 4]),
        ({"start": "2024-01-03 00:00:01", "end": "2024-01-06T00:00:00"}, [0, 6]),
        ({"start": "2024-01-05T01:00:00+02:00"}, [6, 7]),
        ({"min_rating": 3}, [0, 2, 3, 6, 7]),
        ({"max_rating": 3}, [1, 3, 4, 5]),
        ({"min_rating": 0.5, "max_rating": 2}, [1, 4, 5]),
        ({"deduplicate": "first"}, [1, 2, 4, 6, 7]),  # of a's three x the earliest are rows 1 and 3: the first of them
        ({"deduplicate": "last"}, [0, 2, 5, 6, 7]),
        ({"drop_consecutive": True}, [0, 1, 2, 4, 6, 7]),  # a: x x y x, b: x x z
        ({"k_core_users": 2}, [0, 1, 2, 3, 4, 5, 6]),
        ({"k_core_items": 2}, [0, 1, 2, 3, 4, 5, 7]),
        ({"k_core_users": 2, "k_core_items": 2}, [0, 1, 3, 4, 5]),  # z goes, c goes, then y has one row left
        ({"sample_users": 3}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"sample_users": 99}, [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_each_step_by_hand(changes: dict[str, Any], expected: list[int]) -> None:
    assert kept(**changes) == expected


def test_last_of_equal_times_is_the_last_row() -> None:
    rows = [("a", "x", 1, 1.0), ("a", "x", 1, 2.0), ("a", "y", 0, 3.0), ("a", "x", 1, 4.0)]
    assert steps(deduplicate="last").apply(dataset(rows)).interactions.frame["weight"].to_list() == [3.0, 4.0]
    assert steps(deduplicate="first").apply(dataset(rows)).interactions.frame["weight"].to_list() == [1.0, 3.0]


def test_consecutive_repeats_do_not_cross_users() -> None:
    rows = [("a", "x", 1, 1.0), ("b", "x", 2, 1.0), ("b", "x", 3, 1.0)]
    assert steps(drop_consecutive=True).apply(dataset(rows)).interactions.frame["user_id"].to_list() == ["a", "b"]


def test_binarize_follows_the_ratings() -> None:
    done = steps(min_rating=4, binarize=True).apply(dataset())
    assert done.interactions.frame["weight"].to_list() == [1.0] * 4
    assert list(done.dropped.values()) == [4, 0]


def test_order_and_counts_are_recorded() -> None:
    options = {"start": "2024-01-02", "min_rating": 1, "binarize": True, "deduplicate": "first", "drop_consecutive": True}
    done = steps(**options, k_core_users=2, k_core_items=1, sample_users=1).apply(dataset())
    assert list(done.dropped.items()) == [
        ("time window [2024-01-02 00:00:00, ...)", 0),
        ("rating 1 to ...", 1),
        ("binarize", 0),
        ("deduplicate, first stays", 2),
        ("consecutive repeats", 0),
        ("k-core, users 2 items 1", 1),
        ("sample of users, 1", 2),
    ]
    assert len(done.interactions) == 8 - sum(done.dropped.values())


def test_later_steps_see_what_earlier_ones_left() -> None:
    """Without the time window b's last x is day 2; the window ends before it, so that its first x is also its last."""
    assert kept(end="2024-01-03", deduplicate="last") == [3, 4]
    assert kept(deduplicate="first", k_core_users=2) == [1, 2, 4, 6]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("users", "items"), [(2, 2), (3, 4), (5, 1), (1, 6), (4, 4)])
def test_k_core_is_that_of_a_plain_loop(seed: int, users: int, items: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = list(zip((rng.zipf(1.5, 400) % 60).tolist(), (rng.zipf(1.4, 400) % 50).tolist(), strict=True))
    frame = interactions([(user, item, i) for i, (user, item) in enumerate(pairs)]).frame
    left = list(enumerate(pairs))
    while True:
        of_user = [user for _, (user, _) in left]
        of_item = [item for _, (_, item) in left]
        rest = [(i, (user, item)) for i, (user, item) in left if of_user.count(user) >= users and of_item.count(item) >= items]
        if rest == left:
            break
        left = rest
    assert k_core(frame, users, items).rows() == frame[[i for i, _ in left]].rows()


def test_sample_hangs_on_seed_and_ids_alone() -> None:
    rows = [(user, item, item, 1.0) for user in range(100) for item in range(3)]
    chosen = steps(sample_users=0.2).apply(dataset(rows)).interactions.frame["user_id"].unique().sort()
    assert chosen.len() == 20
    again = steps(sample_users=20).apply(dataset(rows[::-1])).interactions.frame
    assert again["user_id"].unique().sort().equals(chosen)
    assert again.height == 60
    other = steps(sample_users=20, sample_seed=2).apply(dataset(rows)).interactions.frame["user_id"].unique().sort()
    assert not other.equals(chosen)


def test_ratings_that_are_none_are_refused() -> None:
    rows = [(user, item, day, 1.0) for user, item, day, _ in ROWS]
    with pytest.raises(DataError, match=r"every weight is 1; take the ratings as weights .*dataset.weight=rating"):
        steps(min_rating=4).apply(dataset(rows))


def test_steps_of_a_clock_stay_steps_and_know_no_window() -> None:
    frame = pl.DataFrame({"user_id": [1, 1, 1], "item_id": [5, 5, 6]}).with_columns(weight=pl.lit(1.0, pl.Float32))
    ordered = Dataset("x", Interactions.with_steps(frame))
    kept = Preprocessing(**{**OFF, "drop_consecutive": True}).apply(ordered).interactions
    assert (kept.clock, kept.frame["item_id"].to_list()) == ("steps", [5, 6])
    for name in ("start", "end"):
        with pytest.raises(DataError, match=rf"preprocessing\.{name} needs times"):
            Preprocessing(**{**OFF, name: "2024-01-01"}).apply(ordered)


def test_a_step_that_leaves_nothing_is_named() -> None:
    with pytest.raises(DataError, match="step 'k-core, users 5 items 5' leaves no rows of the 8 before it"):
        steps(k_core_users=5, k_core_items=5).apply(dataset())


def test_one_number_for_both_sides_of_the_core() -> None:
    node = composed("preprocessing.k_core=5", "preprocessing.k_core_items=3").preprocessing
    assert (node.k_core_users, node.k_core_items) == (5, 3)
    assert composed("preprocessing=five_core").preprocessing.k_core_items == 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("preprocessing.start=soon", "preprocessing.start is 'soon', must be an ISO date"),
        ("preprocessing.min_rating=-1", "preprocessing.min_rating is -1, must be >= 0"),
        ("preprocessing.deduplicate=any", "preprocessing.deduplicate is 'any'"),
        ("preprocessing.sample_users=1.5", "preprocessing.sample_users is 1.5"),
        ("preprocessing.k_core=0", "preprocessing.k_core_users is 0, must be >= 1"),
        ("preprocessing.start=2024-02-01 preprocessing.end=2024-01-01", "preprocessing.start is '2024-02-01', must be before"),
        ("preprocessing.min_rating=4 preprocessing.max_rating=3", "preprocessing.min_rating is 4, must be <= max_rating"),
        ("+preprocessing.kcore=5", "preprocessing.kcore is not an option here; did you mean 'k_core'?"),
        ("dataset.cache=maybe", "dataset.cache is 'maybe', must be true or false"),
    ],
)
def test_what_cannot_be_is_refused_before_any_data_is_read(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(composed(*override.split()))
    assert message in str(caught.value)


def test_times_are_naive_utc() -> None:
    assert parse_time("2024-01-31") == datetime(2024, 1, 31)
    assert parse_time("2024-01-31T02:00:00+02:00") == datetime(2024, 1, 31, tzinfo=UTC).replace(tzinfo=None)
