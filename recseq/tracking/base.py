"""Where runs are logged."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    def delete(self, run_id: str) -> None:
        """Delete a run and the runs below it; one that is not there is no error."""

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

    def delete(self, run_id: str) -> None:
        """Nothing."""

    def hint(self) -> str | None:
        """Nothing to show."""
        return None


@contextmanager
def tracked(
    tracker: Tracker, name: str, level: str, params: Mapping[str, Any], tags: Mapping[str, str], parent: str | None = None
) -> Iterator[str]:
    """A run of the tracker that is closed with the status of the block, whatever happens in it."""
    run_id = tracker.start(name, level, params, tags, parent)
    try:
        yield run_id
    except KeyboardInterrupt:
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
