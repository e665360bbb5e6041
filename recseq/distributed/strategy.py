"""Lightning's DDP between ranks that have met already."""

import signal

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy

from recseq.distributed.ranks import Ranks


class MetRanks(ClusterEnvironment):
    """What Lightning asks about ranks; it starts none, and finds the process group made.

    Args:
        ranks: This process's.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    @property
    def creates_processes_externally(self) -> bool:
        """They run."""
        return True

    @property
    def main_address(self) -> str:
        """Not asked for where the process group is made."""
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        """Not asked for where the process group is made."""
        return 0

    @staticmethod
    def detect() -> bool:
        """Only used where it is named."""
        return False

    def world_size(self) -> int:
        """Number of ranks."""
        return self.ranks.n_ranks

    def set_world_size(self, size: int) -> None:
        """Refuse another one."""
        assert size == self.ranks.n_ranks

    def global_rank(self) -> int:
        """This process's rank."""
        return self.ranks.rank

    def set_global_rank(self, rank: int) -> None:
        """Refuse another one."""
        assert rank == self.ranks.rank

    def local_rank(self) -> int:
        """Its rank on its machine."""
        return self.ranks.seat.local_rank

    def node_rank(self) -> int:
        """Number of its machine."""
        return self.ranks.rank // self.ranks.seat.n_local


def make_strategy(ranks: Ranks) -> DDPStrategy:
    """DDP; buffers never change, so they are not sent at each step."""
    return DDPStrategy(cluster_environment=MetRanks(ranks), process_group_backend=ranks.backend, broadcast_buffers=False)


class InStep(pl.Callback):
    """Lets all ranks begin with rank 0's random numbers, which a state that is gone on from may have set, and leaves signals to rank 0.

    Args:
        ranks: This process's.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Behind the callbacks that set random numbers."""
        device = trainer.strategy.root_device
        states = {"cpu": torch.get_rng_state()}
        if device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(device)
        found = self.ranks.share_state(states)
        torch.set_rng_state(found["cpu"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(found["cuda"], device)
        if self.ranks.rank > 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Lightning has put a handler there
