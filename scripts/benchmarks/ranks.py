"""Time training with one process of two threads beside two ranks of one thread each, the same global batches, in turns.

.venv/bin/python scripts/benchmarks/ranks.py [recseq overrides]
"""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from side_by_side import measure, report

ROUNDS = 3


def side(n_ranks: int, overrides: list[str]) -> None:
    """Train once and print the seconds of a step, over all of training."""
    from recseq.cli import main

    with TemporaryDirectory() as folder:
        sys.argv[1:] = [*overrides, "trainer=cpu", f"trainer.devices={n_ranks}", "tracking=none", "trainer.enable_progress_bar=false"]
        sys.argv += [f"hydra.run.dir={folder}/run", "trainer.checkpoint=false"]
        main()
        facts = json.loads(Path(folder, "run", "fold_0", "fold.json").read_text())["facts"]
    n_steps = -(-facts["n_train_sequences"] // 128)
    print(json.dumps({"median_seconds": facts["tokens_per_epoch"] / n_steps / facts["train_tokens_per_second"]}))


def main() -> None:
    if "--side" in sys.argv:
        side(int(sys.argv[2]), sys.argv[3:])
        return
    os.environ.pop("OMP_NUM_THREADS", None)
    commands = {f"{n} rank{'s' * (n > 1)}": [sys.executable, __file__, "--side", str(n), *sys.argv[1:]] for n in (1, 2)}
    report("training step over all devices", measure(commands, ROUNDS), "2 ranks", "1 rank")


if __name__ == "__main__":
    main()
