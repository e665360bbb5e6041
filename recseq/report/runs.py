"""Finished runs, as their folders tell of them."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from recseq.environment import config_hash
from recseq.errors import ConfigError
from recseq.tracking.run_folder import FOLD_FILE, MODEL_FOLDER
from recseq.tracking.store import run_folders


@dataclass(frozen=True)
class FinishedRun:
    """A run whose folder is complete.

    Args:
        folder: The run's folder.
        config: Its config.
        provenance: Where its numbers come from.
        summary: What `summary.json` says.
        metrics: The table of `metrics.csv`, one row a model and fold.
    """

    folder: Path
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    summary: Mapping[str, Any]
    metrics: pl.DataFrame

    @property
    def model(self) -> str:
        """Name of the model asked for; the others are references."""
        return str(self.summary["model"])

    @property
    def models(self) -> list[str]:
        """All models of the run, the one asked for last."""
        return [*(name for name in self.summary["models"] if name != self.model), self.model]

    @property
    def objective(self) -> str:
        """Column that the run was judged by."""
        return str(next(iter(self.summary["objective"])))

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.config["seed"])

    @property
    def dataset(self) -> str:
        """The dataset's name for people."""
        return str(self.provenance["recseq.dataset"])

    @property
    def split_hash(self) -> str:
        """Identity of the folds; users may be compared only where it is the same."""
        return str(self.provenance["recseq.split_hash"])

    @property
    def data_hash(self) -> str:
        """Identity of the data."""
        return str(self.provenance["recseq.data_hash"])

    @property
    def experiment_hash(self) -> str:
        """Identity of the run but for its seed."""
        return config_hash({key: value for key, value in self.config.items() if key != "seed"}, self.data_hash)

    @property
    def folds(self) -> list[int]:
        """Numbers of the folds."""
        return sorted(self.metrics["fold"].unique().to_list())

    def table(self, fold: int, name: str) -> pl.DataFrame | None:
        """A table of a fold's folder, `per_user.parquet` or `epochs.csv`; None where the run has none."""
        path = self.folder / f"fold_{fold}" / name
        if not path.exists():
            return None
        return pl.read_csv(path, infer_schema_length=None) if path.suffix == ".csv" else pl.read_parquet(path)

    def facts(self) -> dict[str, float]:
        """Numbers about the model of the first fold."""
        path = self.folder / f"fold_{self.folds[0]}" / FOLD_FILE
        return dict(json.loads(path.read_text())["facts"]) if path.exists() else {}


@dataclass(frozen=True)
class Found:
    """What was found where runs were looked for.

    Args:
        runs: Finished runs, in the order of their folders.
        notes: What was left out, and why.
    """

    runs: list[FinishedRun]
    notes: list[str]


def runs_below(folders: Sequence[Path]) -> Found:
    """The finished runs in folders of runs, of sweeps, or above them.

    Raises:
        ConfigError: A folder that is not there, or no finished run in any.
    """
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise ConfigError(f"report.of names {', '.join(missing)}, which is no folder; give folders of runs or of sweeps")
    return _read(list(dict.fromkeys(path for folder in folders for path in _run_folders(folder.absolute()))), [], str(folders[0]))


def runs_of_experiment(uri: str, experiment: str) -> Found:
    """The finished runs of an MLflow experiment, read from their folders.

    Args:
        uri: Tracking URI.
        experiment: Name of the experiment.

    Raises:
        ConfigError: The store cannot be opened or has no such experiment, or no run of it is finished and there.
    """
    found, notes = [], []
    for name, status, folder in run_folders(uri, experiment):
        if status != "FINISHED":
            notes.append(f"run {name} is left out: its status is {status}")
        elif folder is None or not folder.is_dir():
            notes.append(f"run {name} is left out: its folder {folder} is not there any more")
        else:
            found.append(folder)
    return _read(found, notes, f"the MLflow experiment {experiment!r}")


def _run_folders(top: Path) -> Iterator[Path]:
    """Folders of runs at or below a folder, sorted; a run's own folders are not looked into."""
    for place, inner, files in os.walk(top):
        if "config.yaml" in files or "job.json" in files:
            inner.clear()
            yield Path(place)
        else:
            inner[:] = sorted((name for name in inner if not name.startswith(".")), key=_natural)


def _natural(name: str) -> tuple[int, int, str]:
    """Jobs of a sweep by number: 2 before 10."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def _read(folders: Sequence[Path], notes: list[str], where: str) -> Found:
    newest: dict[tuple[str, int], FinishedRun] = {}
    for folder in folders:
        try:
            run = read_run(folder)
        except Unfinished as reason:
            notes.append(f"{folder} is left out: {reason}")
            continue
        key = (run.experiment_hash, run.seed)
        if key in newest:
            older, run = sorted((newest[key], run), key=lambda run: (run.folder / "summary.json").stat().st_mtime)
            notes.append(f"{older.folder} is left out: {run.folder} is the same experiment, run later")
        newest[key] = run
    if not newest:
        raise ConfigError("\n".join([f"no finished run in {where}", *(f"  - {note}" for note in notes)]))
    return Found(list(newest.values()), notes)


class Unfinished(Exception):  # noqa: N818 - a finding, not a failure
    """A folder that is no result; the message says why."""


def read_run(folder: Path) -> FinishedRun:
    """Read a run's folder.

    Raises:
        Unfinished: It is not complete, or its job failed.
    """
    job = folder / "job.json"
    if job.exists() and (ended := json.loads(job.read_text()))["status"] != "FINISHED":
        raise Unfinished(f"the job failed: {str(ended['error']).splitlines()[0]}")
    if not (folder / "summary.json").exists():
        raise Unfinished("the run is not finished, it has no summary.json")
    if (folder / MODEL_FOLDER).is_dir():
        raise Unfinished("it is of mode=train, which measures nothing")
    try:
        return FinishedRun(
            folder=folder,
            config=yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")),
            provenance=json.loads((folder / "provenance.json").read_text(encoding="utf-8")),
            summary=json.loads((folder / "summary.json").read_text(encoding="utf-8")),
            metrics=pl.read_csv(folder / "metrics.csv", infer_schema_length=None, schema_overrides={"model": pl.String}),
        )
    except (OSError, ValueError, yaml.YAMLError, pl.exceptions.PolarsError) as error:
        raise Unfinished(f"it cannot be read: {str(error).splitlines()[0]}") from None
