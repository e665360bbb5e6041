"""Where runs are logged."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from recseq.errors import TrialPruned
from recseq.registry import Registry

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Logged:
    """A run that a tracker has.

    Args:
        run_id: Its id.
        status: `RUNNING`, or how it ended.
        folder: Its folder, where it tells of one.
    """

    run_id: str
    status: str
    folder: Path | None


class Tracker(ABC):
    """Logs a tree of runs: sweep -> run -> fold.

    Args:
        skip_finished: Take the results of a finished run of the same config hash instead of running again.

    Attributes:
        keeps_models: `log_model` has an effect.
    """

    keeps_models: ClassVar[bool] = False

    def __init__(self, *, skip_finished: bool) -> None:
        self.skip_finished = skip_finished

    @abstractmethod
    def start(
        self,
        name: str,
        level: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parent: str | None = None,
        started: int | None = None,
    ) -> str:
        """Open a run; one that cannot be opened whole is closed.

        Args:
            name: Name for people.
            level: `sweep`, `run` or `fold`.
            params: Flat parameters.
            tags: Tags.
            parent: Id of the run above.
            started: When, in milliseconds since 1970; None is now.

        Returns:
            Id of the run.
        """

    @abstractmethod
    def log_dataset(self, run_id: str, dataset: Mapping[str, Any]) -> None:
        """Log what data a run was made on: `describe_dataset`."""

    @abstractmethod
    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers; names may have `@`."""

    @abstractmethod
    def log_artifact(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Upload a file.

        Args:
            run_id: The run.
            file: The file.
            folder: Of the run's artifacts; None is the top.
        """

    @abstractmethod
    def log_model(self, run_id: str, folder: Path, register: str | None = None) -> None:
        """Log an MLflow model as `model` of a run.

        Args:
            run_id: The run.
            folder: The MLflow model's folder.
            register: Name of the registered model that it becomes a version of; `name@alias` also moves the alias to it.
        """

    @abstractmethod
    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""

    @abstractmethod
    def describe(self, run_id: str, markdown: str) -> None:
        """Give a run its description, replacing `{run_id}` in it; see `artifact_link`."""

    @abstractmethod
    def show_columns(self, objective: str, columns: Sequence[str]) -> None:
        """Set up the view of the runs that `hint` tells of: best first, with these metrics as columns.

        Args:
            objective: Metric that orders.
            columns: Metrics shown.
        """

    @abstractmethod
    def end(self, run_id: str, status: Status = "FINISHED", ended: int | None = None) -> None:
        """Close a run, at a time in milliseconds since 1970; None is now."""

    @abstractmethod
    def delete(self, run_id: str) -> None:
        """Delete a run and the runs below it; one that is not there is no error."""

    @abstractmethod
    def status(self, run_id: str) -> str | None:
        """Status of a run; None of one that is not there."""

    @abstractmethod
    def reopen(self, run_id: str) -> bool:
        """Set a run to running again; False where there is no such run."""

    @abstractmethod
    def close_tree(self, run_id: str, status: Status) -> None:
        """Close what is still running of a run and the runs below it: their process is gone."""

    @abstractmethod
    def find(self, tags: Mapping[str, str]) -> list[Logged]:
        """Runs that have all these tags, the newest first."""

    def finished(self, config_hash: str) -> list[Path]:
        """Folders of the finished runs of a configuration, the newest first; they may be gone."""
        runs = self.find({"recseq.config_hash": config_hash})
        return [run.folder for run in runs if run.status == "FINISHED" and run.folder is not None]

    @abstractmethod
    def hint(self) -> str | None:
        """The command that shows the runs, or None."""


TRACKERS: Registry[Tracker] = Registry("tracker")


@TRACKERS.register("none")
class NoTracker(Tracker):
    """Logs nothing; the run folder has everything.

    Args:
        skip_finished: See `Tracker`.
        runs: Folder below which finished runs are looked for by what their folders say.
    """

    def __init__(self, *, skip_finished: bool, runs: str) -> None:
        super().__init__(skip_finished=skip_finished)
        self.runs = Path(runs)

    def start(
        self,
        name: str,
        level: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parent: str | None = None,
        started: int | None = None,
    ) -> str:
        """An empty id."""
        return ""

    def log_dataset(self, run_id: str, dataset: Mapping[str, Any]) -> None:
        """Nothing."""

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Nothing."""

    def log_artifact(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Nothing."""

    def log_model(self, run_id: str, folder: Path, register: str | None = None) -> None:
        """Nothing; a config that asks for it is refused."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Nothing."""

    def describe(self, run_id: str, markdown: str) -> None:
        """Nothing."""

    def show_columns(self, objective: str, columns: Sequence[str]) -> None:
        """Nothing."""

    def end(self, run_id: str, status: Status = "FINISHED", ended: int | None = None) -> None:
        """Nothing."""

    def delete(self, run_id: str) -> None:
        """Nothing."""

    def status(self, run_id: str) -> str | None:
        """There is nothing that a folder with results would lack here."""
        return "FINISHED"

    def reopen(self, run_id: str) -> bool:
        """Nothing."""
        return True

    def close_tree(self, run_id: str, status: Status) -> None:
        """Nothing."""

    def find(self, tags: Mapping[str, str]) -> list[Logged]:
        """Nothing."""
        return []

    def finished(self, config_hash: str) -> list[Path]:
        """Folders below `runs` with results and this hash in their `provenance.json`."""
        found = []
        for summary in self.runs.glob("**/summary.json"):
            with suppress(OSError, ValueError):
                if json.loads(summary.with_name("provenance.json").read_text(encoding="utf-8"))["recseq.config_hash"] == config_hash:
                    found.append((summary.stat().st_mtime, summary.parent.absolute()))
        return [folder for _, folder in sorted(found, reverse=True)]

    def hint(self) -> str | None:
        """Nothing to show."""
        return None


@contextmanager
def tracked(tracker: Tracker, run_id: str) -> Iterator[str]:
    """An open run of the tracker that is closed with the status of the block, whatever happens in it."""
    try:
        yield run_id
    except (KeyboardInterrupt, TrialPruned):
        tracker.end(run_id, "KILLED")
        raise
    except BaseException:
        tracker.end(run_id, "FAILED")
        raise
    tracker.end(run_id)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested config to `a.b.c` keys; empty mappings vanish."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
