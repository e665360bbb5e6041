"""Numbers of devices and machines that cannot be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recseq.distributed.launch import launched_seat
from recseq.distributed.ranks import Ranks
from recseq.errors import ConfigError


def require_ranks(devices: int, num_nodes: int, n_cuda: int | None) -> None:
    """Refuse more devices than there are, and other numbers than a launcher has started.

    Args:
        devices: `trainer.devices`.
        num_nodes: `trainer.num_nodes`.
        n_cuda: CUDA devices of this machine; None: training is on processors.

    Raises:
        ConfigError: The numbers do not fit.
    """
    if n_cuda is not None and devices > n_cuda:
        raise ConfigError(f"trainer.devices is {devices}, but this machine has {n_cuda} CUDA devices; use trainer.devices={n_cuda}")
    seat = launched_seat()
    if seat is None:
        if num_nodes > 1:
            raise ConfigError(
                f"trainer.num_nodes is {num_nodes}, but nobody has started the program on other machines; start it with torchrun or "
                f"Slurm's srun (README, Many devices, many machines)"
            )
        return
    if (devices, devices * num_nodes) != (seat.n_local, seat.n_ranks):
        raise ConfigError(
            f"{seat.launcher} has started {seat.n_ranks} processes, {seat.n_local} on this machine, but trainer.devices is {devices} and "
            f"trainer.num_nodes {num_nodes}; use trainer.devices={seat.n_local} trainer.num_nodes={-(-seat.n_ranks // seat.n_local)}"
        )


def check_ranks(trainer: Mapping[str, Any], model: Any) -> list[str]:
    """Options that do not fit the number of ranks, each with its config path.

    Args:
        trainer: The `trainer` group, its types checked.
        model: The `model` group.
    """
    n_ranks = trainer["devices"] * trainer["num_nodes"]
    batch_size = model.get("batch_size") if isinstance(model, Mapping) else None
    found = []
    if isinstance(batch_size, int) and batch_size < n_ranks:
        found.append(
            f"model.batch_size is {batch_size}, the users of a batch over all devices, must be >= {n_ranks}, which is trainer.devices x "
            f"trainer.num_nodes"
        )
    if n_ranks > 1 and trainer["find_lr"]:
        found.append("trainer.find_lr is true, which looks on one device; find the rate with trainer.devices=1, then set optimizer.lr")
    return found


def state_for_all(ranks: Ranks, state: Path | None, file: Path | None) -> Path | None:
    """The state that an interrupted training left, which all ranks read.

    Args:
        ranks: This process's.
        state: What this rank sees.
        file: Where it would be.

    Raises:
        ConfigError: Rank 0 sees one, this rank does not.
    """
    if not ranks.follow(state is not None):
        return None
    if state is None:
        raise ConfigError(f"does not see {file}, which rank 0 goes on from; paths.outputs must be on a disk that all machines share")
    return state
