"""Where and how one fit runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LAST = "last"
EpochLog = Callable[[dict[str, float], int], None]


@dataclass
class FitContext:
    """Where and how a fit runs; what the flow knows and a model does not.

    Args:
        folder: Where the state of training is kept; training that was interrupted goes on from it. None keeps nothing.
        seed: Of weights, dropout, order and draws.
        log_epoch: Receives metrics and the number of the epoch, from 1.
        label: For the progress bar.
    """

    folder: Path | None
    seed: int
    log_epoch: EpochLog = field(default=lambda metrics, epoch: None)
    label: str = "fit"

    @property
    def state_file(self) -> Path | None:
        """Where the state of training is kept."""
        return self.folder / f"{LAST}.ckpt" if self.folder is not None else None

    @property
    def state(self) -> Path | None:
        """The state that an interrupted training left; None begins anew."""
        return self.state_file if self.state_file is not None and self.state_file.exists() else None
