"""Make `splits.json`: which rows RecTools' TimeRangeSplitter and LastNSplitter put into train and test.

Runs in the *RecTools* virtual environment (`rectools[torch]==0.19.0`), never in recseq's:

    <rectools venv>/bin/python tests/golden/make_splits.py [--data ../shared/data/movietweetings]

Data sets and settings are those of `split_cases.py`. The file holds no rows of the data, only digests of row numbers:

    {data set: {splitter: {filters: [record of the newest fold, of the one before it, ...]}}}

with splitters `time_range 7D` and `last_n 2`, filters `110` (cold users, cold items, already seen) and the records of `record`. The
folds of n_splits are the n_splits newest ones, oldest first: the script checks that for 1 to 4 folds, so each fold is stored once.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import pandas as pd
from rectools import Columns
from rectools.dataset import Interactions
from rectools.model_selection import LastNSplitter, Splitter, TimeRangeSplitter
from split_cases import FILE, FILTERS, MAX_SPLITS, N_VALUES, TEST_SIZES, Rows, border, filter_key, movietweetings, record, ties

DEFAULT_DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "movietweetings"


def interactions_of(rows: Rows) -> Interactions:
    columns = {Columns.User: rows["user_id"], Columns.Item: rows["item_id"], Columns.Weight: 1.0}
    return Interactions(pd.DataFrame(columns | {Columns.Datetime: pd.to_datetime(rows["seconds"], unit="s")}))


def splitters(name: str, n_splits: int, filters: tuple[bool, bool, bool]) -> dict[str, Splitter]:
    by_time = {f"time_range {size}": TimeRangeSplitter(size, n_splits, *filters) for size in TEST_SIZES[name]}
    return by_time | {f"last_n {n}": LastNSplitter(n, n_splits, *filters) for n in N_VALUES}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with ratings.dat")
    warnings.simplefilter("ignore", FutureWarning)  # pandas' new names of units
    found: dict[str, dict[str, dict[str, list]]] = {}
    for name, rows in {"movietweetings": movietweetings(parser.parse_args().data), "ties": ties(), "border": border()}.items():
        interactions = interactions_of(rows)
        found[name] = {}
        for filters in FILTERS:
            for n_splits in range(MAX_SPLITS, 0, -1):
                for label, splitter in splitters(name, n_splits, filters).items():
                    newest_first = [record(train, test) for train, test, _ in splitter.split(interactions)][::-1]
                    stored = found[name].setdefault(label, {}).setdefault(filter_key(filters), newest_first)
                    assert newest_first == stored[:n_splits], (name, label, filters, n_splits)
    lines = [  # a line for each splitter
        f"{json.dumps(name)}: {{\n" + ",\n".join(f"{json.dumps(label)}: {json.dumps(filters)}" for label, filters in splits.items()) + "\n}"
        for name, splits in found.items()
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    folds = [fold for splits in found.values() for filters in splits.values() for folds in filters.values() for fold in folds]
    print(f"{len(folds)} folds, {sum(0 in fold[:2] for fold in folds)} with an empty part, {FILE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
