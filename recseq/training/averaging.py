"""Moving average of the weights, which is what is validated, kept and ranked with."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EMAWeightAveraging


class MovingAverage(EMAWeightAveraging):
    """Exponential moving average of the weights: `a = decay * a + (1 - decay) * w` after each step, beginning at the first step's weights.

    Checkpoints hold the average as the module's state and the weights that train on beside it.

    Args:
        decay: Share of the average that stays.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=False, decay=decay)

    @contextmanager
    def in_place(self, module: pl.LightningModule) -> Iterator[None]:
        """A block in which the module has the average."""
        self._swap_models(module)
        try:
            yield
        finally:
            self._swap_models(module)

    def leave_in(self, module: pl.LightningModule) -> None:
        """Leave the average in the module, also where training had ended before and Lightning has only loaded it."""
        self._copy_average_to_current(module)
