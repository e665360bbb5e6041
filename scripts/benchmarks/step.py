"""Time a training step of recseq beside RecTools' on MovieTweetings, each side a process of its own, in turns.

    .venv/bin/python scripts/benchmarks/step.py --rectools-python <rectools venv>/bin/python --setting small

RecTools' half is `rectools_step.py`; a step is the same on both sides: next batch from the loader, zero_grad, forward and loss,
backward, optimizer; full batches only.
"""

import argparse
import json
import statistics
import sys
import time
from itertools import chain, repeat
from pathlib import Path

import yaml
from side_by_side import measure, report

SIZES = Path(__file__).parents[2] / "conf" / "size"
LOSSES = {"softmax": "softmax", "bce": "BCE", "gbce": "gBCE", "sampled_softmax": "sampled_softmax"}


def recseq_steps(options: argparse.Namespace) -> None:
    """recseq's half: print one JSON line."""
    import torch
    from hydra import compose, initialize_config_dir

    from recseq.config import check_config
    from recseq.data.batches import TrainLoader
    from recseq.data.sequences import Histories, SequenceStore
    from recseq.data.sources import SOURCES
    from recseq.data.vocabulary import Vocabulary
    from recseq.environment import seed_everything
    from recseq.files import conf_folder
    from recseq.model_specs import groups_of, model_options
    from recseq.models import MODELS
    from recseq.models.sequential import SequentialRecommender
    from recseq.splitting import SPLITTERS

    overrides = [f"model={options.model}", f"loss={options.loss}", f"item_net=[{options.blocks}]", f"size={options.setting}"]
    if options.n_negatives:
        overrides.append(f"loss.n_negatives={options.n_negatives}")
    overrides += ["dataset=movietweetings", f"dataset.path={options.data}", "splitter.test_size=14D"]
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = check_config(compose("config", overrides=overrides))
    dataset = SOURCES.build(config["dataset"]).read()
    (fold,) = SPLITTERS.build(config["splitter"]).split(dataset.interactions)
    seed_everything(1, False)
    model = MODELS.build(model_options(config["model"]), groups=groups_of(config))
    assert isinstance(model, SequentialRecommender)
    kept = Histories.from_frame(fold.train.frame).keep(2, model.objective.stored_rows(model.session_max_len))
    vocabulary = Vocabulary.from_items(kept.rows["item_id"])
    module = model.build_module(vocabulary, dataset.item_features).train()
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign,assignment]  # there is no Lightning trainer here
    optimizer = module.make_optimizer(module.parameters())
    loader = TrainLoader(SequenceStore.from_histories(kept, vocabulary), model.objective, model.batch_size, seed=1)
    seconds: list[float] = []
    batches = chain.from_iterable(repeat(loader))
    while len(seconds) < options.steps + options.warmup:
        started = time.perf_counter()
        batch = next(batches)
        if batch.n_users < model.batch_size:
            continue
        optimizer.zero_grad()
        loss = module.training_step(batch, 0)  # drawing of negatives is part of it, as it is of RecTools' collation
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    timed = seconds[options.warmup :]
    print(json.dumps({"median_seconds": statistics.median(timed), "steps": len(timed), "threads": torch.get_num_threads()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rectools-python", help="python of a virtual environment with RecTools")
    parser.add_argument("--side", choices=["both", "recseq"], default="both")
    parser.add_argument("--setting", choices=sorted(path.stem for path in SIZES.glob("*.yaml")), default="small")
    parser.add_argument("--model", default="sasrec")
    parser.add_argument("--loss", choices=LOSSES, default="softmax")
    parser.add_argument("--n-negatives", type=int, default=0)
    parser.add_argument("--blocks", default="ids")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rectools-steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / ".." / "shared" / "data" / "movietweetings")
    options = parser.parse_args()
    if options.side == "recseq":
        recseq_steps(options)
        return
    if options.rectools_python is None:
        parser.error("--rectools-python is needed: pip install torch==2.13.0 'rectools[torch]==0.19.0' 'pyarrow<22' in a venv of its own")
    here = Path(__file__).parent
    sizes = yaml.safe_load((SIZES / f"{options.setting}.yaml").read_text())
    theirs = [options.rectools_python, str(here / "rectools_step.py"), "--model", options.model, "--loss", LOSSES[options.loss]]
    theirs += [word for key, value in sizes.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    theirs += ["--steps", str(options.rectools_steps), "--warmup", "1", "--blocks", options.blocks, "--data", str(options.data)]
    if options.n_negatives:
        theirs += ["--n-negatives", str(options.n_negatives)]
    ours = [sys.executable, __file__, "--side", "recseq", *sys.argv[1:]]
    results = measure({"recseq": ours, "RecTools": theirs}, options.rounds)
    what = f"Training step, {options.model} {options.loss}" + (f" with {options.n_negatives} negatives" if options.n_negatives else "")
    report(f"{what}, {options.setting} setting, {options.blocks}", results, "recseq", "RecTools")


if __name__ == "__main__":
    main()
