"""`recseq` as it is typed, without the seconds that each start of Python spends on importing torch, Lightning and MLflow.

A server process has imported them and forks one child for each command, with its own arguments, environment, folder and output.
"""

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from conftest import TINY_MODEL

SMALL = (
    "dataset.n_users=300",
    "dataset.n_items=60",
    "dataset.n_interactions=2000",
    "dataset.n_directors=10",
    "dataset.n_genres=5",
    *TINY_MODEL,
    "model.batch_size=64",
    "trainer=cpu",
    "trainer.max_epochs=1",
)
PROGRAM = str(Path(sys.executable).with_name("recseq"))

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["recseq.modes", "recseq.report.command", "recseq.sweeps.search.runner"])


def recseq(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None, seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Args:
        folder: Working directory.
        arguments: Words behind `recseq`.
        environment: Variables beside those of this process.
        seconds: It may take.
    """
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "err")
        process = _server.Process(target=_run, args=(folder, arguments, {**os.environ, **(environment or {})}, out, err))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, seconds, out.read_text(), err.read_text())
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text(), err.read_text())


def in_new_process(function: Callable[..., None], *arguments: object, seconds: float = 300) -> None:
    """Call a function of a test module in a process that has nothing of this one's."""
    process = _server.Process(target=function, args=arguments)
    process.start()
    process.join(seconds)
    assert process.exitcode == 0


def _run(folder: Path, arguments: tuple[str, ...], environment: Mapping[str, str], out: Path, err: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [PROGRAM, *arguments]
    from recseq.cli import main

    try:
        main()
    finally:
        atexit._run_exitfuncs()  # a process of multiprocessing ends without
        sys.stdout.flush()
