"""Time the way from interactions to training sequences at the KION shape (5,476,251 simulated rows), beside RecTools'.

    .venv/bin/python scripts/benchmarks/sequences.py --rectools-python <rectools venv>/bin/python

recseq: sort, filter, truncate, vocabulary, encode (`Histories`, `SequenceStore`). RecTools: `Dataset.construct`, then its SASRec
data preparator's train processing and train loader. Both start from the table in memory.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import measure, report

L = 100


def recseq_side(path: Path, repeats: int) -> None:
    import polars as pl

    from recseq.data.sequences import Histories, SequenceStore
    from recseq.data.vocabulary import Vocabulary

    frame = pl.read_parquet(path)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        kept = Histories.from_frame(frame).keep(2, L + 1)
        store = SequenceStore.from_histories(kept, Vocabulary.from_items(kept.rows["item_id"]))
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"median_seconds": statistics.median(seconds), "rows": len(store.items), "users": store.n_users}))


def rectools_side(path: Path) -> None:
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models.nn.transformers.sasrec import SASRecDataPreparator

    frame = pd.read_parquet(path).astype({"weight": "float64"})
    frame.columns = [Columns.User, Columns.Item, Columns.Datetime, Columns.Weight]
    started = time.perf_counter()
    dataset = Dataset.construct(frame)
    preparator = SASRecDataPreparator(session_max_len=L, batch_size=128, dataloader_num_workers=0, train_min_user_interactions=2)
    preparator.process_dataset_train(dataset)
    loader = preparator.get_dataloader_train()
    seconds = time.perf_counter() - started
    print(json.dumps({"median_seconds": seconds, "users": len(loader.dataset)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rectools-python")
    parser.add_argument("--side", choices=["both", "recseq", "rectools"], default="both")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if options.side == "recseq":
        recseq_side(options.table, repeats=3)
        return
    if options.side == "rectools":
        rectools_side(options.table)
        return

    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from recseq.data.sources import SOURCES
    from recseq.files import conf_folder

    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        node = OmegaConf.to_container(compose("config", overrides=["dataset=demo_kion"]).dataset)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "interactions.parquet"
        SOURCES.build(node).read().interactions.frame.write_parquet(table)  # type: ignore[arg-type]
        commands = {"recseq": [sys.executable, __file__, "--side", "recseq", "--table", str(table)]}
        if options.rectools_python:
            commands["RecTools"] = [options.rectools_python, __file__, "--side", "rectools", "--table", str(table)]
        results = measure(commands, options.rounds)
        if "RecTools" in results:
            report("Sequences from 5,476,251 rows", results, "recseq", "RecTools")


if __name__ == "__main__":
    main()
