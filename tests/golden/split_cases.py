"""Data and settings of the golden splits, for recseq's tests and for `make_splits.py` in RecTools' environment: numpy only.

Every data set is a dict of int64 arrays `user_id`, `item_id`, `seconds` (Unix) in row order.
"""

import hashlib
from itertools import product
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("splits.json")
DAY = 86_400
BEGIN = 1_628_985_600  # 2021-08-15 00:00:00
MAX_SPLITS = 4
N_VALUES = (1, 2, 3)
FILTERS = tuple(product((False, True), repeat=3))  # cold users, cold items, already seen
TEST_SIZES = {
    "movietweetings": ("7D", "14D", "1D", "36H", "5H"),
    "ties": ("1D", "2D", "6H", "1H"),
    "border": ("1D", "2D", "24H", "30H", "1H"),
}

Rows = dict[str, np.ndarray]


def draws(seed: int, n: int, below: int) -> np.ndarray:
    """Whole numbers below a bound from raw bits, which numpy promises to be the same in all its versions."""
    return (np.random.PCG64(seed).random_raw(n) % np.uint64(below)).astype(np.int64)


def ties() -> Rows:
    """Users with many rows at the same time, repeated pairs, rows in no order of time; the last datetime lies inside an hour."""
    n = 1500
    hour = draws(3, n, 24 * 12) // 3 * 3  # every third hour: about 15 rows at each time
    user = draws(1, n, 90) * draws(2, n, 90) // 90  # many rows for low numbers
    return {"user_id": user, "item_id": draws(4, n, 40) * draws(5, n, 40) // 40, "seconds": BEGIN + hour * 3600 + 1234}


def border() -> Rows:
    """Day-resolution data whose last day is a border of days and hours: 2021-08-22 00:00:00."""
    n = 700
    day = draws(13, n, 8)
    assert day.max() == 7
    user, item = draws(11, n, 120), draws(12, n, 30) * draws(14, n, 30) // 30
    return {"user_id": user, "item_id": item, "seconds": BEGIN + day * DAY}


def movietweetings(folder: Path) -> Rows:
    """The real ratings in file order."""
    with (folder / "ratings.dat").open(encoding="utf-8") as lines:
        fields = np.array([line.rstrip("\n").split("::") for line in lines]).astype(np.int64)
    return {"user_id": fields[:, 0], "item_id": fields[:, 1], "seconds": fields[:, 3]}


def filter_key(filters: tuple[bool, bool, bool]) -> str:
    """`101`: cold users and already seen."""
    return "".join(str(int(on)) for on in filters)


def record(train: np.ndarray, test: np.ndarray) -> list[int | str]:
    """What is stored of a fold: rows of train and test, and the first half of the SHA-256 of both arrays of row numbers, sorted."""
    content = b"|".join(np.sort(part).astype("<i8").tobytes() for part in (train, test))
    return [len(train), len(test), hashlib.sha256(content).hexdigest()[:32]]
