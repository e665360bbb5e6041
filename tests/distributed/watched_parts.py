"""A Lightning module that notes what its rank has seen, and fails in rank 1 when told to; each rank of a test imports it."""

import json
import os
import signal
from pathlib import Path

import torch

from recseq.data.packing import PackedBatch
from recseq.distributed.ranks import met
from recseq.training.lightning_module import MODULES, SequentialModule


@MODULES.register("watched")
class Watched(SequentialModule):
    """Notes the loss of each step, over all ranks, and the rank's own tokens.

    Args:
        notes: Folder of the notes.
        fails: What happens to rank 1 in its third step: nothing, `raise`, `kill` or `hang`.
        parts: Those of `SequentialModule`.
    """

    def __init__(self, *, notes: str, fails: str | None, **parts: object) -> None:
        super().__init__(**parts)
        self.notes = notes
        self.fails = fails

    def training_step(self, batch: PackedBatch, batch_idx: int) -> torch.Tensor:
        ranks = met()
        rank = 0 if ranks is None else ranks.rank
        if rank > 0 and self.fails and self.global_step == 2:
            if self.fails == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("a rank's own mistake")
        loss = super().training_step(batch, batch_idx)
        whole = loss if ranks is None else ranks.mean(loss)  # shares' losses are scaled so that their mean is the whole batch's
        note = {"loss": float(whole.detach()), "items": batch.items.tolist(), "lengths": batch.lengths.tolist()}
        with Path(self.notes, f"rank_{rank}.jsonl").open("a") as file:
            file.write(json.dumps(note) + "\n")
        return loss
