"""Every number of a description by hand, and the real data's README."""

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import interactions

from recseq.data.description import count_over_time, describe_dataset, gini, quantile
from recseq.data.interactions import Dataset, Interactions, ItemFeatures
from recseq.data.sources import SOURCES

#  user, item, day
ROWS = [("a", 1, 0), ("a", 1, 1), ("a", 2, 2), ("a", 1, 3), ("b", 1, 5), ("b", 3, 5), ("c", 9, 0)]


def hand() -> Dataset:
    categorical = pl.DataFrame(
        [(1, "genre", "x"), (1, "genre", "y"), (2, "genre", "x"), (77, "genre", "z"), (9, "studio", "s")],
        schema=["item_id", "feature", "value"],
        orient="row",
    )
    numeric = pl.DataFrame({"item_id": [1, 3], "feature": ["year", "year"], "value": [2000.0, 2000.0]})
    return Dataset("hand", interactions(ROWS), ItemFeatures(categorical, numeric), notes=("a note",), dropped={"step": 3})


def test_numbers_by_hand() -> None:
    found = describe_dataset(hand())
    assert (found.n_rows, found.n_users, found.n_items) == (7, 3, 4)
    assert (found.first, found.last) == (datetime(2024, 1, 1), datetime(2024, 1, 6))
    assert found.density == 5 / 12  # a1 a2 b1 b3 c9
    assert found.mean_length == pytest.approx(7 / 3)
    assert found.length_quantiles == {0.0: 1, 0.05: 1, 0.25: 1, 0.5: 2, 0.75: 4, 0.9: 4, 0.95: 4, 0.99: 4, 1.0: 4}
    assert found.single_row_users == 1 / 3
    assert found.tied_share == 2 / 7  # b's two rows
    assert found.repeat_share == 2 / 7  # a1 on days 1 and 3
    assert found.consecutive_share == 1 / 7  # a1 on day 1
    assert found.popularity.tolist() == [4, 1, 1, 1]
    assert found.top_share == 1.0
    assert found.top_percent_share == 4 / 7
    assert found.gini == pytest.approx(9 / 28)  # (-3*1 - 1*1 + 1*1 + 3*4) / (4*7)
    assert found.lengths.rows() == [(1, 1), (2, 1), (4, 1)]
    assert found.every == "1d"
    assert found.rows_over_time["n_rows"].to_list() == [2, 1, 1, 1, 0, 2]
    assert (found.notes, found.dropped) == (("a note",), {"step": 3})


def test_features_by_hand() -> None:
    found = describe_dataset(hand()).features
    assert found.drop("values_per_item", "row_coverage").rows() == [
        ("genre", "categorical", 3, 3, 2 / 4),  # of items 1, 2 (and 77, which nobody took)
        ("studio", "categorical", 1, 1, 1 / 4),
        ("year", "numeric", 1, 2, 2 / 4),
    ]
    assert found["values_per_item"].to_list() == pytest.approx([4 / 3, 1, 1])
    assert found["row_coverage"].to_list() == pytest.approx([5 / 7, 1 / 7, 5 / 7])
    assert describe_dataset(Dataset("bare", interactions(ROWS))).features.is_empty()


def test_gini() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 100, 50)
    pairs = np.abs(counts[:, None] - counts[None, :]).mean() / (2 * counts.mean())
    assert gini(counts) == pytest.approx(pairs)
    assert gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([10**9] + [0] * 99)) == pytest.approx(0.99)


def test_quantile_is_a_value_that_occurs() -> None:
    ordered = pl.Series([1, 1, 2, 5])
    assert [quantile(ordered, level) for level in (0, 0.25, 0.5, 0.51, 0.75, 0.76, 1)] == [1, 1, 1, 2, 2, 5, 5]


@pytest.mark.parametrize(("n_days", "every", "n_points"), [(2, "1h", 49), (100, "1d", 101), (800, "1w", 115)])
def test_ranges_without_rows_are_there(n_days: int, every: str, n_points: int) -> None:
    found, table = count_over_time(interactions([(1, 1, 0), (1, 1, n_days), (1, 1, n_days)]))
    assert (found, table.height) == (every, n_points)
    assert (table["n_rows"][0], table["n_rows"][-1], table["n_rows"].sum()) == (1, 2, 3)


def test_consecutive_rows_follow_time_not_the_file() -> None:
    found = describe_dataset(Dataset("x", Interactions(interactions([(1, 5, 2), (1, 6, 1), (1, 5, 0), (1, 5, 3)]).frame)))
    assert found.consecutive_share == 1 / 4


def test_agrees_with_the_readme_of_movietweetings(movietweetings: Path) -> None:
    readme = (movietweetings / "README.md").read_text()
    found = describe_dataset(SOURCES.build({"type": "movietweetings", "path": str(movietweetings), "weight": "one"}).read())
    assert f"{found.n_users:,} users, {found.n_items:,} movies, {found.n_rows:,} ratings" in readme
    assert f"{found.first:%Y-%m-%d} .. {found.last:%Y-%m-%d}" in readme
    assert f"the last rating is at {found.last}" in readme
    assert "no repeated pair" in readme
    assert found.repeat_share == 0
    assert f"median {found.length_quantiles[0.5]} ratings a user (mean {found.mean_length:.1f})" in readme
    (genre,) = found.features.to_dicts()
    assert f"{genre['n_values']} genres, {genre['n_items']:,} of the rated movies have one" in readme
    assert genre["item_coverage"] == genre["n_items"] / found.n_items
