"""RecTools' half of `recommend.py`: fit a SASRecModel once, then time `recommend` to Parquet.

Runs in the *RecTools* virtual environment (``rectools[torch]==0.19.0``), imports nothing of recseq and calls only RecTools' public API.
What is timed is `model.recommend` and `to_parquet`; reading, `Dataset.construct` and loading the model are not. On the CPU only.

stdout holds one JSON line and nothing else; whatever RecTools, Lightning or torch print goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel, load_model
from rectools.models.nn.item_net import IdEmbeddingsItemNet


def read(path: Path) -> Dataset:
    """A dataset of a Parquet file of user_id, item_id, datetime."""
    frame = pd.read_parquet(path)
    frame[Columns.Weight] = 1.0
    return Dataset.construct(frame)


def fit(options: argparse.Namespace) -> dict[str, Any]:
    """Fit for one epoch and save."""
    sizes = json.loads(options.sizes)
    model = SASRecModel(**sizes, epochs=1, item_net_block_types=(IdEmbeddingsItemNet,), deterministic=False)
    started = time.perf_counter()
    model.fit(read(options.folder / "train.parquet"))
    model.save(options.folder / "rectools.model")
    return {"median_seconds": time.perf_counter() - started}


def recommend(options: argparse.Namespace) -> dict[str, Any]:
    """Recommend to everybody of the history."""
    model = load_model(options.folder / "rectools.model")
    dataset = read(options.folder / "history.parquet")
    users = dataset.user_id_map.external_ids
    cpu, started = time.process_time(), time.perf_counter()
    found = model.recommend(users, dataset, k=10, filter_viewed=True, on_unsupported_targets="ignore")
    found.to_parquet(options.folder / "rectools.parquet", index=False)
    seconds = time.perf_counter() - started
    return {"median_seconds": seconds, "cpu_seconds": time.process_time() - cpu, "users": len(users), "rows": len(found)}


def main() -> None:
    """Keep stdout for the JSON line: everything printed meanwhile, from C code too, goes to stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="train.parquet and history.parquet; the model and output go there")
    parser.add_argument("--sizes", required=True, help="JSON of the model's sizes")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--fit", action="store_true", help="fit and save instead")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    seed_everything(1)
    stdout = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    result = fit(options) if options.fit else recommend(options)
    sys.stdout.flush()
    os.dup2(stdout, sys.stdout.fileno())
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
