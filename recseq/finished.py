"""Results that are there already: of a sweep's job that had finished, or of a finished run of the same configuration elsewhere."""

import json
import logging
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recseq.errors import ConfigError
from recseq.files import write_json, written_aside
from recseq.tracking import Tracker
from recseq.tracking.record import RUN_FILE
from recseq.tracking.run_folder import forget_run

log = logging.getLogger(__name__)

TAKEN_FILE = "taken_from.json"
TAKEN = ("config.yaml", "metrics.csv", "significance.csv", "provenance.json", "fold_*", "epochs.csv", "model")  # and summary.json, last


def require_unfinished(folder: Path) -> None:
    """Refuse a folder that holds results.

    Raises:
        ConfigError: It does.
    """
    if (folder / "summary.json").exists():
        raise ConfigError(f"the run folder {folder} holds results of another run; choose another hydra.run.dir or remove it")


def results_of_before(folder: Path, tags: Mapping[str, str], tracker: Tracker) -> float | None:
    """The objective of a run that need not be run, its results in the folder; None where there is something to do.

    Args:
        folder: The run's folder.
        tags: Its identity.
        tracker: Where it is logged; with `skip_finished`, also where a finished run of the same configuration is looked for.

    Raises:
        ConfigError: The folder holds results of another run.
    """
    config_hash = tags["recseq.config_hash"]
    if (folder / "summary.json").exists():
        if not _has_results_of(folder, config_hash):
            require_unfinished(folder)
        if (folder / TAKEN_FILE).exists() or tracker.status(_summary(folder)["run_id"]) == "FINISHED":
            log.info("finished before, not run again: %s", folder)
            return _objective(folder)
        log.info("finished before, but not in the tracker, where it is logged again: %s", folder)
        (folder / "summary.json").unlink()
        return None
    if not tracker.skip_finished:
        return None
    for source in tracker.finished(config_hash):
        if source == folder:
            continue
        if not _has_results_of(source, config_hash):
            log.warning("a finished run of this configuration is in the tracker, but its folder %s is gone", source)
            continue
        log.info("results are taken from a finished run of the same configuration: %s", source)
        forget_run(tracker, folder)
        take(source, folder)
        return _objective(folder)
    return None


def take(source: Path, folder: Path) -> None:
    """Make a folder one that holds another run's results; large files are linked where the file system can.

    Args:
        source: Folder of a finished run.
        folder: A folder without results; what an interrupted run has left there is removed.
    """
    for old in [path for name in ("fold_*", "model", "unfinished", RUN_FILE) for path in folder.glob(name)]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for path in [path for pattern in TAKEN for path in sorted(source.glob(pattern))]:
        with written_aside(folder / path.name) as aside:
            if path.is_dir():
                shutil.copytree(path, aside, copy_function=_link)
            else:
                shutil.copyfile(path, aside)
    write_json(folder / TAKEN_FILE, {"folder": str(source), "run_id": _summary(source)["run_id"]})
    with written_aside(folder / "summary.json") as aside:
        shutil.copyfile(source / "summary.json", aside)


def _link(source: str, target: str) -> None:
    """A second name for a file that nobody changes, or a copy on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _has_results_of(folder: Path, config_hash: str) -> bool:
    try:
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (folder / "summary.json").exists() and provenance.get("recseq.config_hash") == config_hash


def _summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return found


def _objective(folder: Path) -> float:
    return next((float(value) for value in _summary(folder)["objective"].values()), math.nan)  # of a trained model: none
