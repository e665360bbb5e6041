"""A learning rate from a range test: train a copy with a rate that rises from step to step, take where the loss falls most steeply."""

import logging
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytorch_lightning
import torch
from pytorch_lightning.tuner.tuning import Tuner

from recseq.data.batches import TrainLoader
from recseq.files import written_aside
from recseq.training.lightning_module import SequentialModule
from recseq.training.progress import random_state, set_random_state
from recseq.training.trainer import quiet_lightning

log = logging.getLogger(__name__)

CURVE_FILE = "lr_find.csv"
PICTURE_FILE = "lr_find.png"
N_STEPS = 100


def find_rate(
    module: SequentialModule,
    batches: TrainLoader,
    make_trainer: Callable[[str], pytorch_lightning.Trainer],
    folder: Path | None,
    label: str,
) -> float | None:
    """The rate that Lightning's finder suggests; weights and random numbers stay as they are.

    Args:
        module: As it will be trained; a copy is.
        batches: Of the training.
        make_trainer: Makes a trainer that writes to a folder, and trains for as many epochs as it takes.
        folder: Gets the curve as `lr_find.csv` and `lr_find.png`; a curve that is there already is taken, so that a training that goes on
            has the rate that it began with.
        label: For the log.

    Returns:
        The rate; None where the test's losses suggest none.

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017, arXiv:1506.01186.
    """
    if folder is None or not (folder / CURVE_FILE).exists():
        if torch.cuda.is_available():
            torch.cuda.init()  # else its generator would begin later, where the test has left it
        before = random_state()
        with TemporaryDirectory(prefix="recseq-") as temporary:
            trainer = make_trainer(temporary)
            with quiet_lightning(trainer, label):
                finder = Tuner(trainer).lr_find(deepcopy(module), batches, num_training=N_STEPS, update_attr=False)
        set_random_state(before)
        assert finder is not None
        rate = finder.suggestion()
        curve = pl.DataFrame(finder.results).select("lr", "loss").with_columns(suggested=pl.col("lr") == rate)
        if folder is not None:
            draw(curve, folder / PICTURE_FILE)
            with written_aside(folder / CURVE_FILE) as aside:
                curve.write_csv(aside)
    else:
        curve = pl.read_csv(folder / CURVE_FILE)
    suggested = curve.filter("suggested")["lr"]
    if suggested.is_empty():
        log.warning("%s: %d steps suggest no learning rate; optimizer.lr is used", label, curve.height)
        return None
    log.info("%s: trainer.find_lr suggests the learning rate %.3g and trains with it", label, suggested[0])
    return float(suggested[0])


def draw(curve: pl.DataFrame, file: Path) -> None:
    """A picture of loss over rate, the suggestion marked."""
    from matplotlib.figure import Figure  # here, not above: only this needs it

    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.plot(curve["lr"], curve["loss"])
    suggested = curve.filter("suggested")
    axes.plot(suggested["lr"], suggested["loss"], "o")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    with written_aside(file) as aside:
        figure.savefig(aside, format="png", dpi=120)
