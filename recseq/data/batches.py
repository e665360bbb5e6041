"""Loaders: packed batches cut from a store by index ranges planned on the host."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recseq.data.objectives import Layout, Objective
from recseq.data.packing import PackedBatch
from recseq.data.sequences import SequenceStore
from recseq.data.shares import Shares


class TrainLoader:
    """Iterable of training batches; one pass is one epoch, every sequence once in a fresh order.

    The order hangs on seed and epoch alone, so that a resumed training goes on exactly as the uninterrupted one; in the middle of an epoch
    it skips what has been done without computing it.

    Args:
        store: Sequences of `objective.stored_rows` rows at most, on the device that trains.
        objective: Makes inputs and targets.
        batch_size: Users a batch, B, over all ranks; the last batch may have fewer.
        seed: Seed of order and of the objective's draws.
        shares: Which part of each batch is this rank's; None: all of it.
    """

    def __init__(self, store: SequenceStore, objective: Objective, batch_size: int, seed: int, shares: Shares | None = None) -> None:
        self.store = store
        self.objective = objective
        self.batch_size = batch_size
        self.seed = seed
        self.shares = shares
        self.epoch = 0
        self.first_batch = 0
        self.lengths = objective.input_lengths(store.lengths)

    def __len__(self) -> int:
        return -(-self.store.n_users // self.batch_size)

    @property
    def n_tokens(self) -> int:
        """Input tokens an epoch."""
        return int(self.lengths.sum())

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass yields."""
        self.epoch = epoch
        self.first_batch = 0

    def go_on(self, epoch: int, n_done: int) -> None:
        """Choose an epoch that the next pass yields the rest of.

        Args:
            epoch: The epoch.
            n_done: Batches of it that have been trained on.
        """
        self.epoch = epoch
        self.first_batch = n_done

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the training's progress says where it was. Lightning holds loaders without this method to be unable to go on."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing; see `go_on`."""

    def __iter__(self) -> Iterator[PackedBatch]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.store.n_users)
        order = longest_first(order, self.lengths, self.batch_size)
        batch_tokens = np.add.reduceat(self.lengths[order], np.arange(0, len(order), self.batch_size))
        generator = torch.Generator(device=self.store.items.device)
        generator.manual_seed(int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)[0] >> 1))
        self.objective.start_epoch(batch_tokens, self.store, generator)
        rest = layouts(self.store, order, self.lengths, self.batch_size, self.first_batch)
        for i_batch, layout in enumerate(rest, start=self.first_batch):
            batch = self.objective.training_batch(self.store, layout, i_batch)
            yield batch if self.shares is None else self.shares.of(batch, [self.seed, self.epoch, i_batch])


def inference_batches(store: SequenceStore, objective: Objective, batch_size: int) -> Iterator[tuple[NDArray[np.int64], PackedBatch]]:
    """Batches of all users of a store for inference, users of like length together.

    Args:
        store: Sequences of `objective.inference_rows` rows at most, on the device that computes.
        objective: Makes inputs.
        batch_size: Users a batch.

    Yields:
        The store's indices of the batch's users, (B,), and the batch.
    """
    lengths = objective.inference_lengths(store.lengths)
    order = np.argsort(-lengths, kind="stable")
    bounds = range(0, len(order), batch_size)
    for first, layout in zip(bounds, layouts(store, order, lengths, batch_size), strict=True):
        yield order[first : first + batch_size], objective.inference_batch(store, layout)


def longest_first(order: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int) -> NDArray[np.int64]:
    """Sort each batch's part of `order` by length, longest first; which users share a batch stays as it is."""
    batch = np.arange(len(order)) // batch_size
    return order[np.lexsort((-lengths[order], batch))]


def layouts(
    store: SequenceStore, order: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int, first_batch: int = 0
) -> Iterator[Layout]:
    """Layout of each batch of `order` from `first_batch` on: the plan goes to the device once, batches are views of it."""
    device = store.items.device
    ordered_lengths = lengths[order]
    users = torch.from_numpy(order).to(device)
    device_lengths = torch.from_numpy(ordered_lengths).to(device)
    for first in range(first_batch * batch_size, len(order), batch_size):
        part = slice(first, first + batch_size)
        yield Layout.of_users(store, users[part], ordered_lengths[part], device_lengths[part])
