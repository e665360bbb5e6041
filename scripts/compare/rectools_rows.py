"""RecTools' own numbers on MovieTweetings: the rows that recseq's rows are laid beside.

Runs in the *RecTools* virtual environment (``rectools[torch]==0.19.0``), imports nothing of recseq and calls only RecTools' public
API. The protocol: weight 1 everywhere, one categorical feature ``genre`` (one feature row a genre), ``TimeRangeSplitter("14D",
n_splits=1)`` with all three filters, each row fitted on the fold's train part, k = 10, ``filter_viewed=True``, metrics on the
fold's test part with the items of train as catalogue. Neural rows use the small setting (see ``SMALL``).

One CSV line is appended and flushed for each finished (row, seed); pairs that the file already holds are skipped, so a stopped run
goes on where it was. ``popular`` and ``ease`` are deterministic: they run once and are written with seed 0. ``NDCG@10`` divides by
the achievable ideal (recseq's definition, RecTools' ``divide_by_achievable=True``), ``NDCG_idealk@10`` by the ideal of k hits
(RecTools' default).

Usage:
    <rectools venv>/bin/python scripts/compare/rectools_rows.py --rows popular,ease --seeds 1,2,3 --out rectools_rows.csv
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset, Interactions
from rectools.metrics import MAP, NDCG, AvgRecPopularity, CoveredUsers, HitRate, Intersection, Serendipity, calc_metrics
from rectools.model_selection import TimeRangeSplitter
from rectools.models import BERT4RecModel, EASEModel, PopularModel, SASRecModel
from rectools.models.base import ModelBase
from rectools.models.nn.item_net import CatFeaturesItemNet, IdEmbeddingsItemNet

DEFAULT_DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "movietweetings"
K = 10
EXPECTED = {"train rows": 134_716, "test rows": 5_346, "test users": 2_269}

SMALL: dict[str, Any] = {
    "session_max_len": 20,
    "n_factors": 64,
    "n_blocks": 1,
    "n_heads": 4,
    "dropout_rate": 0.2,
    "batch_size": 128,
    "lr": 1e-3,
    "epochs": 5,
    "n_negatives": 50,
    "gbce_t": 0.2,
    "train_min_user_interactions": 2,
}
BLOCKS: dict[str, tuple[type, ...]] = {
    "ids": (IdEmbeddingsItemNet,),
    "categories": (CatFeaturesItemNet,),
    "ids_categories": (IdEmbeddingsItemNet, CatFeaturesItemNet),
}
LOSSES = {"softmax": "softmax", "bce": "BCE", "gbce": "gBCE"}

DETERMINISTIC: dict[str, Callable[[], ModelBase]] = {
    "popular": PopularModel,
    "ease": lambda: EASEModel(regularization=500),
}


def sasrec(loss: str, blocks: str) -> ModelBase:
    """SASRec at the small setting, without key padding mask (RecTools' default)."""
    return SASRecModel(loss=LOSSES[loss], item_net_block_types=BLOCKS[blocks], use_key_padding_mask=False, **SMALL)


def bert4rec(loss: str, blocks: str) -> ModelBase:
    """BERT4Rec at the small setting, with key padding mask and 15 % masked positions."""
    return BERT4RecModel(loss=LOSSES[loss], item_net_block_types=BLOCKS[blocks], use_key_padding_mask=True, mask_prob=0.15, **SMALL)


# In the order in which a full run makes them.
NEURAL: dict[str, Callable[[], ModelBase]] = {
    "sasrec_softmax_ids": lambda: sasrec("softmax", "ids"),
    "sasrec_softmax_ids_categories": lambda: sasrec("softmax", "ids_categories"),
    "bert4rec_softmax_ids_categories": lambda: bert4rec("softmax", "ids_categories"),
    "sasrec_softmax_categories": lambda: sasrec("softmax", "categories"),
    "sasrec_bce_ids": lambda: sasrec("bce", "ids"),
    "sasrec_bce_categories": lambda: sasrec("bce", "categories"),
    "sasrec_bce_ids_categories": lambda: sasrec("bce", "ids_categories"),
    "sasrec_gbce_ids": lambda: sasrec("gbce", "ids"),
    "sasrec_gbce_categories": lambda: sasrec("gbce", "categories"),
    "sasrec_gbce_ids_categories": lambda: sasrec("gbce", "ids_categories"),
    "bert4rec_softmax_ids": lambda: bert4rec("softmax", "ids"),
}
ROWS = {**DETERMINISTIC, **NEURAL}

METRICS = {
    f"HitRate@{K}": HitRate(k=K),
    f"MAP@{K}": MAP(k=K),
    f"NDCG@{K}": NDCG(k=K, divide_by_achievable=True),
    f"NDCG_idealk@{K}": NDCG(k=K),
    f"Serendipity@{K}": Serendipity(k=K),
    f"AvgRecPopularity@{K}": AvgRecPopularity(k=K),
    f"Intersection@{K}": Intersection(k=K),
    f"CoveredUsers@{K}": CoveredUsers(k=K),
}
# RecTools appends the reference model's name to the name of an Intersection.
METRIC_COLUMNS = [f"{name}_popular" if name.startswith("Intersection") else name for name in METRICS]
COLUMNS = ["row", "seed", *METRIC_COLUMNS, "fit_seconds", "recommend_seconds", "threads"]


def read_interactions(data: Path) -> pd.DataFrame:
    """Read ``ratings.dat`` (user::movie::rating::unix seconds) with weight 1, in file order."""
    raw = pd.read_csv(data / "ratings.dat", sep="::", engine="python", header=None, names=["user", "movie", "rating", "seconds"])
    return pd.DataFrame(
        {
            Columns.User: raw["user"],
            Columns.Item: raw["movie"],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(raw["seconds"], unit="s"),
        }
    )


def read_genres(data: Path) -> pd.DataFrame:
    """Read ``movies.dat`` as a long feature table (id, feature, value), one row a genre; a movie without genre has no row."""
    rows = []
    with (data / "movies.dat").open(encoding="utf-8") as lines:
        for line in lines:
            movie, rest = line.rstrip("\n").split("::", 1)
            genres = rest.rsplit("::", 1)[1]
            rows += [(int(movie), "genre", genre) for genre in genres.split("|") if genre]
    return pd.DataFrame(rows, columns=["id", "feature", "value"])


def split(interactions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return train and test of the last 14-day fold and check their sizes."""
    splitter = TimeRangeSplitter("14D", n_splits=1, filter_cold_users=True, filter_cold_items=True, filter_already_seen=True)
    train_ids, test_ids, _ = next(splitter.split(Interactions(interactions)))
    train, test = interactions.iloc[train_ids], interactions.iloc[test_ids]
    found = {"train rows": len(train), "test rows": len(test), "test users": test[Columns.User].nunique()}
    if found != EXPECTED:
        raise SystemExit(f"The fold is not the expected one: {found}, expected {EXPECTED}.")
    return train, test


def run(model: ModelBase, dataset: Dataset, users: pd.Series) -> tuple[pd.DataFrame, float, float]:
    """Fit and recommend; return recommendations and the seconds of both."""
    begin = time.perf_counter()
    model.fit(dataset)
    fitted = time.perf_counter()
    recommendations = model.recommend(users=users, dataset=dataset, k=K, filter_viewed=True, on_unsupported_targets="ignore")
    return recommendations, fitted - begin, time.perf_counter() - fitted


def measure(recommendations: pd.DataFrame, popular: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """All metrics of one row; the catalogue is the items of train."""
    return calc_metrics(
        METRICS,
        reco=recommendations,
        interactions=test,
        prev_interactions=train,
        catalog=train[Columns.Item].unique(),
        ref_reco={"popular": popular},
    )


def finished(out: Path) -> set[tuple[str, int]]:
    """The (row, seed) pairs that the CSV file holds."""
    if not out.exists():
        return set()
    with out.open(newline="", encoding="utf-8") as lines:
        return {(line["row"], int(line["seed"])) for line in csv.DictReader(lines)}


def append(out: Path, line: dict[str, Any]) -> None:
    """Append one line and flush it; the header goes before the first."""
    new = not out.exists() or out.stat().st_size == 0
    with out.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(line)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help=f"comma-separated, of: {', '.join(ROWS)} (default: all, in this order)")
    parser.add_argument("--seeds", default="1", help="comma-separated seeds of the neural rows")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with ratings.dat and movies.dat")
    parser.add_argument("--out", type=Path, required=True, help="CSV file to append to")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    options = parser.parse_args(arguments)
    options.rows = options.rows.split(",")
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"unknown rows {unknown}; choose from {list(ROWS)}")
    return options


def main() -> None:
    """Run the asked-for rows that the file does not hold yet."""
    options = parse()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    torch.set_num_threads(options.threads)

    train, test = split(read_interactions(options.data))
    genres = read_genres(options.data)
    dataset = Dataset.construct(train, item_features_df=genres[genres["id"].isin(train[Columns.Item])], cat_item_features=["genre"])
    users = test[Columns.User].unique()
    popular, *_ = run(PopularModel(), dataset, users)

    done = finished(options.out)
    for row in options.rows:
        for seed in [0] if row in DETERMINISTIC else options.seeds:
            if (row, seed) in done:
                print(f"{row} seed {seed}: already in {options.out}", file=sys.stderr, flush=True)
                continue
            seed_everything(seed)
            recommendations, fit_seconds, recommend_seconds = run(ROWS[row](), dataset, users)
            values = measure(recommendations, popular, train, test)
            append(
                options.out,
                {
                    "row": row,
                    "seed": seed,
                    **values,
                    "fit_seconds": round(fit_seconds, 3),
                    "recommend_seconds": round(recommend_seconds, 3),
                    "threads": options.threads,
                },
            )
            print(f"{row} seed {seed}: {values} ({fit_seconds:.1f} s fit)", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
