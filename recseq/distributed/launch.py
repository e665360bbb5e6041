"""Whether a launcher (torchrun, Slurm's srun) has started this program once for each rank, and which rank it is.

Imports no torch: every start of the program asks.
"""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Seat:
    """A rank's place.

    Args:
        rank: Among all ranks, from 0.
        n_ranks: Ranks on all machines.
        local_rank: Among those of its machine, from 0; also the number of its device.
        n_local: Ranks on its machine.
        launcher: Who has started it, for messages.
    """

    rank: int
    n_ranks: int
    local_rank: int
    n_local: int
    launcher: str


# Rank, number of ranks, rank on the machine. Slurm's are those of srun's step: a batch script without srun is told of tasks that nobody
# starts.
LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
}


def launched_seat(environment: Mapping[str, str] | None = None) -> Seat | None:
    """The seat that a launcher has given this process; None: it was started alone.

    Args:
        environment: Variables; None takes the process's.
    """
    found = os.environ if environment is None else environment
    for launcher, names in LAUNCHERS.items():
        if all(found.get(name, "").isdecimal() for name in names):
            rank, n_ranks, local_rank = (int(found[name]) for name in names)
            if n_ranks == 1:
                continue
            if launcher == "torchrun":
                n_local = int(found.get("LOCAL_WORLD_SIZE", n_ranks))
            else:
                n_local = math.ceil(n_ranks / int(found.get("SLURM_STEP_NUM_NODES", 1)))
            return Seat(rank, n_ranks, local_rank, n_local, launcher)
    return None


def leads() -> bool:
    """Whether this process is the program's one rank 0, and no rank that follows it."""
    seat = launched_seat()
    return seat is None or seat.rank == 0


@contextmanager
def launched() -> Iterator[bool]:
    """The block that the program is run in: yields whether it is to be run here; a rank other than 0 follows rank 0 before that instead.

    Rank 0 meets the others at once, so that they learn of its end, whatever ends it. Within another such block it only yields.
    """
    seat = launched_seat()
    if seat is None:
        yield True
        return
    if seat.rank > 0:
        from recseq.distributed.worker import follow_launched

        follow_launched(seat)
        yield False
        return
    from recseq.distributed.team import meet

    with meet(seat):
        yield True
