"""A rank other than 0: it does what rank 0 hands out, and writes nothing.

Rank 0 starts those of its machine with `python -m recseq.distributed.worker FOLDER SEAT`; torchrun and srun start them with the program.
"""

import json
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from recseq.distributed.launch import Seat


def follow_launched(seat: Seat) -> None:
    """Follow rank 0 until it ends, as a rank that a launcher has started."""
    quiet()
    from recseq.distributed.ranks import Ranks, is_broken_connection
    from recseq.distributed.team import launched_store
    from recseq.errors import RecseqError
    from recseq.termination import Terminated

    ranks = None
    try:
        ranks = Ranks(seat, launched_store(seat))
        follow(ranks)
    except RecseqError as error:
        print(f"rank {seat.rank} failed: {error}", file=sys.stderr)  # rank 0 meets the same, or sees that this one is gone: it fails
    except RuntimeError as error:
        if not is_broken_connection(error):
            raise
        print(f"rank {seat.rank} ends, for another rank has ended", file=sys.stderr)  # no failure of its own: rank 0 tells what it was
    except Terminated:
        print(f"rank {seat.rank} ends with rank 0, which was told to", file=sys.stderr)
    finally:
        if ranks is not None:
            ranks.leave()


def follow(ranks: Any) -> None:
    """Do what rank 0 hands out, until it says that this is the end."""
    import recseq.models  # noqa: F401 - first: it imports the tasks, which need parts of it
    from recseq.distributed.ranks import set_met
    from recseq.distributed.tasks import TASKS, Kept

    set_met(ranks)
    kept = Kept()
    while (message := ranks.broadcast(None)).kind != "end":
        TASKS[message.kind](ranks, message, kept)


def quiet() -> None:
    """Rank 0 says everything that is to be said, and decides what signals mean: Ctrl-C and SIGTERM often reach every process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")


def main() -> None:
    """A rank of the machine that rank 0 is on; its arguments are rank 0's folder for it, and its seat as JSON."""
    threading.Thread(target=end_with_rank_0, daemon=True).start()
    quiet()
    folder, seat = Path(sys.argv[1]), Seat(**json.loads(sys.argv[2]))
    try:
        from torch._C._distributed_c10d import FileStore

        import recseq.models  # noqa: F401 - what takes its seconds, before it is ready
        from recseq.distributed.ranks import Ranks

        (folder / f"ready_{seat.rank}").touch()
        ranks = Ranks(seat, FileStore(str(folder / "store"), seat.n_ranks))
        follow(ranks)
        ranks.leave()
    except Exception as error:
        from recseq.errors import RecseqError

        told = str(error) if isinstance(error, RecseqError) else f"{type(error).__name__}: {error}"
        if folder.is_dir():  # else rank 0 has ended
            aside = folder / f".failure_{seat.rank}"
            aside.write_text(told, encoding="utf-8")
            aside.replace(folder / f"failure_{seat.rank}")
        raise


def end_with_rank_0() -> None:
    """Wait for the end of rank 0's process, then end this one, whatever it is waiting for."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
