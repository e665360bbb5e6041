"""Time `mode=recommend` to Parquet beside RecTools' `recommend`, on demo data in KION's shape, each side a process of its own, in turns.

    .venv/bin/python scripts/benchmarks/recommend.py --rectools-python <rectools venv>/bin/python --setting small --users 100000

Both sides fit SASRec of ids for one epoch on few users that between them have every item, so that the catalogue is the whole one, and
serve users of whom neither has trained. Speed does not hang on how good the weights are. Timed are the sorting of histories, ranking
and writing; not what comes before: reading the history and loading the model (recseq's whole command is told as well).
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import yaml
from side_by_side import measure, report

SIZES = Path(__file__).parents[2] / "conf" / "size"
N_TRAIN_USERS = 1000


def prepare(folder: Path, n_users: int, session_max_len: int) -> int:
    """Write `train.parquet` and `history.parquet`; return the size of the catalogue."""
    import polars as pl
    from hydra import compose, initialize_config_dir

    from recseq.data.sources import SOURCES
    from recseq.files import conf_folder
    from recseq.plain import plain_dict

    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        node = plain_dict(compose("config", overrides=["dataset=demo_kion"]))["dataset"]
    node.pop("cache")
    rows = SOURCES.build(node).read().interactions.frame.select("user_id", "item_id", "datetime")
    users = rows["user_id"].unique().sort().sample(n_users + N_TRAIN_USERS, seed=1)
    rows.join(users.head(n_users).to_frame(), on="user_id", how="semi", maintain_order="left").write_parquet(folder / "history.parquet")
    real = rows.join(users.tail(N_TRAIN_USERS).to_frame(), on="user_id", how="semi", maintain_order="left")
    items = rows["item_id"].unique().sort()
    # users of our making who have L items each, so that no item is missing from the vocabulary
    step = pl.int_range(items.len(), eager=True)
    length = min(session_max_len, 20)
    cover = pl.DataFrame(
        [
            (-1 - step // length).alias("user_id"),
            items.alias("item_id"),
            (pl.Series([rows["datetime"].min()] * items.len()).dt.cast_time_unit("us")).alias("datetime"),
        ]
    )
    pl.concat([real, cover.select(real.columns).cast(real.schema)]).write_parquet(folder / "train.parquet")
    return items.len()


def recseq_half(options: argparse.Namespace) -> None:
    """Train and save, or recommend: print one JSON line."""
    import torch
    from hydra import compose, initialize_config_dir

    from recseq.config import check_config
    from recseq.files import conf_folder
    from recseq.lifecycle.recommending import recommend
    from recseq.modes import run

    torch.set_num_threads(options.threads)
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    data = options.folder / "train.parquet"
    typed = [f"size={options.setting}", "dataset=tabular", f"dataset.path={data}", "dataset.cache=false", "item_net=[ids]", "trainer=cpu"]
    typed += ["tracking=none", "trainer.max_epochs=1", f"paths.outputs={options.folder}"]
    began = time.perf_counter()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        if options.half == "fit":
            run(compose("config", overrides=["mode=train", *typed]), options.folder / "trained")
            result = {"median_seconds": time.perf_counter() - began}
        else:
            typed += ["mode=recommend", f"model_path={options.folder}/trained/model"]
            config = check_config(compose("config", overrides=[*typed, f"recommend.history={options.folder}/history.parquet"]))
            run_folder = Path(tempfile.mkdtemp(dir=options.folder))
            cpu = time.process_time()
            recommend(config, run_folder)
            summary = json.loads((run_folder / "summary.json").read_text())
            result = {"median_seconds": summary["seconds"], "cpu_seconds": time.process_time() - cpu}
            result |= {"users": summary["n_users"], "rows": summary["n_rows"], "with_reading": time.perf_counter() - began}
    sys.stdout.flush()
    os.dup2(out, sys.stdout.fileno())
    print(json.dumps(result), flush=True)


def main() -> None:
    """Prepare once, fit both once, then measure in turns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rectools-python", type=Path, help="Python of a virtual environment with RecTools; without it recseq alone")
    parser.add_argument("--setting", choices=["small", "default"], default="small", help="sizes: a file of conf/size")
    parser.add_argument("--users", type=int, default=100_000, help="users to serve")
    parser.add_argument("--rectools-users", type=int, help="users that RecTools serves where that takes long; figures are a user then")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--half", choices=["fit", "recommend"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.half:
        recseq_half(options)
        return
    sizes = yaml.safe_load((SIZES / f"{options.setting}.yaml").read_text())
    theirs = options.rectools_users or options.users
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        n_items = prepare(folder, options.users, sizes["session_max_len"])
        own = [sys.executable, __file__, "--folder", place, "--setting", options.setting, "--threads", str(options.threads), "--half"]
        fits = {"recseq": [*own, "fit"]}
        sides = {"recseq": [*own, "recommend"]}
        if options.rectools_python is not None:
            their_folder = folder / "rectools"
            their_folder.mkdir()
            (their_folder / "train.parquet").symlink_to(folder / "train.parquet")
            write_some_users(folder / "history.parquet", their_folder / "history.parquet", theirs)
            script = Path(__file__).with_name("rectools_recommend.py")
            half = [str(options.rectools_python), str(script), "--folder", str(their_folder), "--sizes", json.dumps(sizes)]
            half += ["--threads", str(options.threads)]
            fits["RecTools"], sides["RecTools"] = [*half, "--fit"], half
        measure(fits, 1)
        results = measure(sides, options.rounds)
    title = f"recommend to Parquet, {options.setting} setting, catalogue of {n_items:,}, k=10, {options.threads} threads"
    for name, lines in results.items():
        print(f"{name}: {lines[0]['users']:,} users, {lines[0]['rows']:,} rows", *(f"{line['median_seconds']:.1f} s" for line in lines))
    print("recseq with reading and loading:", *(f"{line['with_reading']:.1f} s" for line in results["recseq"]))
    for lines in results.values():
        for line in lines:  # a thousand users, since both sides need not have had the same number
            thousands = line["users"] / 1000
            line["median_seconds"] /= thousands
            line["cpu_seconds"] /= thousands
    if len(results) == 2:
        report(f"{title}; a thousand users", results, "recseq", "RecTools")


def write_some_users(source: Path, target: Path, n_users: int) -> None:
    """The rows of the first users of a history."""
    import polars as pl

    rows = pl.read_parquet(source)
    users = rows["user_id"].unique().sort().head(n_users)
    rows.join(users.to_frame(), on="user_id", how="semi", maintain_order="left").write_parquet(target)


if __name__ == "__main__":
    main()
