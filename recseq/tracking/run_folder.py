"""A run's folder as the source of what is logged: live, when a run is gone on with, and when one is uploaded afterwards."""

import importlib.metadata
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from recseq.files import written_aside
from recseq.metrics.summary import is_measure
from recseq.secrets import without_credentials
from recseq.tracking.base import Status, Tracker
from recseq.tracking.record import RUN_FILE, RunRecord

FOLD_FILE = "fold.json"
MODEL_FOLDER = "model"
EPOCHS_FILE = "epochs.csv"
ENVIRONMENT_FILE = "requirements.txt"
# Names and folders of a run's artifacts are those of its folder, but for the environment's. Lists of recommendations stay in the folder.
ARTIFACTS = ("config.yaml", "metrics.csv", "significance.csv", "summary.json", "provenance.json", "run.log")
FOLD_ARTIFACTS = (FOLD_FILE, EPOCHS_FILE)


def start_fold(tracker: Tracker, name: str, fold: int, run_id: str, started: int | None = None) -> str:
    """Open a fold's run.

    Args:
        tracker: Where to.
        name: Name of the run above.
        fold: Number of the fold.
        run_id: The run above.
        started: When, in milliseconds since 1970; None is now.

    Returns:
        Its id.
    """
    return tracker.start(f"{name} fold {fold}", "fold", {}, {"recseq.fold": str(fold)}, run_id, started)


def log_epochs(tracker: Tracker, fold_id: str, folder: Path) -> None:
    """Log the curves of a finished fold.

    Args:
        tracker: Where to.
        fold_id: The fold's run there.
        folder: The fold's folder.
    """
    if not (folder / EPOCHS_FILE).exists():
        return
    for values in pl.read_csv(folder / EPOCHS_FILE, infer_schema_length=None).iter_rows(named=True):
        epoch = values.pop("epoch")
        tracker.log_metrics(fold_id, {name: value for name, value in values.items() if value is not None}, step=epoch)


class Epochs:
    """Curves of one training: logged as they come, and kept for its folder.

    Args:
        tracker: Where to.
        run_id: The run there.
    """

    def __init__(self, tracker: Tracker, run_id: str) -> None:
        self.tracker = tracker
        self.run_id = run_id
        self.rows: dict[int, dict[str, float]] = {}

    def log(self, values: dict[str, float], epoch: int) -> None:
        """Numbers of an epoch, from 1; see `FitContext.log_epoch`."""
        self.rows[epoch] = {"epoch": epoch} | self.rows.get(epoch, {}) | values
        self.tracker.log_metrics(self.run_id, values, step=epoch)

    def last(self) -> dict[str, float]:
        """The newest value of each number."""
        found: dict[str, float] = {}
        for values in self.rows.values():
            found |= values
        return found

    def write(self, folder: Path) -> None:
        """Write `epochs.csv`, if there was an epoch."""
        if self.rows:
            with written_aside(folder / EPOCHS_FILE) as aside:
                pl.DataFrame(list(self.rows.values()), infer_schema_length=None).write_csv(aside)


def log_model(tracker: Tracker, run_id: str, folder: Path, place: str) -> None:
    """Upload a model folder, where there is one.

    Args:
        tracker: Where to.
        run_id: The run there.
        folder: The model's folder.
        place: Its folder among the run's artifacts.
    """
    for file in sorted(folder.glob("*")):
        tracker.log_artifact(run_id, file, place)


def log_trained(tracker: Tracker, run_id: str, folder: Path) -> None:
    """Log numbers and files of a finished run of mode=train; its curves are logged as they come.

    Args:
        tracker: Where to.
        run_id: The run there.
        folder: The run's folder.
    """
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    tracker.log_metrics(run_id, summary["facts"])
    for name in (*ARTIFACTS, EPOCHS_FILE):
        if (folder / name).exists():
            tracker.log_artifact(run_id, folder / name)
    if (folder / ENVIRONMENT_FILE).exists():
        tracker.log_artifact(run_id, folder / ENVIRONMENT_FILE, "environment")
    log_model(tracker, run_id, folder / MODEL_FOLDER, MODEL_FOLDER)
    tracker.describe(run_id, (folder / MODEL_FOLDER / "README.md").read_text(encoding="utf-8"))


def log_fold(tracker: Tracker, fold_id: str, run_id: str, folder: Path) -> None:
    """Log the numbers of a finished fold: to its own run, and its metrics as one step of the run above.

    Args:
        tracker: Where to.
        fold_id: The fold's run there.
        run_id: The run above.
        folder: The fold's folder.
    """
    about = json.loads((folder / FOLD_FILE).read_text(encoding="utf-8"))
    row = about["rows"][-1]  # of the model asked for
    measured = {column: value for column, value in row.items() if is_measure(column) and value is not None}
    dropped = {f"dropped_{name}": n for name, n in about["dropped"].items()}
    tracker.log_metrics(fold_id, {**about["counts"], **dropped, **about["facts"], **measured})
    tracker.log_metrics(run_id, measured, step=row["fold"])
    for name in FOLD_ARTIFACTS:
        if (folder / name).exists():
            tracker.log_artifact(run_id, folder / name, folder.name)
    log_model(tracker, run_id, folder / MODEL_FOLDER, f"{folder.name}/{MODEL_FOLDER}")


def log_results(tracker: Tracker, run_id: str, folder: Path) -> None:
    """Log means, standard deviations and files of a finished run.

    Args:
        tracker: Where to.
        run_id: The run there.
        folder: The run's folder.
    """
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    own = summary["models"][summary["model"]]
    kinds = ("mean", "std")
    tracker.log_metrics(run_id, {f"{column}_{kind}": values[kind] for column, values in own.items() for kind in kinds if kind in values})
    for name in ARTIFACTS:
        if (folder / name).exists():
            tracker.log_artifact(run_id, folder / name)
    if (folder / ENVIRONMENT_FILE).exists():
        tracker.log_artifact(run_id, folder / ENVIRONMENT_FILE, "environment")
    tracker.describe(run_id, run_description(folder, summary))
    (objective,) = summary["objective"]
    tracker.show_columns(f"{objective}_mean", [f"{column}_mean" for column in [objective, *(name for name in own if name != objective)]])


def run_description(folder: Path, summary: Mapping[str, Any]) -> str:
    """A run in Markdown: what was typed, on what, and what came out.

    Args:
        folder: The run's folder.
        summary: Its `summary.json`.
    """
    origin = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    columns = [column for column in summary["models"][summary["model"]] if "@" in column]
    lines = [
        f"`{command_text(origin['command'])}`",
        f"{origin['recseq.dataset']}; folder `{folder}`",
        "\n".join(
            [
                f"| model | {' | '.join(columns)} |",
                f"| --- |{' ---: |' * len(columns)}",
                *(
                    f"| {name} | {' | '.join(_mean_and_std(means.get(column)) for column in columns)} |"
                    for name, means in summary["models"].items()
                ),
            ]
        ),
    ]
    return "\n\n".join(lines)


def command_text(words: Sequence[str]) -> str:
    """A command as it was typed, the program by its name."""
    program = "recseq" if Path(words[0]).name in ("cli.py", "recseq") else words[0]
    return without_credentials(shlex.join([program, *words[1:]]))


def _mean_and_std(values: Mapping[str, float] | None) -> str:
    if values is None:
        return ""
    return f"{values['mean']:.6g}" + (f" ± {values['std']:.2g}" if "std" in values else "")


def forget_run(tracker: Tracker, folder: Path) -> None:
    """Delete what the tracker has of an interrupted run that is gone on with: it is logged anew, so that nothing is there twice."""
    if not (folder / RUN_FILE).exists():
        return
    record = RunRecord.read(folder / RUN_FILE)
    for run_id in {run.run_id for run in record.find(tracker)} | ({record.run_id} - {""}):
        tracker.delete(run_id)


def close_runs(tracker: Tracker, folder: Path, status: Status) -> None:
    """Close the run of a folder, and those below it, whose process is gone.

    Args:
        tracker: Where they were logged.
        folder: Of a run or a sweep.
        status: What they are to have.
    """
    for run in tracker.find({"recseq.folder": str(folder)}):
        tracker.close_tree(run.run_id, status)


def environment_text() -> str:
    """Every installed package with its version, as `pip freeze` would tell it."""
    found = {(each.name or "").lower().replace("_", "-"): each.version for each in importlib.metadata.distributions()}
    return "".join(f"{name}=={found[name]}\n" for name in sorted(found) if name)
