"""How much of a job's time tracking and sweeping take.

    .venv/bin/python scripts/benchmarks/tracking.py [--seconds 60] [--server]

Runs one job of about `--seconds` (SASRec on the demo data, as many epochs as that takes, three folds) in three ways, in turns, in
processes of their own: alone without a tracker; alone with MLflow on SQLite; twice as the jobs of a sweep with MLflow, leaderboard and
report. The stores are fresh, so that making one counts. What is printed is the time inside the program's calls to the tracker and of the
sweep's callback, measured with a clock around them, as a share of the whole: the difference of two whole times drowns in what the machine
does between two runs. Importing torch and MLflow, which every job does, is no part of it.
With `--server` the tracker is an `mlflow server` that this program starts on loopback.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PARTS = ("tracker", "sweep start", "job end", "sweep end")
SMALL = ("size=small", "splitter.n_splits=3", "trainer.enable_progress_bar=false")


def job(overrides: list[str]) -> None:
    """Run recseq with a clock around the tracker and the sweep's callback; prints one JSON line last."""
    from recseq import cli, experiment  # noqa: F401 - its imports are no part of what is measured
    from recseq.sweeps.callback import SweepCallback
    from recseq.tracking import surviving
    from recseq.tracking.surviving import SurvivingTracker

    spent: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    calls = dict.fromkeys(PARTS, 0)
    depth = {"n": 0}

    def timed(owner: Any, name: str, what: str) -> None:
        real = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            depth["n"] += 1
            started = time.perf_counter()
            try:
                return real(*args, **kwargs)
            finally:
                depth["n"] -= 1
                calls[what] += 1
                if depth["n"] == 0:  # what the callback asks of the tracker counts once
                    spent[what] += time.perf_counter() - started

        setattr(owner, name, call)

    public = ("start", "log_dataset", "log_metrics", "log_artifact", "set_tags", "describe", "show_columns", "find", "end", "delete")
    for name in public:
        timed(SurvivingTracker, name, "tracker")
    timed(surviving.TRACKERS, "build", "tracker")
    for name, part in (("on_multirun_start", "sweep start"), ("on_job_end", "job end"), ("on_multirun_end", "sweep end")):
        timed(SweepCallback, name, part)
    sys.argv = ["recseq", *overrides]
    started = time.perf_counter()
    with contextlib.suppress(SystemExit):
        cli.main()
    print(json.dumps({"seconds": time.perf_counter() - started, "spent": spent, "calls": calls}))


def measure(overrides: list[str], folder: Path) -> dict[str, Any]:
    """One process."""
    command = [sys.executable, __file__, "--job", *overrides, f"paths.outputs={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """An MLflow server on loopback."""
    import socket
    import urllib.request

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = ("--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "served"))
    command = [str(Path(sys.executable).with_name("mlflow")), "server", "--port", str(port), "--workers", "1", *store]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        for _ in range(240):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of the job, about")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--server", action="store_true", help="log to a server instead of SQLite")
    parser.add_argument("--job", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job is not None:
        job(options.job)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        uri = [f"tracking.uri={stack.enter_context(served(folder))}"] if options.server else []
        short, longer = (measure([*SMALL, "tracking=none", f"trainer.max_epochs={n}"], folder / f"try{n}")["seconds"] for n in (1, 4))
        epochs = max(1, round((options.seconds - short) / ((longer - short) / 3)) + 1)
        common = [*SMALL, f"trainer.max_epochs={epochs}"]
        ways = {
            "alone, no tracker": [*common, "tracking=none"],
            "alone, MLflow": common + uri,
            "sweep of two, MLflow": ["-m", "seed=1,2", *common, *uri],
        }
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for round_ in range(options.rounds):
            for i, (way, overrides) in enumerate(ways.items()):
                found[way].append(measure(overrides, folder / f"{round_}-{i}"))
    print(f"{epochs} epochs x 3 folds, {'server' if options.server else 'SQLite'}, median of {options.rounds}")
    for way, results in found.items():
        whole = statistics.median(each["seconds"] for each in results)
        parts = {part: statistics.median(each["spent"][part] for each in results) for part in PARTS}
        told = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in parts.items() if results[-1]["calls"][part])
        print(f"{way:22} {whole:6.1f} s; {told} ({results[-1]['calls']['tracker']} calls): {sum(parts.values()) / whole:.1%}")


if __name__ == "__main__":
    main()
