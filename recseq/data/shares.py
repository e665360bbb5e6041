"""A rank's share of a batch: all ranks cut the same batch of all, with the same draws, and each takes some of its users.

Shapes: B users, T tokens, T' targets of the whole batch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from recseq.data.packing import PackedBatch, WholeBatch


@dataclass(frozen=True)
class Shares:
    """Which users of a batch a rank takes: every n-th of them, who are sorted by length, so that shares have like numbers of tokens.

    Args:
        rank: This process among those that train together, from 0.
        n_ranks: How many these are.
    """

    rank: int
    n_ranks: int

    def of(self, whole: PackedBatch, draw: Sequence[int]) -> PackedBatch:
        """This rank's share; without users where the batch has fewer users than there are ranks.

        Where not every token has a target, the number of the share's targets is asked of the device.

        Args:
            whole: The batch of all ranks.
            draw: Numbers that say which batch it is, for the seed of what the rank draws for itself.
        """
        mine = slice(self.rank, None, self.n_ranks)
        lengths = whole.lengths[mine]
        n_tokens = int(lengths.sum())
        device = whole.items.device
        offsets = torch.zeros(len(lengths) + 1, dtype=torch.int64, device=device)
        device_lengths = whole.offsets.diff()[mine]
        torch.cumsum(device_lengths, 0, out=offsets[1:])
        shift = torch.repeat_interleave(whole.offsets[:-1][mine] - offsets[:-1], device_lengths, output_size=n_tokens)
        tokens = torch.arange(n_tokens, device=device) + shift
        targets, rows = tokens, None
        if whole.target_rows is not None:
            place = torch.full((whole.n_tokens,), -1, device=device).index_copy_(0, tokens, torch.arange(n_tokens, device=device))
            found = place[whole.target_rows]
            targets = (found >= 0).nonzero().squeeze(1)
            rows = found[targets]
        seed = int(np.random.SeedSequence([*draw, self.rank]).generate_state(1, np.uint64)[0] >> 1)
        return PackedBatch(
            items=whole.items[tokens],
            offsets=offsets,
            positions=whole.positions[tokens],
            seconds=whole.seconds[tokens],
            lengths=lengths,
            targets=whole.targets[targets],
            weights=whole.weights[targets],
            target_rows=rows,
            whole=WholeBatch(whole, targets, self.n_ranks, seed),
        )


@contextmanager
def own_draws(batch: PackedBatch) -> Iterator[None]:
    """A block whose draws are the rank's own (dropout); outside of it all ranks draw the same numbers, those of one process.

    Does nothing for a batch that is no share.
    """
    if batch.whole is None:
        yield
        return
    device = batch.items.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(batch.whole.seed)
        yield
