"""Seconds to read Python literals, as in Amazon's metadata of 2014: recseq's rewriting beside `ast.literal_eval` line by line.

    python scripts/benchmarks/literals.py --lines 1000000

The lines are made up, with lists of related products, quotes of both kinds and missing fields, about 1.4 kB each. `ast.literal_eval` is
timed on the first 10,000 of them and scaled.
"""

import argparse
import ast
import gzip
import random
import resource
import tempfile
import time
from pathlib import Path

import polars as pl

from recseq.data.sources.records import read_records

WORDS = ["Girls", "Ballet", "Tutu", "it's", 'a 5" doll', "hot", "pink", "great", "for", "X & Y", "Éclair"]
FIELDS = {
    **dict.fromkeys(("asin", "title", "price", "brand"), pl.String()),
    "categories": pl.List(pl.List(pl.String())),
}


def line(rng: random.Random, number: int) -> str:
    """One product."""
    related = [f"B{rng.randrange(10**9):09d}" for _ in range(rng.randrange(100))]
    record = {
        "asin": f"{number:010d}",
        "title": " ".join(rng.choices(WORDS, k=8)),
        "imUrl": "http://ecx.images-amazon.com/images/I/51fAmVkTbyL._SY300_.jpg",
        "description": " ".join(rng.choices(WORDS, k=60)),
        "related": {"also_bought": related},
        "salesRank": {"Beauty": rng.randrange(10**6)},
        "categories": [["Beauty", "Hair Care", rng.choice(WORDS)]],
    }
    if number % 3:
        record["price"] = rng.randrange(10_000) / 100
    if number % 2:
        record["brand"] = rng.choice(["Coxlures", "L'Oréal", "None"])
    return repr(record)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    n = parser.parse_args().lines
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "meta.json.gz"
        some = []
        with gzip.open(path, "wt", compresslevel=4, encoding="utf-8") as file:
            for number in range(n):
                text = line(rng, number)
                file.write(text + "\n")
                if number < 10_000:
                    some.append(text)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, worked = time.perf_counter(), time.process_time()
        table = read_records(path, FIELDS)
        own, own_cpu = time.perf_counter() - started, time.process_time() - worked
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        worked = time.process_time()
        for text in some:
            ast.literal_eval(text)
        other = (time.process_time() - worked) / len(some) * n
    assert table.frame.height == n
    print(
        f"{n:,} lines: read_records {own:.1f} s ({own_cpu:.1f} s of CPU), {peak / 2**20:.2f} GiB at most ({before / 2**20:.2f} before); "
        f"ast.literal_eval {other:.1f} s of CPU"
    )


if __name__ == "__main__":
    main()
