"""Time the way from tables to metrics, 300,000 users x top 10 and 8 metrics, beside RecTools' `calc_metrics`.

    .venv/bin/python scripts/benchmarks/metrics.py --rectools-python <rectools venv>/bin/python

Both sides start from the same tables in memory (polars here, pandas there): recommendations of a model and of a reference, 742,000
test pairs, 5,000,000 train rows, all drawn at random from a long-tailed catalogue of 15,706 items. The timed part ends with the means:
for recseq it is `Catalogue.from_train`, `Evaluation.of` and `score`, with the table of values per user, which RecTools does not make.
The largest difference between the two sides' means is printed. `--ids string` gives ids as strings.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import measure, report

N_USERS, N_ALL_USERS, N_ITEMS, N_ROWS, K = 300_000, 960_000, 15_706, 5_000_000, 10
TABLES = ("train", "test", "recommendations", "reference")
METRICS = ("HitRate", "MAP", "NDCG", "Recall", "Serendipity", "AvgRecPopularity", "CoveredUsers", "Intersection")


def write_tables(folder: Path, as_strings: bool) -> None:
    """Draw the tables and write them as Parquet."""
    import polars as pl

    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, N_ITEMS + 1) ** 0.9
    borders = np.cumsum(popularity / popularity.sum())

    def items(*shape: int) -> np.ndarray:
        return np.minimum(np.searchsorted(borders, rng.random(shape)), N_ITEMS - 1)

    def lists() -> np.ndarray:
        """K distinct items a user: the first distinct ones of a longer draw, made up with unpopular items."""
        drawn = np.concatenate([items(N_USERS, 3 * K), np.broadcast_to(np.arange(N_ITEMS - K, N_ITEMS), (N_USERS, K))], axis=1)
        order = np.argsort(drawn, axis=1, kind="stable")
        ordered = np.take_along_axis(drawn, order, axis=1)
        new = np.diff(ordered, axis=1, prepend=-1) > 0
        first = np.empty_like(new)
        np.put_along_axis(first, order, new, axis=1)
        return drawn[first & (first.cumsum(axis=1) <= K)]

    users = np.sort(rng.choice(N_ALL_USERS, N_USERS, replace=False))
    recommended = {"user_id": np.repeat(users, K), "rank": np.tile(np.arange(1, K + 1), N_USERS)}
    tested = np.repeat(users, rng.geometric(0.4, N_USERS))
    tables = {
        "train": {"user_id": rng.integers(0, N_ALL_USERS, N_ROWS), "item_id": items(N_ROWS)},
        "test": {"user_id": tested, "item_id": items(len(tested))},
        "recommendations": recommended | {"item_id": lists()},
        "reference": recommended | {"item_id": lists()},
    }
    for name, columns in tables.items():
        frame = pl.DataFrame(columns).unique(["user_id", "item_id"], maintain_order=True) if name == "test" else pl.DataFrame(columns)
        if as_strings:
            frame = frame.with_columns(pl.format("user {}", "user_id").alias("user_id"), pl.format("item {}", "item_id").alias("item_id"))
        frame.write_parquet(folder / f"{name}.parquet")


def recseq_side(folder: Path, repeats: int) -> None:
    import polars as pl

    from recseq.metrics import METRICS as REGISTRY
    from recseq.metrics import Catalogue, Evaluation, score

    train, test, recommendations, reference = (pl.read_parquet(folder / f"{name}.parquet") for name in TABLES)
    metrics = [REGISTRY.build({"type": name}) for name in METRICS]
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        evaluation = Evaluation.of(recommendations, test, Catalogue.from_train(train), {"popular": reference})
        means = score(metrics, evaluation, [K]).means
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"median_seconds": statistics.median(seconds), "means": dict(zip(METRICS, means.values(), strict=True))}))


def rectools_side(folder: Path) -> None:
    import pandas as pd
    from rectools import metrics as theirs

    train, test, recommendations, reference = (pd.read_parquet(folder / f"{name}.parquet") for name in TABLES)
    options: dict[str, dict[str, Any]] = {"NDCG": {"divide_by_achievable": True}}
    metrics = {name: getattr(theirs, name)(k=K, **options.get(name, {})) for name in METRICS}
    started = time.perf_counter()
    means = theirs.calc_metrics(
        metrics,
        reco=recommendations,
        interactions=test,
        prev_interactions=train,
        catalog=train["item_id"].unique(),
        ref_reco={"popular": reference},
    )
    seconds = time.perf_counter() - started
    means["Intersection"] = means.pop("Intersection_popular")
    print(json.dumps({"median_seconds": seconds, "means": means}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rectools-python", help="without it, recseq alone is timed")
    parser.add_argument("--ids", choices=["integer", "string"], default="integer")
    parser.add_argument("--threads", type=int, default=2, help="of polars and of numeric libraries, on both sides")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", choices=["both", "recseq", "rectools"], default="both", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side == "recseq":
        recseq_side(options.folder, repeats=3)
        return
    if options.side == "rectools":
        rectools_side(options.folder)
        return

    os.environ |= {name: str(options.threads) for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as folder:
        write_tables(Path(folder), options.ids == "string")
        commands = {"recseq": [sys.executable, __file__, "--side", "recseq", "--folder", folder]}
        if options.rectools_python:
            commands["RecTools"] = [options.rectools_python, __file__, "--side", "rectools", "--folder", folder]
        results = measure(commands, options.rounds)
    if "RecTools" in results:
        report(f"{len(METRICS)} metrics of {N_USERS:,} users x top {K}, {options.ids} ids", results, "recseq", "RecTools")
        means = [results[side][0]["means"] for side in ("recseq", "RecTools")]
        difference, name = max((abs(means[0][name] - means[1][name]), name) for name in METRICS)
        print(f"  largest difference of means: {difference:.1e} ({name}, {means[0][name]:.6g})")


if __name__ == "__main__":
    main()
