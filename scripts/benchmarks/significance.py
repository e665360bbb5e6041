"""Time recseq's paired bootstrap beside `scipy.stats.bootstrap` on the same differences, each side a process of its own, in turns.

    .venv/bin/python scripts/benchmarks/significance.py

300,000 users, 10 metrics, 3 models to compare with, 1,000 resamples. recseq's side is all of `compare_models`: laying users side by
side, intervals, tests, Holm. scipy's is the intervals alone, of differences that are laid side by side already, five resamples at a
time (its fastest here: more leave the caches).
"""

import argparse
import json
import resource
import statistics
import sys
import time

import numpy as np
import polars as pl
from scipy import stats
from side_by_side import measure, report

from recseq.metrics.significance import SignificanceOptions, compare_models


def simulate(n_users: int, n_metrics: int, n_others: int) -> pl.DataFrame:
    """Values per user like those of ranking metrics: most are zero, both models agree on many users."""
    rng = np.random.default_rng(1)
    frames = []
    for index in range(n_others + 1):
        values = {f"M{i}@10": np.where(rng.random(n_users) < 0.3 + 0.01 * index, rng.random(n_users), 0.0) for i in range(n_metrics)}
        frames.append(pl.DataFrame({"model": f"model{index}", "fold": 0, "user_id": np.arange(n_users), **values}))
    return pl.concat(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=["both", "recseq", "scipy"], default="both")
    parser.add_argument("--n-users", type=int, default=300_000)
    parser.add_argument("--n-metrics", type=int, default=10)
    parser.add_argument("--n-others", type=int, default=3)
    parser.add_argument("--n-resamples", type=int, default=1000)
    parser.add_argument("--test", choices=["t", "wilcoxon"], default="t")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if options.side == "both":
        results = measure({side: [sys.executable, __file__, "--side", side, *sys.argv[1:]] for side in ("recseq", "scipy")}, options.rounds)
        columns = options.n_metrics * options.n_others
        report(f"{options.n_resamples:,} resamples of {options.n_users:,} users, {columns} differences", results, "recseq", "scipy")
        for side, lines in results.items():
            cpu, peak = (statistics.median(line[key] for line in lines) for key in ("cpu_seconds", "peak_mb"))
            print(f"  {side:10s} {cpu:.1f} s of CPU; peak {peak:,.0f} MB, before the work {lines[0]['input_mb']:,.0f} MB")
        furthest = max(abs(ours - theirs) for ours, theirs in zip(results["recseq"][0]["low"], results["scipy"][0]["low"], strict=True))
        print(f"  lower bounds differ by at most {furthest / results['scipy'][0]['width']:.1%} of the mean width of an interval")
        return
    per_user = simulate(options.n_users, options.n_metrics, options.n_others)
    metrics, others = per_user.columns[3:], [f"model{i + 1}" for i in range(options.n_others)]
    if options.side == "recseq":
        input_mb = peak_mb()
        settings = SignificanceOptions(n_resamples=options.n_resamples, confidence=0.95, test=options.test)
        started, cpu = time.perf_counter(), time.process_time()
        found = compare_models(per_user, "model0", others, metrics, settings, seed=1)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        low, high = found["low"].to_numpy(), found["high"].to_numpy()
    else:
        own, *rest = (per_user.filter(pl.col("model") == name).select(metrics).to_numpy() for name in ("model0", *others))
        differences = np.stack([own - other for other in rest], 2).reshape(options.n_users, -1)  # metric by metric, as recseq's rows
        del per_user, own, rest
        input_mb = peak_mb()
        rng = np.random.default_rng(1)
        started, cpu = time.perf_counter(), time.process_time()
        intervals = [
            stats.bootstrap((column,), np.mean, n_resamples=options.n_resamples, batch=5, method="percentile", rng=rng).confidence_interval
            for column in differences.T
        ]
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        low, high = np.array([interval.low for interval in intervals]), np.array([interval.high for interval in intervals])
    found_here = {"low": low.tolist(), "width": float((high - low).mean())}
    print(json.dumps({"median_seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak_mb(), "input_mb": input_mb, **found_here}))


def peak_mb() -> float:
    """Most memory that this process has held so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
