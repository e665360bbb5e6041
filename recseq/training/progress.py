"""What Lightning's checkpoints lack for an exact resume: sums behind an epoch's metrics, the place in the epoch, random numbers."""

from typing import Any

import pytorch_lightning as pl
import torch

from recseq.distributed.ranks import met

Sums = dict[str, dict[str, Any]]


def n_batches_done(trainer: pl.Trainer) -> int:
    """Batches of the current epoch that a checkpoint, just loaded, had been trained on; 0 of one from an epoch's end."""
    loop = trainer.fit_loop
    return loop.epoch_loop.batch_progress.current.ready if loop.restarted_mid_epoch else 0


def in_middle_of_epoch(trainer: pl.Trainer) -> bool:
    """Whether training, at the end of a batch, could stop and go on exactly: a step has been made and the epoch has more batches."""
    return not trainer.is_last_batch and not trainer.fit_loop._should_accumulate()


class EpochSums:
    """Sums behind the metrics that a module logs with `on_epoch=True`, which Lightning keeps in memory alone.

    Objects of torchmetrics are not among them: they belong in the module, with persistent states.
    """

    def __init__(self) -> None:
        self._restored: Sums = {}

    def state_dict(self, trainer: pl.Trainer) -> Sums:
        """The sums as they are; of several ranks their mean, which each may go on from."""
        found, ranks = dict(self._restored), met()
        for key, metric in trainer.fit_loop.epoch_loop._results.items():
            if metric.is_tensor and metric.meta.on_epoch and not metric.has_reset:
                size = metric.cumulated_batch_size if metric.meta.is_mean_reduction else None
                value = metric.value
                if ranks is not None and size is not None:
                    value, size = ranks.mean(value), ranks.mean(size)
                found[key] = {"name": metric.meta.name, "value": value.clone(), "size": None if size is None else size.clone()}
        return found

    def load_state_dict(self, sums: Sums) -> None:
        """Sums that `add_restored` adds."""
        self._restored = sums

    def add_restored(self, trainer: pl.Trainer) -> None:
        """After a batch: add to what has been logged since the break what was logged before it.

        Bit for bit the sum without a break when it is called after the first batch: Lightning begins at zero, and zero plus the first
        value is that value.
        """
        if not self._restored:
            return
        results = trainer.fit_loop.epoch_loop._results
        for key in [key for key in self._restored if key in results and not results[key].has_reset]:
            before, metric = self._restored.pop(key), results[key]
            value = before["value"].to(metric.value.device)
            if metric.meta.is_max_reduction or metric.meta.is_min_reduction:
                metric.value = metric.meta.reduce_fx(value, metric.value)
            else:
                metric.value = value + metric.value
            if before["size"] is not None:
                metric.cumulated_batch_size = before["size"].to(metric.value.device) + metric.cumulated_batch_size
            metric._computed = None

    def finish(self) -> dict[str, torch.Tensor]:
        """At the epoch's end: metrics that were logged before the break only."""
        rest = {each["name"]: each["value"] if each["size"] is None else each["value"] / each["size"] for each in self._restored.values()}
        self._restored = {}
        return rest


def random_state() -> list[torch.Tensor]:
    """States of torch's generators: the CPU's and, where CUDA is in use, every device's."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *cuda]


def set_random_state(states: list[torch.Tensor]) -> None:
    """Put the states back; those of devices that are not there are left out."""
    torch.set_rng_state(states[0].cpu())
    for device, state in enumerate(states[1 : 1 + torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state.cpu(), device)
