"""Row for row what RecTools' TimeRangeSplitter and LastNSplitter put into train and test (tests/golden/make_splits.py).

Nothing differs but empty folds, which are an error here and empty arrays there. RecTools' LastNSplitter ranks rows in the order of the
frame where times are equal, as `last_n` does, and yields folds from old to new.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from golden.split_cases import FILE, FILTERS, MAX_SPLITS, Rows, border, filter_key, record, ties

from recseq.data.interactions import Interactions
from recseq.data.sources import SOURCES
from recseq.errors import DataError
from recseq.splitting import SPLITTERS, Splitter

GOLDEN = json.loads(FILE.read_text())
NAMES = [(name, label) for name, splits in GOLDEN.items() for label in splits]


def with_row_numbers(frame: pl.DataFrame) -> Interactions:
    """Weights that are row numbers (exact up to 2**24), so that rows can be told apart in folds."""
    return Interactions(frame.with_columns(weight=pl.int_range(frame.height).cast(pl.Float32)))


def generated(rows: Rows) -> Interactions:
    times = pl.from_epoch(pl.Series(rows["seconds"]), "s").cast(pl.Datetime("us"))
    return with_row_numbers(pl.DataFrame({"user_id": rows["user_id"], "item_id": rows["item_id"], "datetime": times}))


def data(name: str, request: pytest.FixtureRequest) -> Interactions:
    if name != "movietweetings":
        return generated({"ties": ties, "border": border}[name]())
    folder: Path = request.getfixturevalue("movietweetings")
    return with_row_numbers(SOURCES.build({"type": name, "path": str(folder), "weight": "one"}).read().interactions.frame)


def splitter(label: str, n_splits: int, filters: tuple[bool, bool, bool]) -> Splitter:
    name, size = label.split()
    options = {"test_size": size} if name == "time_range" else {"n": int(size)}
    on = dict(zip(("filter_cold_users", "filter_cold_items", "filter_already_seen"), filters, strict=True))
    return SPLITTERS.build({"type": name, "n_splits": n_splits, "skip_last": 0} | options | on)


def rows_of(part: Interactions) -> np.ndarray:
    return part.frame["weight"].to_numpy().astype(np.int64)


@pytest.mark.parametrize(("name", "label"), NAMES)
def test_rows_equal_rectools(name: str, label: str, request: pytest.FixtureRequest) -> None:
    interactions = data(name, request)
    for filters in FILTERS:
        newest_first = GOLDEN[name][label][filter_key(filters)]
        assert len(newest_first) == MAX_SPLITS
        for n_splits in range(1, MAX_SPLITS + 1):
            expected = newest_first[:n_splits][::-1]
            found = []
            folds = splitter(label, n_splits, filters).split(interactions)
            for n_train, n_test, _ in expected:
                if n_train == 0 or n_test == 0:
                    with pytest.raises(DataError, match=f"fold {len(found)}.* no {'train' if n_train == 0 else 'test'} rows"):
                        next(folds)
                    break
                fold = next(folds)
                assert fold.index == len(found)
                found.append(record(rows_of(fold.train), rows_of(fold.test)))
            else:
                assert next(folds, None) is None
            assert found == expected[: len(found)]


def test_generated_data_is_what_the_golden_file_is_about() -> None:
    """Ties of time inside users, repeated pairs, rows out of order; a last datetime on the border of a day."""
    with_ties, on_border = generated(ties()), generated(border())
    assert with_ties.tied_rows > 100
    assert with_ties.frame.select("user_id", "item_id").is_duplicated().sum() > 100
    assert not with_ties.frame["datetime"].is_sorted()
    assert on_border.frame["datetime"].max() == pl.Series(["2021-08-22"]).str.to_datetime()[0]
    folds = [fold for splits in GOLDEN.values() for filters in splits.values() for records in filters.values() for fold in records]
    assert sum(0 not in fold[:2] for fold in folds) > 600
