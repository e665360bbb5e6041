"""One job of a sweep in a process of its own: `python -m recseq.sweeps.job_process PIPE`, started by `hydra/launcher=processes`.

What to do comes as one line of JSON on standard input, whose end says that the sweep is no more; how it ended goes to the pipe.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf, open_dict

from recseq import cli
from recseq.errors import JobError, RecseqError, TrialPruned
from recseq.sweeps.rerun import quoted
from recseq.termination import handled

WAIT_SECONDS = 60
MAX_TEXT = 10_000  # of a message: a pipe takes 64 kB without a reader


def main() -> int:
    """Run the job.

    Returns:
        Exit code.
    """
    pipe = int(sys.argv[1])
    orders = os.fdopen(os.dup(0), "rb", buffering=0)
    line = b""
    while not line.endswith(b"\n"):
        if not (read := orders.read(65536)):
            return 1  # the sweep ended before it said what to do
        line += read
    order = json.loads(line)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    threading.Thread(target=end_with_sweep, args=(orders, order["grace_seconds"]), daemon=True).start()
    sys.argv = order["argv"]  # what was typed, for provenance
    sys.path += [entry for entry in order["path"] if entry not in sys.path]
    try:
        with handled():
            answer = describe(run(order))
    except KeyboardInterrupt:
        answer = {"status": "INTERRUPTED", "error": "interrupted", "errno": None, "value": None}
    except Exception as error:
        traceback.print_exc()
        answer = failure(error)
    os.write(pipe, json.dumps(answer).encode())
    return 0 if answer["status"] == "FINISHED" else 1


def end_with_sweep(orders: Any, grace_seconds: float) -> None:
    """Wait for the end of the sweep's process, then end this one as SIGTERM does, at the latest after a grace."""
    while orders.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os._exit(130)


def run(order: dict[str, Any]) -> JobReturn:
    """Compose the job's config and run it as Hydra's own launcher does.

    Args:
        order: Number, overrides, where configs are, and the sweep's folder.
    """
    setup_globals()
    main_folder = next(path for provider, path in order["configs"] if provider == "main")
    search_path = create_config_search_path(main_folder)
    for provider, path in order["configs"]:
        if provider == "command-line":
            search_path.prepend(provider, path, anchor="schema")  # which has to be last
    hydra = Hydra.create_main_hydra2(task_name="recseq", config_search_path=search_path)
    overrides = [*order["hydra_overrides"], *order["overrides"], f"hydra.sweep.dir={quoted(order['sweep'])}"]
    config = hydra.config_loader.load_configuration(config_name=order["config_name"], overrides=overrides, run_mode=RunMode.RUN)
    with open_dict(config):
        config.hydra.job.num = config.hydra.job.id = order["number"]
        config.hydra.mode = RunMode.MULTIRUN
    folder = Path(order["sweep"]) / str(OmegaConf.select(config, "hydra.sweep.subdir"))
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".job.lock")
    try:
        lock.acquire(timeout=WAIT_SECONDS)  # a job of a sweep that was killed may still be closing its run
    except Timeout:
        raise JobError(f"another process still runs a job in {folder}") from None
    with lock:
        return run_job(
            task_function=cli.task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config)),
        )


def describe(done: JobReturn) -> dict[str, Any]:
    """How a job ended, for the sweep's process."""
    if done.status == JobStatus.COMPLETED:
        return {"status": "FINISHED", "error": None, "errno": None, "value": done.return_value}
    error = done._return_value
    if not isinstance(error, RecseqError):
        traceback.print_exception(error)
    return failure(error)


def failure(error: BaseException) -> dict[str, Any]:
    """An exception for the sweep's process; the number of an operating system's error also where another one hides it."""
    found: BaseException | None = error
    number = None
    while found is not None and number is None:
        number = found.errno if isinstance(found, OSError) else None
        found = found.__cause__ or found.__context__
    text = (str(error) or type(error).__name__)[:MAX_TEXT]
    return {"status": "PRUNED" if isinstance(error, TrialPruned) else "FAILED", "error": text, "errno": number, "value": None}


if __name__ == "__main__":
    sys.exit(main())
