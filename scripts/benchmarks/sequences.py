"""Time the way from interactions to training sequences at the KION shape (5,476,251 simulated rows), beside RecTools'.

    .venv/bin/python scripts/benchmarks/sequences.py --rectools-python <rectools venv>/bin/python

recseq: sort, filter, truncate, vocabulary, encode (`Histories`, `SequenceStore`). RecTools: `Dataset.construct`, then its SASRec
data preparator's train processing and train loader. Both start from the table in memory, or with `--csv` from files of KION's form
(interactions.csv, and items.csv with genres and directors): recseq reads them with the source `tabular`, RecTools' side as its tutorial
does, with pandas.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from side_by_side import measure, report

L = 100


def recseq_side(path: Path, repeats: int) -> None:
    import polars as pl

    from recseq.data.features import Categories
    from recseq.data.sequences import Histories, SequenceStore
    from recseq.data.vocabulary import Vocabulary

    seconds, cpu = [], []
    for _ in range(repeats):
        source = tabular(path) if path.is_dir() else None  # composing its config is not reading
        frame = None if path.is_dir() else pl.read_parquet(path)
        started, cpu_started = time.perf_counter(), time.process_time()
        features = None
        if source is not None:
            dataset = source.read()
            frame, features = dataset.interactions.frame, dataset.item_features
        kept = Histories.from_frame(frame).keep(2, L + 1)
        vocabulary = Vocabulary.from_items(kept.rows["item_id"])
        store = SequenceStore.from_histories(kept, vocabulary)
        if features is not None:
            Categories.of_vocabulary(features.categorical, vocabulary, vocabulary.n_items + 1)
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_started)
    found = {"median_seconds": statistics.median(seconds), "cpu_seconds": statistics.median(cpu)}
    print(json.dumps({**found, "rows": len(store.items), "users": store.n_users}))


def tabular(folder: Path) -> Any:
    """The source that reads a folder of the CSV form."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from recseq.data.sources import SOURCES
    from recseq.files import conf_folder

    overrides = [f"dataset.path={folder / 'interactions.csv'}", "dataset.columns.datetime=last_watch_dt"]
    overrides += [f"dataset.items.path={folder / 'items.csv'}", "dataset.items.features=[genres,directors]"]
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        node = compose("config", overrides=["dataset=tabular", *overrides, "dataset.items.value_separator=', '"]).dataset
    return SOURCES.build(OmegaConf.to_container(node))  # type: ignore[arg-type]


def rectools_side(path: Path) -> None:
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models.nn.transformers.sasrec import SASRecDataPreparator

    names = [Columns.User, Columns.Item, Columns.Datetime, Columns.Weight]
    frame = None if path.is_dir() else pd.read_parquet(path).astype({"weight": "float64"}).set_axis(names, axis=1)
    started, cpu_started = time.perf_counter(), time.process_time()
    if frame is None:
        frame = pd.read_csv(path / "interactions.csv", parse_dates=["last_watch_dt"]).rename(columns={"last_watch_dt": Columns.Datetime})
        frame[Columns.Weight] = 1
        items = pd.read_csv(path / "items.csv")
        parts = []
        for column in ("genres", "directors"):
            part = items[["item_id", column]].assign(value=items[column].str.lower().str.split(", ")).explode("value")
            parts.append(part[["item_id", "value"]].set_axis(["id", "value"], axis=1).dropna().assign(feature=column))
        features = pd.concat(parts)
        features = features[features["id"].isin(frame[Columns.Item])]
        given = {"item_features_df": features, "cat_item_features": ["genres", "directors"]}
        dataset = Dataset.construct(frame, **given)
    else:
        dataset = Dataset.construct(frame)
    preparator = SASRecDataPreparator(session_max_len=L, batch_size=128, dataloader_num_workers=0, train_min_user_interactions=2)
    preparator.process_dataset_train(dataset)
    loader = preparator.get_dataloader_train()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    print(json.dumps({"median_seconds": seconds, "cpu_seconds": cpu, "users": len(loader.dataset)}))


def write_views(frame: Any, path: Path) -> None:
    """Interactions as KION's interactions.csv."""
    import polars as pl

    frame.select(
        "user_id",
        "item_id",
        last_watch_dt=pl.col("datetime").dt.date(),
        total_dur=pl.col("item_id") % 9000,
        watched_pct=(pl.col("item_id") % 100).cast(pl.Float64),
    ).write_csv(path)


def write_csv(dataset: Any, folder: Path) -> None:
    """The simulated data in KION's form."""
    import polars as pl

    folder.mkdir()
    write_views(dataset.interactions.frame, folder / "interactions.csv")
    features = dataset.item_features.categorical.group_by("item_id", "feature").agg(pl.col("value").str.join(", "))
    wide = features.pivot("feature", index="item_id", values="value").rename({"genre": "genres", "director": "directors"})
    dataset.titles.join(wide, on="item_id", how="left").write_csv(folder / "items.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rectools-python")
    parser.add_argument("--side", choices=["both", "recseq", "rectools"], default="both")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--csv", action="store_true", help="start from CSV files, item features included")
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
        dataset = SOURCES.build(node).read()  # type: ignore[arg-type]
        table = Path(folder) / ("kion" if options.csv else "interactions.parquet")
        if options.csv:
            write_csv(dataset, table)
        else:
            dataset.interactions.frame.write_parquet(table)
        del dataset
        commands = {"recseq": [sys.executable, __file__, "--side", "recseq", "--table", str(table)]}
        if options.rectools_python:
            commands["RecTools"] = [options.rectools_python, __file__, "--side", "rectools", "--table", str(table)]
        results = measure(commands, options.rounds)
        if "RecTools" in results:
            report(f"Sequences from 5,476,251 rows {'of CSV' if options.csv else 'in memory'}", results, "recseq", "RecTools")


if __name__ == "__main__":
    main()
