"""Two claims about searches, on demo data and a CPU.

pareto: a search of MAP@10 and Serendipity@10 reaches a hypervolume whose median over seeds is not below random search's of equal budget.
pruning: a search that prunes finds as good a trial as one that does not, in less time. Both draw the same trials (random sampler, same
seed), so that pruning alone makes the difference.

    python scripts/benchmarks/search.py --seeds 1 2 3 --trials 20
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DATA = ("dataset.n_users=2000", "dataset.n_items=400", "dataset.n_interactions=14000", "dataset.n_directors=100")
MODEL = (
    "size=small",
    "size.n_factors=32",
    "size.n_heads=2",
    "trainer=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.checkpoint=false",
)
SPACE = (
    "optimizer.lr=tag(log,interval(1e-5,1e-1))",
    "model.dropout_rate=interval(0,0.8)",
    "model.batch_size=choice(32,128,512)",
    "loss=softmax,bce",
)
COMMON = (*DATA, *MODEL, "tracking=none", "search=optuna", *SPACE)
PARETO = (*COMMON, "splitter.test_size=14D", "trainer.max_epochs=3", "search.objectives=[MAP@10,Serendipity@10]")
PRUNING = (*COMMON, "search/sampler=random", "splitter.test_size=14D", "splitter.n_splits=3", "trainer.max_epochs=4")


def search(arguments: Sequence[str], n_trials: int, seed: int) -> dict[str, Any]:
    """Run one search: its seconds, its account, and the means of every finished trial."""
    program = Path(sys.executable).with_name("recseq")
    with tempfile.TemporaryDirectory() as folder:
        command = [str(program), *arguments, f"search.n_trials={n_trials}", f"search.seed={seed}", "hydra.sweep.dir=sweep"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
        account = json.loads((Path(folder) / "sweep" / "search.json").read_text())
        trials = []
        for path in Path(folder).glob("sweep/*/summary.json"):
            summary = json.loads(path.read_text())
            trials.append({name: values["mean"] for name, values in summary["models"][summary["model"]].items()})
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "account": account, "trials": trials}


def hypervolume(points: Sequence[tuple[float, float]]) -> float:
    """Area that points (both maximised) dominate, above the origin."""
    area, reached = 0.0, 0.0
    for x, y in sorted(points, reverse=True):
        area += x * max(y - reached, 0.0)
        reached = max(reached, y)
    return area


def pareto(seeds: Sequence[int], n_trials: int) -> bool:
    """The claim about several objectives."""
    found: dict[str, list[float]] = {"tpe": [], "random": []}
    for seed in seeds:
        for sampler, volumes in found.items():
            trials = search((*PARETO, f"search/sampler={sampler}"), n_trials, seed)["trials"]
            volumes.append(hypervolume([(trial["MAP@10"], trial["Serendipity@10"]) for trial in trials]))
            print(f"  seed {seed}, {sampler}: hypervolume {volumes[-1]:.4e}", file=sys.stderr)
    medians = {sampler: statistics.median(volumes) for sampler, volumes in found.items()}
    print(f"Hypervolume of MAP@10 and Serendipity@10 above (0, 0), {n_trials} trials, seeds {', '.join(map(str, seeds))}")
    for sampler, volumes in found.items():
        print(f"  {sampler:8s} median {medians[sampler]:.4e}  ({', '.join(f'{volume:.4e}' for volume in volumes)})")
    return medians["tpe"] >= medians["random"]


def pruning(seeds: Sequence[int], n_trials: int) -> bool:
    """The claim about pruning."""
    results: dict[str, list[dict[str, Any]]] = {"none": [], "median": []}
    for seed in seeds:
        for pruner, runs in results.items():
            runs.append(search((*PRUNING, f"search/pruner={pruner}"), n_trials, seed))
            best, spent = runs[-1]["account"]["best"][0]["values"]["MAP@10"], (runs[-1]["seconds"], runs[-1]["cpu_seconds"])
            print(f"  seed {seed}, {pruner}: best {best:.6f}, {spent[0]:.0f} s, CPU {spent[1]:.0f} s", file=sys.stderr)
    print(f"Search of {n_trials} trials for MAP@10 over 3 folds, with and without pruning, seeds {', '.join(map(str, seeds))}")
    for pruner, runs in results.items():
        best = ", ".join(f"{run['account']['best'][0]['values']['MAP@10']:.6f}" for run in runs)
        pruned = ", ".join(str(run["account"]["trials"]["pruned"]) for run in runs)
        seconds, cpu_seconds = (", ".join(f"{run[key]:.0f}" for run in runs) for key in ("seconds", "cpu_seconds"))
        print(f"  {pruner:8s} best {best}; pruned {pruned}; seconds {seconds}; CPU seconds {cpu_seconds}")
    pairs = list(zip(results["median"], results["none"], strict=True))
    as_good = all(a["account"]["best"][0]["values"]["MAP@10"] >= b["account"]["best"][0]["values"]["MAP@10"] for a, b in pairs)
    ratio, cpu_ratio = (statistics.median(a[key] / b[key] for a, b in pairs) for key in ("seconds", "cpu_seconds"))
    print(f"  as good in every seed: {as_good}; time with pruning / without: {ratio:.2f}, CPU time: {cpu_ratio:.2f}")
    return as_good and cpu_ratio < 1  # what else runs on the machine does not count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claim", choices=["pareto", "pruning", "both"], default="both")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}")
    claims = {"pareto": pareto, "pruning": pruning}
    held = [claims[name](options.seeds, options.trials) for name in claims if options.claim in (name, "both")]
    print("held" if all(held) else "NOT held")
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
