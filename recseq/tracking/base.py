"""Where runs are logged."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from recseq.registry import Registry

Status = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker(ABC):
    """Logs a tree of runs: run -> fold."""

    @abstractmethod
    def start(self, name: str, level: str, params: Mapping[str, Any], tags: Mapping[str, str], parent: str | None = None) -> str:
        """Open a run.

        Args:
            name: Name for people.
            level: `sweep`, `run` or `fold`.
            params: Flat parameters.
            tags: Tags.
            parent: Id of the run above.

        Returns:
            Id of the run.
        """

    @abstractmethod
    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers; names may have `@`."""

    @abstractmethod
    def log_artifact(self, run_id: str, file: Path) -> None:
        """Upload a file."""

    @abstractmethod
    def end(self, run_id: str, status: Status = "FINISHED") -> None:
        """Close a run."""

    @abstractmethod
    def hint(self) -> str | None:
        """The command that shows the runs, or None."""


TRACKERS: Registry[Tracker] = Registry("tracker")


@TRACKERS.register("none")
class NoTracker(Tracker):
    """Logs nothing; the run folder has everything."""

    def start(self, name: str, level: str, params: Mapping[str, Any], tags: Mapping[str, str], parent: str | None = None) -> str:
        """An empty id."""
        return ""

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Nothing."""

    def log_artifact(self, run_id: str, file: Path) -> None:
        """Nothing."""

    def end(self, run_id: str, status: Status = "FINISHED") -> None:
        """Nothing."""

    def hint(self) -> str | None:
        """Nothing to show."""
        return None
