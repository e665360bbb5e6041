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
        folder: Where the state of training is kept after each epoch; training that was interrupted goes on from it. None keeps nothing.
        seed: Of weights, dropout, order and draws.
        log_epoch: Receives metrics and the number of the epoch, from 1.
        label: For the progress bar.
    """

    folder: Path | None
    seed: int
    log_epoch: EpochLog = field(default=lambda metrics, epoch: None)
    label: str = "fit"

    @property
    def state(self) -> Path | None:
        """The state that an interrupted training left; None begins anew."""
        path = self.folder / f"{LAST}.ckpt" if self.folder is not None else None
        return path if path is not None and path.exists() else None
