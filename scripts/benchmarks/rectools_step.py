"""Time full training steps of RecTools' SASRec or BERT4Rec on MovieTweetings: the other half of a side-by-side measurement.

Runs in the *RecTools* virtual environment (``rectools[torch]==0.19.0``), imports nothing of recseq and calls only RecTools' public
API: the model is built by its own ``fit`` on the train part of the last 14-day fold, with a trainer of ours (RecTools'
``get_trainer_func``) that runs the steps without Lightning's loop and so without its overhead. A step is what Lightning's loop
would do: fetch the next batch from the model's own train loader (collation and drawing of negatives included, as they are part of
the step), ``zero_grad``, ``training_step`` (forward and loss), backward, Adam. The short last batch of an epoch is left out. On the
CPU only.

stdout holds one JSON line and nothing else; whatever RecTools, Lightning or torch print goes to stderr. Its keys:
``median_seconds``, ``seconds`` (list, after the warm-up), ``median_fetch_seconds`` (the share of fetching the batch in a step),
``steps``, ``warmup``, ``threads``, ``torch``, ``rectools``, ``catalogue`` (real items), ``users``, ``last_loss`` and ``options``.

Usage:
    <rectools venv>/bin/python scripts/benchmarks/rectools_step.py --session-max-len 20 --n-factors 64 --n-blocks 1
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset, Interactions
from rectools.model_selection import TimeRangeSplitter
from rectools.models import BERT4RecModel, SASRecModel
from rectools.models.nn.item_net import CatFeaturesItemNet, IdEmbeddingsItemNet
from torch.utils.data import DataLoader

DEFAULT_DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "movietweetings"
MODELS = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel}
BLOCKS = {"ids": IdEmbeddingsItemNet, "categories": CatFeaturesItemNet}
TRAIN_ROWS = 134_716


class StepTimer:
    """A stand-in for Lightning's trainer that times training steps.

    Args:
        steps: Number of timed steps.
        warmup: Number of steps before them.
    """

    def __init__(self, steps: int, warmup: int) -> None:
        self.steps = steps
        self.warmup = warmup
        self.seconds: list[float] = []
        self.fetch_seconds: list[float] = []
        self.last_loss = float("nan")

    def fit(self, module: Any, train_dataloaders: DataLoader, val_dataloaders: DataLoader | None = None) -> None:
        """Run warm-up and timed steps; RecTools calls this where it would call Lightning's ``Trainer.fit``."""
        optimizer = module.configure_optimizers()
        module.train()
        module.on_train_start()  # initialises the weights
        full = train_dataloaders.batch_size
        if len(train_dataloaders.dataset) < full:
            raise SystemExit(f"The train part has {len(train_dataloaders.dataset)} users, fewer than one batch of {full}.")
        batches = endless(train_dataloaders)
        done = 0
        while done < self.warmup + self.steps:
            begin = time.perf_counter()
            batch = next(batches)
            fetched = time.perf_counter()
            if len(batch["x"]) < full:
                continue
            optimizer.zero_grad()
            loss = module.training_step(batch, done)
            loss.backward()
            optimizer.step()
            end = time.perf_counter()
            if done >= self.warmup:
                self.seconds.append(end - begin)
                self.fetch_seconds.append(fetched - begin)
                self.last_loss = loss.item()
            done += 1


def step_timer(steps: int, warmup: int) -> StepTimer:
    """Make the trainer; RecTools wants a function with a name."""
    return StepTimer(steps, warmup)


def endless(loader: DataLoader) -> Iterator[dict[str, torch.Tensor]]:
    """The loader's batches, epoch after epoch."""
    while True:
        yield from loader


def read_train(data: Path) -> pd.DataFrame:
    """The train part of the last 14-day fold, weight 1, in file order."""
    raw = pd.read_csv(data / "ratings.dat", sep="::", engine="python", header=None, names=["user", "movie", "rating", "seconds"])
    interactions = pd.DataFrame(
        {
            Columns.User: raw["user"],
            Columns.Item: raw["movie"],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(raw["seconds"], unit="s"),
        }
    )
    train_ids, _, _ = next(TimeRangeSplitter("14D", n_splits=1).split(Interactions(interactions)))
    if len(train_ids) != TRAIN_ROWS:
        raise SystemExit(f"The fold's train part has {len(train_ids)} rows, expected {TRAIN_ROWS}.")
    return interactions.iloc[train_ids]


def read_genres(data: Path) -> pd.DataFrame:
    """Long feature table (id, feature, value), one row a genre; a movie without genre has no row."""
    rows = []
    with (data / "movies.dat").open(encoding="utf-8") as lines:
        for line in lines:
            movie, rest = line.rstrip("\n").split("::", 1)
            genres = rest.rsplit("::", 1)[1]
            rows += [(int(movie), "genre", genre) for genre in genres.split("|") if genre]
    return pd.DataFrame(rows, columns=["id", "feature", "value"])


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; the model's defaults are RecTools'."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", choices=list(MODELS), default="sasrec", help="which model")
    parser.add_argument("--loss", choices=["softmax", "BCE", "gBCE", "sampled_softmax"], default="softmax", help="which loss")
    parser.add_argument("--n-negatives", type=int, default=50, help="negatives a position; ignored by softmax")
    parser.add_argument("--gbce-t", type=float, default=0.2, help="calibration of gBCE")
    parser.add_argument("--session-max-len", type=int, default=100, help="longest sequence")
    parser.add_argument("--n-factors", type=int, default=256, help="width")
    parser.add_argument("--n-blocks", type=int, default=2, help="transformer blocks")
    parser.add_argument("--n-heads", type=int, default=4, help="attention heads")
    parser.add_argument("--dropout-rate", type=float, default=0.2, help="dropout")
    parser.add_argument("--batch-size", type=int, default=128, help="users a batch")
    parser.add_argument("--blocks", default="ids", help="item net blocks, comma-separated: ids, categories")
    parser.add_argument("--steps", type=int, default=20, help="timed steps")
    parser.add_argument("--warmup", type=int, default=3, help="steps before the timed ones")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--seed", type=int, default=1, help="seed")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with ratings.dat and movies.dat")
    options = parser.parse_args(arguments)
    unknown = [block for block in options.blocks.split(",") if block not in BLOCKS]
    if unknown:
        parser.error(f"unknown blocks {unknown}; choose from {list(BLOCKS)}")
    if options.steps < 1 or options.warmup < 0:
        parser.error("--steps must be at least 1, --warmup at least 0")
    if options.n_factors % options.n_heads:
        parser.error("--n-factors must be a multiple of --n-heads")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Build the model, time its steps and return what goes into the JSON line."""
    torch.set_num_threads(options.threads)
    seed_everything(options.seed)
    train = read_train(options.data)
    genres = read_genres(options.data)
    dataset = Dataset.construct(train, item_features_df=genres[genres["id"].isin(train[Columns.Item])], cat_item_features=["genre"])
    model = MODELS[options.model](
        loss=options.loss,
        n_negatives=options.n_negatives,
        gbce_t=options.gbce_t,
        session_max_len=options.session_max_len,
        n_factors=options.n_factors,
        n_blocks=options.n_blocks,
        n_heads=options.n_heads,
        dropout_rate=options.dropout_rate,
        batch_size=options.batch_size,
        item_net_block_types=tuple(BLOCKS[block] for block in options.blocks.split(",")),
        get_trainer_func=step_timer,
        get_trainer_func_kwargs={"steps": options.steps, "warmup": options.warmup},
    )
    model.fit(dataset)
    timer = model.fit_trainer
    return {
        "median_seconds": statistics.median(timer.seconds),
        "seconds": timer.seconds,
        "median_fetch_seconds": statistics.median(timer.fetch_seconds),
        "steps": options.steps,
        "warmup": options.warmup,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rectools": version("rectools"),
        "catalogue": len(model.data_preparator.get_known_item_ids()),
        "users": model.data_preparator.train_dataset.user_id_map.size,
        "last_loss": timer.last_loss,
        "options": {name: value for name, value in vars(options).items() if name != "data"},
    }


def main() -> None:
    """Keep stdout for the JSON line: everything printed meanwhile, from C code too, goes to stderr."""
    options = parse()
    warnings.filterwarnings("ignore")
    stdout = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    result = measure(options)
    sys.stdout.flush()
    os.dup2(stdout, sys.stdout.fileno())
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
