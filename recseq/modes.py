"""What the program does: one function for each `mode`."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from recseq.config import check_config
from recseq.distributed.team import close_team
from recseq.errors import ConfigError
from recseq.experiment import cross_validate, evaluate, train
from recseq.lifecycle.from_run import find_run, keep_values
from recseq.lifecycle.of_model import MODES as OF_A_MODEL
from recseq.lifecycle.of_model import as_trained
from recseq.opening import read_dataset


def run(composed: DictConfig, folder: Path, sweep_folder: Path | None = None, overrides: Sequence[str] = ()) -> float:
    """Check a composed config and do what its `mode` says.

    Args:
        composed: The config as Hydra composed it.
        folder: The run's folder.
        sweep_folder: Folder of the sweep that the run is a job of; None for a single run.
        overrides: What was typed for this run; names and tags tell of it.

    Returns:
        The value of `metrics.objective`, for a sweep to optimise; NaN of a mode that measures nothing.

    Raises:
        RecseqError: Anything that the user can mend.
    """
    if composed.get("mode") == "train" and (reference := composed.get("from_run")) is not None:
        composed = _as_it_ran(composed, str(reference), overrides)
    elif composed.get("mode") in OF_A_MODEL and composed.get("model_path") is not None:
        composed = as_trained(composed, overrides)
    config = check_config(composed)
    mode = config["mode"]
    try:
        if mode == "cross_validate":
            return cross_validate(config, folder, sweep_folder, overrides)
        if sweep_folder is not None:
            raise ConfigError(f"mode={mode} is no job of a sweep; leave out -m and experiment=")
        if mode == "evaluate":
            return evaluate(config, folder, overrides)
        if mode == "train":
            train(config, folder, overrides)
        else:
            MODES[mode](config, folder)
        return math.nan
    finally:
        close_team()


def _as_it_ran(composed: DictConfig, reference: str, overrides: Sequence[str]) -> DictConfig:
    """A config composed of an earlier run's overrides and more, with the run's own values where conf/ has changed since."""
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    now = {str(key): value for key, value in plain.items()}
    return OmegaConf.create(keep_values(now, find_run(reference, now["tracking"]), overrides))


# Each imports what it needs when it is asked for: reports bring plotly and matplotlib, which no other mode needs.
def _describe(config: Mapping[str, Any], folder: Path) -> None:
    from recseq.report.describe import describe

    describe(config, read_dataset(config), folder)


def _report(config: Mapping[str, Any], folder: Path) -> None:
    from recseq.report.command import report

    report(config, folder)


def _upload(config: Mapping[str, Any], folder: Path) -> None:
    from recseq.tracking.upload import upload

    upload(config)


def _fetch(config: Mapping[str, Any], folder: Path) -> None:
    from recseq.data.fetching.command import fetch_dataset

    fetch_dataset(config, folder)


def _export(config: Mapping[str, Any], folder: Path) -> None:
    from recseq.lifecycle.export import export

    export(config, folder)


def _recommend(config: Mapping[str, Any], folder: Path) -> None:
    from recseq.lifecycle.recommending import recommend

    recommend(config, folder)


def _similar(config: Mapping[str, Any], folder: Path) -> None:
    from recseq.lifecycle.similar_items import find_similar

    find_similar(config, folder)


MODES: Mapping[str, Callable[[Mapping[str, Any], Path], None]] = {
    "describe": _describe,
    "export": _export,
    "fetch": _fetch,
    "recommend": _recommend,
    "report": _report,
    "similar": _similar,
    "upload": _upload,
}
