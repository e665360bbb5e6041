"""A tracker whose failures cost the log, never the work."""

import contextlib
import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recseq.errors import ConfigError
from recseq.files import write_json
from recseq.secrets import without_credentials
from recseq.tracking.base import TRACKERS, Logged, NoTracker, Status, Tracker
from recseq.tracking.store import is_server, require_server

UNTRACKED_FILE = "untracked.json"

log = logging.getLogger(__name__)


class SurvivingTracker(Tracker):
    """Passes calls on until one fails; from then on the run folder alone has what follows, and `mode=upload` logs it afterwards.

    Args:
        inner: The tracker.
        node: The `tracking` group, for the command that uploads.
        lost: Why nothing is logged, when that is so from the start.
    """

    def __init__(self, inner: Tracker, node: Mapping[str, Any], lost: str | None = None) -> None:
        super().__init__(skip_finished=inner.skip_finished)
        self.inner = inner
        self.node = node
        self.lost = lost
        self.open: list[str] = []

    def _try(self, call: Callable[[], Any], default: Any = None) -> Any:
        if self.lost is not None:
            return default
        try:
            return call()
        except Exception as error:  # a server that is gone, a locked or full store: every kind has its own
            self.lost = _first_line(error)
            log.warning("the tracker fails, the run goes on without it and its folder has everything: %s", self.lost)
            return default

    def start(
        self,
        name: str,
        level: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parent: str | None = None,
        started: int | None = None,
    ) -> str:
        """The run's id; empty when there is none."""
        run_id: str = self._try(lambda: self.inner.start(name, level, params, tags, parent, started), "")
        if run_id:
            self.open.append(run_id)
        return run_id

    def log_dataset(self, run_id: str, dataset: Mapping[str, Any]) -> None:
        """See `Tracker`."""
        self._try(lambda: self.inner.log_dataset(run_id, dataset))

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """See `Tracker`."""
        self._try(lambda: self.inner.log_metrics(run_id, metrics, step))

    def log_artifact(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """See `Tracker`."""
        self._try(lambda: self.inner.log_artifact(run_id, file, folder))

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """See `Tracker`."""
        self._try(lambda: self.inner.set_tags(run_id, tags))

    def describe(self, run_id: str, markdown: str) -> None:
        """See `Tracker`."""
        self._try(lambda: self.inner.describe(run_id, markdown))

    def show_columns(self, objective: str, columns: Sequence[str]) -> None:
        """See `Tracker`."""
        self._try(lambda: self.inner.show_columns(objective, columns))

    def find(self, tags: Mapping[str, str]) -> list[Logged]:
        """See `Tracker`."""
        found: list[Logged] = self._try(lambda: self.inner.find(tags), [])
        return found

    def finished(self, config_hash: str) -> list[Path]:
        """See `Tracker`."""
        found: list[Path] = self._try(lambda: self.inner.finished(config_hash), [])
        return found

    def status(self, run_id: str) -> str | None:
        """See `Tracker`; of a store that is lost, nothing says that it lacks the run."""
        found: str | None = self._try(lambda: self.inner.status(run_id), "FINISHED")
        return found

    def reopen(self, run_id: str) -> bool:
        """See `Tracker`."""
        done: bool = self._try(lambda: self.inner.reopen(run_id), False)
        if done:
            self.open.append(run_id)
        return done

    def close_tree(self, run_id: str, status: Status) -> None:
        """See `Tracker`."""
        self._try(lambda: self.inner.close_tree(run_id, status))

    def end(self, run_id: str, status: Status = "FINISHED", ended: int | None = None) -> None:
        """Close a run; one that is not logged whole is closed as failed, if the store is back by then."""
        self._try(lambda: self.inner.end(run_id, status, ended))
        if self.lost is None:
            self.open = [other for other in self.open if other != run_id]
        elif self.open and run_id in (self.open[0], ""):
            self._abandon()

    def _abandon(self) -> None:
        uri = str(self.node.get("uri", ""))
        with contextlib.suppress(Exception):
            if is_server(uri):
                require_server(uri)
            for run_id in self.open:
                self.inner.end(run_id, "FAILED")
            self.open = []

    def delete(self, run_id: str) -> None:
        """See `Tracker`."""
        self._try(lambda: self.inner.delete(run_id))

    def hint(self) -> str | None:
        """See `Tracker`; None of a tracker that lacks the run."""
        return self.inner.hint() if self.lost is None else None

    def note(self, folder: Path) -> None:
        """Tell, in the terminal and in a run's or sweep's folder, of what is not logged and how to log it.

        Args:
            folder: The folder; gets `untracked.json`, or loses it when everything is logged.
        """
        if self.lost is None:
            (folder / UNTRACKED_FILE).unlink(missing_ok=True)
            return
        words = ["recseq", "mode=upload", f"upload.of={folder}"]
        if is_server(str(self.node.get("uri", ""))):
            words.append(f"tracking.uri={without_credentials(self.node['uri'])}")
        if self.node.get("experiment", "recseq") != "recseq":
            words.append(f"tracking.experiment={self.node['experiment']}")
        command = shlex.join(words)
        write_json(folder / UNTRACKED_FILE, {"reason": self.lost, "command": command})
        log.warning("not everything is in the tracker; to upload it: %s", command)


@contextlib.contextmanager
def noted(tracker: SurvivingTracker, folder: Path) -> Iterator[None]:
    """A block at whose end, good or bad, the folder tells of what is not logged."""
    try:
        yield
    finally:
        tracker.note(folder)


def open_tracker(node: Mapping[str, Any], needed: bool) -> SurvivingTracker:
    """The tracker of a `tracking` group.

    Args:
        node: The group, checked.
        needed: Fail when it cannot be opened; else go on without it.

    Raises:
        ConfigError: It cannot be opened and is needed.
    """
    try:
        return SurvivingTracker(TRACKERS.build(node), node)
    except ConfigError as error:
        if needed:
            raise
        log.warning("%s; the run goes on without it and its folder has everything", _first_line(error))
        return SurvivingTracker(NoTracker(skip_finished=False, runs=""), node, _first_line(error))


def _first_line(error: Exception) -> str:
    return without_credentials((str(error).strip().splitlines() or [type(error).__name__])[0])
