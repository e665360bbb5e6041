"""A recommender that ends as its config says, until a file `healed` lies in the working directory."""

import errno
import os
import signal
import sys
import time
from pathlib import Path
from typing import Literal

from recseq.data.interactions import Interactions, ItemFeatures
from recseq.models import MODELS
from recseq.models.popular import Popular
from recseq.training.context import FitContext


@MODELS.register("fragile")
class Fragile(Popular):
    """Popularity, if it lives."""

    def __init__(self, *, how: Literal["fine", "raise", "kill", "exit", "full", "wait"]) -> None:
        super().__init__(by="users", period_days=None, inverse=False)
        self.how = how

    def fit(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> None:
        super().fit(train, item_features, context)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("OMP_NUM_THREADS")
        print("environment:", *visible, flush=True)
        if self.how == "fine" or Path("healed").exists():
            return
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "exit":
            sys.exit(3)
        if self.how == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.how == "wait":
            Path(f"waits-{os.getpid()}").touch()
            time.sleep(600)
        raise ValueError("exploded")
