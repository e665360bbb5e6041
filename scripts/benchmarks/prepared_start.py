"""Seconds to a ready dataset at the KION shape (5,476,251 simulated rows): from CSV files, then from the cache of prepared data.

    .venv/bin/python scripts/benchmarks/prepared_start.py

Writes files in KION's own form into a temporary folder. Each start is a process of its own, that of a job of a sweep: the time is from
the call of `read_dataset` to the dataset, imports left out. The first start fills the cache, the others take from it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sequences import write_views


def overrides(folder: Path, *more: str) -> list[str]:
    return ["dataset=kion", f"dataset.path={folder}", f"paths.cache={folder / 'cache'}", *more]


def composed(*changes: str) -> dict[str, Any]:
    from hydra import compose, initialize_config_dir

    from recseq.config import check_config
    from recseq.files import conf_folder

    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return check_config(compose("config", overrides=list(changes)))


def start(folder: Path, changes: list[str]) -> None:
    """The measured side: prints one JSON line."""
    import polars as pl

    from recseq.opening import read_dataset

    config = composed(*overrides(folder, *changes))
    started = time.perf_counter()
    dataset = read_dataset(config)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rows": len(dataset.interactions), "threads": pl.thread_pool_size()}))


def write_kion(folder: Path) -> None:
    """Simulated data as KION has it: views, items with an index and facts, users with an index and bands."""
    import polars as pl

    from recseq.data.sources import build_source

    dataset = build_source(composed("dataset=demo_kion")).read()
    views = dataset.interactions.frame
    write_views(views, folder / "interactions.csv")
    assert dataset.item_features is not None
    assert dataset.titles is not None
    long = dataset.item_features.categorical.group_by("item_id", "feature").agg(pl.col("value").str.join(", "))
    facts = long.pivot("feature", index="item_id", values="value").rename({"genre": "genres", "director": "transliterated"})
    items = dataset.titles.join(facts, on="item_id", how="left").with_columns(
        content_type=pl.lit("film"), countries=pl.lit("USA, France"), age_rating=pl.lit(16.0), release_year=pl.lit(2000.0)
    )
    items.with_row_index("").write_csv(folder / "items_en.csv")
    users = views.select(pl.col("user_id").unique().sort()).with_columns(
        age=pl.lit("age_25_34"), income=pl.lit("income_20_40"), sex=pl.lit("F"), kids_flg=pl.lit(0)
    )
    users.with_row_index("").write_csv(folder / "users_en.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="starts from the cache")
    parser.add_argument("--side", type=Path, help="the measured process: start on this folder")
    parser.add_argument("changes", nargs="*", help="config overrides, such as preprocessing.k_core=5")
    options = parser.parse_args()
    if options.side is not None:
        start(options.side, options.changes)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_kion(folder)
        command = [sys.executable, __file__, "--side", str(folder), *options.changes]
        lines = []
        for _ in range(1 + options.rounds):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"the measured process ended with {done.returncode}:\n{done.stderr[-3000:]}")
            lines.append(json.loads(done.stdout.strip().splitlines()[-1]))
        kept = sum(path.stat().st_size for path in (folder / "cache").rglob("*.parquet"))
    first, *cached = (line["seconds"] for line in lines)
    machine = f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {lines[0]['threads']} threads, load average {os.getloadavg()[0]:.1f}"
    print(f"From read_dataset to a ready dataset, {lines[0]['rows']:,} rows ({machine})")
    print(f"  first start, from CSV files {first:.2f} s, writing {kept / 1e6:.0f} MB into the cache included")
    print(f"  later starts, from the cache {statistics.median(cached):.2f} s ({min(cached):.2f} to {max(cached):.2f})")


if __name__ == "__main__":
    main()
