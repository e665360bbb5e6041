"""Peak memory and seconds from a Hive-partitioned folder of Parquet files (100 million simulated rows) to a sequence store.

    .venv/bin/python scripts/benchmarks/large_folder.py

Writes the folder (one partition a day, two columns more than are needed) into a temporary folder, a day at a time, then reads it in a
process of its own: `tabular`, histories of the last 101 rows of users with two or more, vocabulary, store, as a sequential model does.
Peak memory is what the kernel counted for that process (VmHWM), torch and polars included.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

L = 100
N_DAYS = 100


def write_day(folder: Path, day: int, n_rows: int, n_users: int, n_items: int) -> None:
    """One partition: users of log-normal activity and items of Zipf popularity at random, times in order."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(day)
    user = (n_users * rng.beta(0.4, 1.6, n_rows)).astype(np.int64)  # the first ids are the most active users
    item = np.minimum((n_items ** rng.random(n_rows)).astype(np.int64), n_items - 1)  # density 1 / rank
    second = np.sort(rng.integers(0, 86400, n_rows))
    table = pl.DataFrame({"user_id": 10**9 + 7 * user, "item_id": item, "second": second}).select(
        "user_id",
        "item_id",
        datetime=pl.lit(datetime(2024, 1, 1)).cast(pl.Datetime("us")) + pl.duration(days=day, seconds="second", time_unit="us"),
        watched_pct=pl.Series(rng.random(n_rows, dtype=np.float32)),
        device=pl.Series(rng.integers(0, 5, n_rows)).replace_strict(dict(enumerate(["tv", "phone", "tablet", "web", "stick"]))),
    )
    target = folder / f"day={day:03}"
    target.mkdir()
    table.write_parquet(target / "part-0.parquet")


def read_folder(folder: Path) -> None:
    """The measured side: prints one JSON line."""
    started = time.perf_counter()
    import polars as pl

    from recseq.data.sequences import Histories, SequenceStore
    from recseq.data.sources import SOURCES
    from recseq.data.vocabulary import Vocabulary

    columns = {"user_id": "user_id", "item_id": "item_id", "datetime": "datetime", "weight": None}
    wide = {"item_id": "item_id", "layout": "wide", "feature": "feature", "value": "value", "value_separator": None, "title": None}
    items = {"path": None, **wide, "features": None, "numeric": []}
    source = SOURCES.build(
        {"type": "tabular", "path": str(folder), "separator": None, "columns": columns, "datetime_format": None, "items": items}
    )
    imported = time.perf_counter()
    interactions = source.read().interactions
    read, n_rows = time.perf_counter(), len(interactions)
    memory = {"read": peak_bytes()}
    histories = Histories.from_frame(interactions.frame)
    memory["histories"] = peak_bytes()
    histories = histories.keep(2, L + 1)
    vocabulary = Vocabulary.from_items(histories.rows["item_id"])
    store = SequenceStore.from_histories(histories, vocabulary)
    done = time.perf_counter()
    print(
        json.dumps(
            {
                "rows": n_rows,
                "users": store.n_users,
                "items": store.n_items,
                "stored_rows": len(store.items),
                "import_seconds": imported - started,
                "read_seconds": read - imported,
                "store_seconds": done - read,
                "peak_bytes": peak_bytes(),
                "peak_bytes_after": memory,
                "threads": pl.thread_pool_size(),
            }
        )
    )


def peak_bytes() -> int:
    """The most memory that this process has held at once."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--users", type=int, default=5_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--limit-gb", type=float, default=12.0, help="exit 1 where the peak is higher")
    parser.add_argument("--side", type=Path, help="the measured process: read this folder")
    parser.add_argument("--tmp", type=Path, help="where the folder is written; the system's temporary folder by default")
    options = parser.parse_args()
    if options.side is not None:
        read_folder(options.side)
        return
    folder = Path(tempfile.mkdtemp(prefix="large_folder_", dir=options.tmp))
    try:
        started = time.perf_counter()
        for day in range(N_DAYS):
            n_rows = options.rows * (day + 1) // N_DAYS - options.rows * day // N_DAYS
            write_day(folder, day, n_rows, options.users, options.items)
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        print(f"wrote {options.rows:,} rows, {size / 1e9:.2f} GB, in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        command = [sys.executable, __file__, "--side", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        if done.returncode:
            sys.exit(f"the measured process ended with {done.returncode}:\n{done.stderr[-3000:]}")
        found = json.loads(done.stdout.strip().splitlines()[-1])
    finally:
        shutil.rmtree(folder)
    peak = found["peak_bytes"] / 1e9
    print(f"Folder of Parquet files to sequence store ({datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {found['threads']} threads)")
    print(f"  rows {found['rows']:,}; store: {found['users']:,} users, {found['items']:,} items, {found['stored_rows']:,} rows")
    print(f"  read {found['read_seconds']:.1f} s, to the store {found['store_seconds']:.1f} s, imports {found['import_seconds']:.1f} s")
    steps = ", ".join(f"after {name} {value / 1e9:.2f} GB" for name, value in found["peak_bytes_after"].items())
    print(f"  peak resident memory {peak:.2f} GB ({steps})")
    if peak > options.limit_gb:
        sys.exit(f"above the limit of {options.limit_gb} GB")


if __name__ == "__main__":
    main()
