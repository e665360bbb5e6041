"""What every run begins with: its data, its identity, its folder."""

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recseq.data.interactions import Dataset
from recseq.data.prepared import read_prepared
from recseq.environment import config_hash, data_hash, provenance, split_hash
from recseq.errors import ConfigError
from recseq.files import write_json, write_text
from recseq.secrets import without_credentials
from recseq.tracking.record import RunRecord, describe_dataset, override_tags, run_params
from recseq.tracking.run_folder import ENVIRONMENT_FILE, environment_text

log = logging.getLogger(__name__)

IDENTITY = ("recseq.data_hash", "recseq.config_hash")


def read_dataset(config: Mapping[str, Any]) -> Dataset:
    """Read the data, preprocess it, and say what it is."""
    started = time.perf_counter()
    dataset = read_prepared(config)
    interactions = dataset.interactions
    log.info(
        "%s: %s rows, %s users, %s items, %s; %.2f %% of rows share user and time with another; read in %.1f s",
        dataset.label,
        f"{len(interactions):,}",
        f"{interactions.n_users:,}",
        f"{interactions.n_items:,}",
        interactions.span,
        100 * interactions.tied_rows / len(interactions),
        time.perf_counter() - started,
    )
    for note in dataset.notes:
        log.info("%s: %s", dataset.label, note)
    for step, n_rows in dataset.dropped.items():
        log.info("%s: preprocessing, %s: dropped %s rows", dataset.label, step, f"{n_rows:,}")
    return dataset


def identity(config: Mapping[str, Any], dataset: Dataset, weights: str | None = None) -> dict[str, str]:
    """Tags that say what was run on what: the dataset and the hashes of data, split and config.

    Args:
        config: The config.
        dataset: The data.
        weights: Hash of the weights of the model that is measured, or that training begins from; None without one.
    """
    of_data = data_hash(dataset)
    return {
        "recseq.dataset": dataset.label,
        "recseq.simulated": str(dataset.simulated).lower(),
        "recseq.data_hash": of_data,
        "recseq.split_hash": split_hash(config, of_data),
        "recseq.config_hash": config_hash(config, of_data, weights),
        **({} if weights is None else {"recseq.earlier_weights": weights}),
    }


def begin_folder(
    folder: Path, config: Mapping[str, Any], dataset: Dataset, tags: Mapping[str, str], overrides: Sequence[str]
) -> dict[str, Any]:
    """Write what a run's folder has before its results: config, packages, provenance.

    Args:
        folder: The run's folder.
        config: The checked config.
        dataset: The data.
        tags: The run's `identity`.
        overrides: What was typed for this run.

    Returns:
        The provenance.

    Raises:
        ConfigError: The folder is another run's.
    """
    require_same(folder, tags)
    origin = provenance(config["trainer"]["accelerator"]) | {"overrides": [without_credentials(word) for word in overrides]}
    origin |= {"notes": dataset.notes, "preprocessing": dataset.dropped, **tags}
    write_text(folder / "config.yaml", without_credentials(yaml.safe_dump(config, sort_keys=False)))
    write_text(folder / ENVIRONMENT_FILE, environment_text())
    write_json(folder / "provenance.json", origin)
    return origin


def run_record(
    title: str, folder: Path, config: Mapping[str, Any], dataset: Dataset, origin: Mapping[str, Any], overrides: Sequence[str]
) -> RunRecord:
    """What the tracker is told of a run that starts now.

    Args:
        title: Name for people.
        folder: The run's folder.
        config: The checked config.
        dataset: The data.
        origin: What `begin_folder` gave.
        overrides: What was typed for this run.
    """
    tags = {key: value for key, value in origin.items() if key.startswith("recseq.")}
    tags |= {f"recseq.{key}": str(origin[key]) for key in ("git_commit", "git_dirty")} | {"recseq.folder": str(folder)}
    tags |= override_tags(overrides) | ({"mlflow.source.git.commit": origin["git_commit"]} if origin["git_commit"] else {})
    return RunRecord.new(
        title, run_params(config, dataset.item_features), tags, describe_dataset(config, dataset, tags["recseq.data_hash"])
    )


def require_same(folder: Path, tags: Mapping[str, str]) -> None:
    """Go on in a folder where the same run was interrupted; refuse one of another run.

    Raises:
        ConfigError: It is another run's.
    """
    if not (folder / "provenance.json").exists():
        return
    before = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    differ = [key.removeprefix("recseq.") for key in IDENTITY if before.get(key) != tags[key]]
    if differ:
        raise ConfigError(
            f"the run folder {folder} holds an interrupted run with another {', '.join(differ)}; run what its config.yaml says to go on "
            f"with it, or choose another hydra.run.dir"
        )
    log.info("going on with the run that was interrupted in %s", folder)
    for partial in folder.glob(".*.partial"):  # what a kill left of things being written
        shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
