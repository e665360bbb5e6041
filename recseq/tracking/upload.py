"""`mode=upload`: logs finished runs from their folders, those that the tracker lacks or has in part."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from recseq.errors import ConfigError
from recseq.files import write_json
from recseq.report.terminal import console
from recseq.sweeps.description import sweep_description, sweep_files
from recseq.sweeps.leaderboard import write_leaderboard
from recseq.sweeps.notes import JOB_FILE, SWEEP_FILE
from recseq.tracking.base import TRACKERS, Status, Tracker
from recseq.tracking.record import RUN_FILE, RunRecord
from recseq.tracking.run_folder import MODEL_FOLDER, log_epochs, log_fold, log_results, log_trained, start_fold
from recseq.tracking.surviving import UNTRACKED_FILE

log = logging.getLogger(__name__)

ENDED: Mapping[str, Status] = {"FAILED": "FAILED", "PRUNED": "KILLED"}


def upload(config: Mapping[str, Any]) -> None:
    """Do `mode=upload`.

    What is there already is left alone: a run is known by its key, whatever store it is in. A run that is there in part is deleted and
    logged anew, so that nothing is there twice.

    Args:
        config: A checked config.

    Raises:
        ConfigError: No such folder, no run in it, or the store cannot be opened or fails.
    """
    if config["tracking"]["type"] == "none":
        raise ConfigError("mode=upload needs a tracker to log to; tracking=none is none")
    of = config["upload"]["of"]
    folders = [Path(path).absolute() for path in ([of] if isinstance(of, str) else of)]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise ConfigError(f"upload.of names {', '.join(missing)}, which is no folder; give folders of runs or of sweeps")
    found = [place for folder in folders for place in dict.fromkeys(_places(folder))]
    if not found:
        raise ConfigError(f"no run in {', '.join(map(str, folders))} to upload; a run's folder has a {RUN_FILE}")
    tracker = TRACKERS.build(config["tracking"])
    counts = {"uploaded": 0, "there already": 0, "left out": 0}
    try:
        for place in found:
            counts[upload_sweep(tracker, place) if (place / SWEEP_FILE).exists() else upload_run(tracker, place)] += 1
    except Exception as error:
        if not type(error).__module__.startswith(("mlflow", "requests", "urllib", "sqlalchemy")):
            raise
        raise ConfigError(f"the tracker fails, what is missing can be uploaded by the same command: {str(error).splitlines()[0]}") from None
    text = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    log.info("%d runs and sweeps: %s", len(found), text)
    if (hint := tracker.hint()) is not None:
        console().print(f"MLflow UI:  {hint}", highlight=False, soft_wrap=True)


def _places(top: Path) -> Iterator[Path]:
    """Folders of sweeps and runs at or below a folder, a sweep before its jobs."""
    for place, inner, files in os.walk(top):
        if RUN_FILE in files:
            yield Path(place)
            if SWEEP_FILE not in files:
                inner.clear()
        inner[:] = sorted((name for name in inner if not name.startswith(".")), key=lambda name: (name.zfill(8), name))


def upload_sweep(tracker: Tracker, folder: Path) -> str:
    """Log a sweep's own run; its jobs are places of their own.

    Args:
        tracker: Where to.
        folder: The sweep's folder.

    Returns:
        What was done.
    """
    record = RunRecord.read(folder / RUN_FILE)
    there = record.find(tracker)
    if there and there[0].status != "RUNNING" and not (folder / UNTRACKED_FILE).exists():
        _keep_id(folder, there[0].run_id)
        return "there already"
    # its jobs hang below it: it stays, and what is logged again replaces what is there
    record = replace(record, run_id=there[0].run_id) if there else record.start(tracker, "sweep", None, folder / RUN_FILE)
    jobs = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob(f"*/{JOB_FILE}")]
    for file in sweep_files(folder):
        tracker.log_artifact(record.run_id, file)
    tracker.describe(record.run_id, sweep_description(folder))
    tracker.end(record.run_id, "FAILED" if any(job["status"] == "FAILED" for job in jobs) else "FINISHED")
    _keep_id(folder, record.run_id)
    (folder / UNTRACKED_FILE).unlink(missing_ok=True)
    log.info("%s: uploaded", folder)
    return "uploaded"


def level_of(folder: Path) -> str:
    """What a run is in the tree of runs: `train`, `evaluate` or `run`."""
    if (folder / MODEL_FOLDER).is_dir():
        return "train"
    mode = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")).get("mode")
    return "evaluate" if mode == "evaluate" else "run"


def upload_run(tracker: Tracker, folder: Path) -> str:
    """Log a run as it would have been logged while it ran.

    Args:
        tracker: Where to.
        folder: The run's folder.

    Returns:
        What was done; a run that has not ended is left out.
    """
    status = _status(folder)
    if status is None:
        log.info("%s is left out: the run has not ended", folder)
        return "left out"
    record = RunRecord.read(folder / RUN_FILE)
    there = record.find(tracker)
    if [run.status for run in there] == [status] and not (folder / UNTRACKED_FILE).exists():
        _keep_id(folder, there[0].run_id)
        return "there already"
    for run in there:
        tracker.delete(run.run_id)
    trained = (folder / MODEL_FOLDER).is_dir()
    record = record.start(tracker, level_of(folder), _parent(tracker, folder.parent), folder / RUN_FILE)
    for fold in sorted(folder.glob("fold_*"), key=lambda path: int(path.name.removeprefix("fold_"))):
        fold_id = start_fold(tracker, record.name, int(fold.name.removeprefix("fold_")), record.run_id)
        log_epochs(tracker, fold_id, fold)
        log_fold(tracker, fold_id, record.run_id, fold)
        tracker.end(fold_id)
    if trained:
        log_epochs(tracker, record.run_id, folder)
    if status == "FINISHED":
        (log_trained if trained else log_results)(tracker, record.run_id, folder)
    last = max(path.stat().st_mtime for path in folder.iterdir() if path.name not in (RUN_FILE, UNTRACKED_FILE))
    tracker.end(record.run_id, status, int(last * 1000))
    _keep_id(folder, record.run_id)
    (folder / UNTRACKED_FILE).unlink(missing_ok=True)
    log.info("%s: uploaded as %s", folder, record.name)
    return "uploaded"


def _status(folder: Path) -> Status | None:
    """How a run ended; None when it has not."""
    if (folder / "summary.json").exists():
        return "FINISHED"
    if (folder / JOB_FILE).exists():
        return ENDED.get(json.loads((folder / JOB_FILE).read_text(encoding="utf-8"))["status"])
    return None


def _parent(tracker: Tracker, folder: Path) -> str | None:
    """Id of the sweep's run in this store, when the folder is a sweep's and the store has it."""
    if not (folder / SWEEP_FILE).exists() or not (folder / RUN_FILE).exists():
        return None
    there = RunRecord.read(folder / RUN_FILE).find(tracker)
    return there[0].run_id if there else None


def _keep_id(folder: Path, run_id: str) -> None:
    """Write down the id of a run in every file that tells of it."""
    for name in (RUN_FILE, "summary.json", SWEEP_FILE):
        if (folder / name).exists():
            about = json.loads((folder / name).read_text(encoding="utf-8"))
            if about["run_id"] != run_id:
                write_json(folder / name, about | {"run_id": run_id})
    sweep = folder if (folder / SWEEP_FILE).exists() else folder.parent
    if (sweep / "leaderboard.csv").exists():
        write_leaderboard(sweep)
