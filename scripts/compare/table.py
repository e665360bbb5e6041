"""Lay a sweep of recseq beside RecTools' runs of the same rows: mean and spread over seeds, and the difference in standard errors.

    .venv/bin/python scripts/compare/table.py outputs/sweeps/<date>/<time>/leaderboard.csv rectools_rows.csv

The sweep is `recseq -m row=... seed=1,2,3`, the other file is written by `rectools_rows.py`. Prints a Markdown table.
"""

import argparse
from math import sqrt
from pathlib import Path

import polars as pl

METRICS = ("HitRate@10", "MAP@10", "Serendipity@10")
DIGITS = {"Serendipity@10": 6}


def summary(table: pl.DataFrame) -> pl.DataFrame:
    """Mean, standard deviation and n of each row's metrics over seeds."""
    parts = []
    for metric in METRICS:
        parts += [pl.col(metric).mean().alias(f"{metric} mean"), pl.col(metric).std().fill_null(0).alias(f"{metric} std")]
    return table.group_by("row", maintain_order=True).agg(*parts, n=pl.len())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("leaderboard", type=Path)
    parser.add_argument("rectools", type=Path)
    options = parser.parse_args()
    ours = summary(pl.read_csv(options.leaderboard).filter(pl.col("status") == "FINISHED"))
    both = ours.join(summary(pl.read_csv(options.rectools)), on="row", how="left", suffix=" theirs", maintain_order="left")
    both = both.sort("MAP@10 mean", descending=True)
    heads = [head for metric in METRICS for head in (f"{metric} recseq", "RecTools", "diff/SE")]
    print("| row | " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * len(heads))
    for row in both.iter_rows(named=True):
        cells = []
        for metric in METRICS:
            digits = DIGITS.get(metric, 4)
            cells.append(f"{row[f'{metric} mean']:.{digits}f} ± {row[f'{metric} std']:.{digits}f}")
            if row[f"{metric} mean theirs"] is None:
                cells += ["", ""]
                continue
            cells.append(f"{row[f'{metric} mean theirs']:.{digits}f} ± {row[f'{metric} std theirs']:.{digits}f}")
            error = sqrt(row[f"{metric} std"] ** 2 / row["n"] + row[f"{metric} std theirs"] ** 2 / row["n theirs"])
            cells.append(f"{(row[f'{metric} mean'] - row[f'{metric} mean theirs']) / error:+.1f}" if error else "")
        print(f"| {row['row']} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
