"""Step time and peak memory of training on a catalogue of millions: an optimizer of whole tables beside one of touched rows.

    .venv/bin/python scripts/benchmarks/large_catalogue.py --items 1000000

Each side is a process of its own, in turns: SASRec at the small setting, gbce with 50 negatives, simulated sequences of 20,000 users whose
items follow a power law. A step is: next batch from the loader, zero_grad, forward and loss, backward, optimizer. Peak memory is the
process's resident set, of which Python and the libraries take about half a gigabyte.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from itertools import chain, repeat

from side_by_side import measure, report

SIDES = {
    "adam": ["optimizer=adam"],
    "rows mean": ["optimizer=rowwise_adam", "optimizer.row_state=mean"],
    "rows elements": ["optimizer=rowwise_adam", "optimizer.row_state=elements"],
}
N_USERS = 20_000


def steps(options: argparse.Namespace) -> None:
    """One side: print one JSON line."""
    import numpy as np
    import polars as pl
    import torch
    from hydra import compose, initialize_config_dir

    from recseq.config import check_config
    from recseq.data.batches import TrainLoader
    from recseq.data.sequences import SequenceStore
    from recseq.data.vocabulary import Vocabulary
    from recseq.environment import seed_everything
    from recseq.files import conf_folder
    from recseq.model_specs import groups_of, model_options
    from recseq.models import MODELS
    from recseq.models.sequential import SequentialRecommender

    overrides = ["model=sasrec", "size=small", f"size.n_factors={options.factors}", "item_net=[ids]"]
    overrides += ["loss=gbce", f"loss.n_negatives={options.n_negatives}", *SIDES[options.side]]
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = check_config(compose("config", overrides=overrides))
    seed_everything(1, False)
    model = MODELS.build(model_options(config["model"]), groups=groups_of(config))
    assert isinstance(model, SequentialRecommender)
    rng = np.random.default_rng(0)
    lengths = np.minimum(2 + rng.geometric(0.1, N_USERS), model.session_max_len + 1)
    n_rows = int(lengths.sum())
    items = np.minimum(rng.pareto(0.6, n_rows) * 10, options.items - 1).astype(np.int64)
    items = (items * 7_368_787 + 11) % options.items + 1  # popular items lie all over the table
    store = SequenceStore(
        user_ids=pl.Series("user_id", np.arange(N_USERS)),
        items=torch.from_numpy(items.astype(np.int32)),
        offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])),
        weights=torch.ones(n_rows),
        seconds=torch.zeros(n_rows, dtype=torch.int64),
        lengths=lengths,
        n_items=options.items,
    )
    vocabulary = Vocabulary(pl.Series("item_id", np.arange(options.items)))
    module = model.build_module(vocabulary, None).train()
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign,assignment]  # there is no Lightning trainer here
    optimizer = module.make_optimizer(module.parameters())
    loader = TrainLoader(store, model.objective, model.batch_size, seed=1)
    seconds: list[float] = []
    batches = chain.from_iterable(repeat(loader))
    while len(seconds) < options.steps + options.warmup:
        started = time.perf_counter()
        batch = next(batches)
        optimizer.zero_grad()
        module.training_step(batch, 0).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"median_seconds": statistics.median(seconds[options.warmup :]), "peak_bytes": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=["all", *SIDES], default="all")
    parser.add_argument("--without", choices=SIDES, nargs="*", default=[], help="sides that are left out")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--n-negatives", type=int, default=50)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.side != "all":
        steps(options)
        return
    sides = [side for side in SIDES if side not in options.without]
    results = measure({side: [sys.executable, __file__, *sys.argv[1:], "--side", side] for side in sides}, options.rounds)
    others = [side for side in sides if side != "rows mean"]
    for theirs in others:
        pair = {side: results[side] for side in ("rows mean", theirs)}
        report(f"Step, {options.items:,} items, D={options.factors}, gbce with {options.n_negatives} negatives", pair, "rows mean", theirs)
    for side, lines in results.items():
        print(f"  {side:14s} peak {statistics.median(line['peak_bytes'] for line in lines) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
