"""Rank 0's side: it starts the ranks of its machine or meets those that a launcher started, hands out tasks, and ends with them all.

A rank that dies ends the run with a message, not in a wait: its connections break, which ends what the others were doing together.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import psutil
import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from torch._C._distributed_c10d import FileStore, Store
from torch.distributed.rendezvous import rendezvous

from recseq.distributed.launch import Seat
from recseq.distributed.ranks import PATIENCE, Message, Ranks, is_broken_connection, set_met
from recseq.errors import RankError

LOOK_SECONDS = 0.1
END_SECONDS = 10
# What rank 0 has, when another rank has died, to come back from what it was doing with it. gloo comes back at once, NCCL does not.
BREAK_SECONDS = 60
OUTPUT_TAIL = 2000


class Team:
    """The other ranks, as rank 0 sees them.

    Args:
        seat: Rank 0's.
        started_here: Whether the other ranks are started here; a launcher has started them else.

    Raises:
        RankError: A rank ended before it was met.
    """

    def __init__(self, seat: Seat, started_here: bool) -> None:
        self.seat = seat
        self.started_here = started_here
        self.failure: str | None = None
        self.version = 0
        self.shared_model: Any = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._closing = threading.Event()
        self._busy = False
        self._folder = TemporaryDirectory(prefix="recseq-ranks-")
        self._n_threads = torch.get_num_threads()
        self._environment = {name: os.environ.get(name) for name in _INTERFACES}
        if seat.n_local == seat.n_ranks:
            for name in _INTERFACES:
                os.environ.setdefault(name, loopback())  # nothing listens beyond this machine
        try:
            store = self._start() if started_here else launched_store(seat)
            self.ranks = Ranks(seat, store)
        except BaseException:
            self._kill()
            self._restore()
            raise
        if started_here:
            threading.Thread(target=self._watch, daemon=True).start()

    def _start(self) -> Store:
        """Start the other ranks as processes and wait until they are there."""
        folder = Path(self._folder.name)
        threads = max(1, self._n_threads // self.seat.n_local)
        torch.set_num_threads(threads)
        environment = dict(os.environ) | {"OMP_NUM_THREADS": str(threads), "POLARS_MAX_THREADS": str(threads)}
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry and Path(entry).is_dir())
        for rank in range(1, self.seat.n_ranks):
            seat = {"rank": rank, "n_ranks": self.seat.n_ranks, "local_rank": rank, "n_local": self.seat.n_local, "launcher": "recseq"}
            with (folder / f"rank_{rank}.txt").open("wb") as output:
                self._processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "recseq.distributed.worker", str(folder), json.dumps(seat)],
                        stdin=subprocess.PIPE,  # stays open: its end tells the rank that this process is no more
                        stdout=output,
                        stderr=output,
                        env=environment,
                    )
                )
        while not all((folder / f"ready_{rank}").exists() for rank in range(1, self.seat.n_ranks)):
            if (dead := self._dead()) is not None:
                raise RankError(dead)
            time.sleep(LOOK_SECONDS)
        return FileStore(str(folder / "store"), self.seat.n_ranks)

    def hand_out(self, message: Message) -> None:
        """Give all ranks a task."""
        self.ranks.broadcast(message)

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block in which ranks work together; an error in it ends them all.

        Raises:
            RankError: Another rank failed or died.
        """
        self._busy = True
        try:
            if self.failure is not None:
                raise RankError(self.failure)
            set_met(self.ranks)
            yield
        except BaseException as error:
            failure = self._failure_behind(error)
            self.close(broken=True)
            if failure is not None:
                raise RankError(failure) from error
            raise
        finally:
            set_met(None)
            self._busy = False

    def _failure_behind(self, error: BaseException) -> str | None:
        """What became of another rank, where that is why this one met an error: a broken connection is seen before its reason."""
        if not is_broken_connection(error):
            return None
        until = time.monotonic() + (END_SECONDS if self.started_here else 0)
        while self.failure is None and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        return self.failure or f"the connection to another rank broke; {self.seat.launcher} and its output tell why ({error})"

    def close(self, broken: bool = False) -> None:
        """End the other ranks, and wait for their end.

        Args:
            broken: They may be waiting for something that will not come; else they are told.
        """
        global _team
        self._closing.set()
        if _team is self:
            _team = None
        if not broken and self.failure is None:
            with suppress(RuntimeError):  # it has died on its own, now of no consequence
                self.hand_out(Message("end"))
            until = time.monotonic() + END_SECONDS
            while time.monotonic() < until and any(process.poll() is None for process in self._processes):
                time.sleep(LOOK_SECONDS / 10)
        self._kill()
        leaving = threading.Thread(target=self.ranks.leave, daemon=True)  # with ranks that died in the middle it may wait
        leaving.start()
        leaving.join(END_SECONDS)
        self._restore()

    def _kill(self) -> None:
        """They hold nothing that is not here too."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

    def _restore(self) -> None:
        torch.set_num_threads(self._n_threads)
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._folder.cleanup()

    def _watch(self) -> None:
        """Until the end: look whether a rank has died, and end the others then."""
        while not self._closing.wait(LOOK_SECONDS):
            if (dead := self._dead()) is None:
                continue
            self.failure = dead
            self._kill_others()
            if self._busy and not self._closing.wait(BREAK_SECONDS):
                _give_up(dead)
            return

    def _kill_others(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()

    def _dead(self) -> str | None:
        """What became of the first rank that has ended; None while all live."""
        for rank, process in enumerate(self._processes, start=1):
            if (code := process.poll()) is None:
                continue
            folder = Path(self._folder.name)
            told = folder / f"failure_{rank}"
            if told.exists():
                return f"rank {rank} failed: {told.read_text(encoding='utf-8')}"
            if code < 0:
                why = "out of memory?" if -code == signal.SIGKILL else signal.Signals(-code).name
                return f"rank {rank} (process {process.pid}) was killed by signal {-code} ({why}); nothing unfinished counts as a result"
            said = (folder / f"rank_{rank}.txt").read_text(encoding="utf-8", errors="replace")[-OUTPUT_TAIL:].strip()
            return f"rank {rank} (process {process.pid}) ended with exit code {code}{': ' + said if said else ''}"
        return None


_team: Team | None = None
_lost = False
_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


def team_of(n_local: int, n_nodes: int, on_cuda: bool) -> Team:
    """The team for a trainer's options; the one that is there, or a new one.

    Args:
        n_local: Devices on a machine.
        n_nodes: Machines.
        on_cuda: Devices are CUDA's.

    Raises:
        RankError: The ranks that a launcher started are gone.
    """
    global _team
    if _team is not None and (_team.failure is not None or (_team.started_here and _team.seat.n_local != n_local)):
        _team.close(broken=_team.failure is not None)
    if _team is None:
        if _lost:
            raise RankError("the ranks that the launcher started ended with an earlier failure; start the program again")
        _team = Team(Seat(0, n_local * n_nodes, 0, n_local, "recseq"), started_here=True)
    backend = "nccl" if on_cuda else "gloo"
    if _team.ranks.backend != backend:
        with _team.together():
            _team.hand_out(Message("use", {"backend": backend}))
            _team.ranks.use(backend)
    return _team


def close_team() -> None:
    """End the ranks that were started here."""
    if _team is not None and _team.started_here:
        _team.close()


atexit.register(close_team)


@contextmanager
def meet(seat: Seat) -> Iterator[None]:
    """A block in which rank 0 of a launcher is with the ranks that it started, until its end, whatever ends it."""
    global _team, _lost
    if _team is not None or _lost:
        yield
        return
    team = _team = Team(seat, started_here=False)
    try:
        yield
    except BaseException:
        if _team is team:
            team.close(broken=True)
        raise
    finally:
        if _team is team:
            team.close()
        _lost = True


def launched_store(seat: Seat) -> Store:
    """Where ranks that a launcher started find each other."""
    if seat.launcher == "torchrun":
        found = rendezvous("env://", seat.rank, seat.n_ranks, timeout=PATIENCE)
    else:
        found = rendezvous(slurm_address(os.environ), seat.rank, seat.n_ranks, timeout=PATIENCE)
    store: Store = next(found)[0]
    store.set_timeout(PATIENCE)
    return store


def slurm_address(environment: Mapping[str, str]) -> str:
    """Where rank 0 of a Slurm job listens: on its first machine, at a port that follows from the job's number.

    MASTER_ADDR and MASTER_PORT say otherwise.
    """
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST") or "127.0.0.1"
    host = environment.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes)
    port = environment.get("MASTER_PORT") or 15000 + int(environment.get("SLURM_JOB_ID", 0)) % 10000
    return f"tcp://{host}:{port}"


def loopback() -> str:
    """Name of the network interface that reaches this machine alone."""
    names = [name for name, addresses in psutil.net_if_addrs().items() if any(a.address == "127.0.0.1" for a in addresses)]
    return names[0] if names else "lo"


def _give_up(why: str) -> NoReturn:
    """End the process from a thread, where the main one cannot be reached: it waits on a device for a rank that is no more."""
    print(f"{why}\nNothing unfinished counts as a result.", file=sys.stderr, flush=True)
    os._exit(1)
