"""MLflow as tracker, through its client alone: no global state, no environment variables."""

import contextlib
import logging
import shlex
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from recseq.errors import ConfigError
from recseq.options import did_you_mean
from recseq.tracking.base import TRACKERS, Status, Tracker

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table it makes in a fresh store
logging.getLogger("alembic").setLevel(logging.WARNING)

MAX_PARAM_LENGTH = 6000
MAX_BATCH = 100
CONNECT_SECONDS = 10


@TRACKERS.register("mlflow")
class MlflowTracker(Tracker):
    """Logs to an MLflow store.

    `@` is illegal in metric names there: `HitRate@10` is logged as `HitRate_10`.

    Args:
        uri: Tracking URI. The folder of a SQLite store is made when missing.
        artifacts: Folder or URI of the artifacts of an experiment that is made new; None leaves the place to the server.
        experiment: Name of the experiment.

    Raises:
        ConfigError: The store cannot be opened.
    """

    def __init__(self, *, uri: str, artifacts: str | None, experiment: str) -> None:
        self.uri = uri
        try:
            if uri.startswith("sqlite:///"):
                Path(uri.removeprefix("sqlite:///")).absolute().parent.mkdir(parents=True, exist_ok=True)
            if uri.startswith(("http://", "https://")):
                require_server(uri)
            self.client = MlflowClient(tracking_uri=uri)
            self.experiment_id = self._experiment(experiment, artifacts)
        except (MlflowException, OSError) as error:
            raise ConfigError(f"tracking.uri is {uri!r}, which cannot be opened: {str(error).splitlines()[0]}") from None

    def _experiment(self, name: str, artifacts: str | None) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                raise ConfigError(f"tracking.experiment is {name!r}, which is deleted in {self.uri}; restore it or choose another name")
            return str(found.experiment_id)
        location = None
        if artifacts is not None:
            location = artifacts if "://" in artifacts else Path(artifacts).absolute().as_uri()
        try:
            return self.client.create_experiment(name, artifact_location=location)
        except MlflowException:  # another process was faster
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def start(self, name: str, level: str, params: Mapping[str, Any], tags: Mapping[str, str], parent: str | None = None) -> str:
        """See `Tracker.start`."""
        all_tags = {"recseq.level": level, **tags}
        if parent is not None:
            all_tags[MLFLOW_PARENT_RUN_ID] = parent
        run = self.client.create_run(self.experiment_id, run_name=name, tags=all_tags)
        entries = [Param(key, str(params[key])[:MAX_PARAM_LENGTH]) for key in sorted(params)]
        for first in range(0, len(entries), MAX_BATCH):
            self.client.log_batch(run.info.run_id, params=entries[first : first + MAX_BATCH])
        return str(run.info.run_id)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """One request for all of them."""
        now = int(time.time() * 1000)
        entries = [Metric(name.replace("@", "_"), float(value), now, step) for name, value in metrics.items()]
        if entries:
            self.client.log_batch(run_id, metrics=entries)

    def log_artifact(self, run_id: str, file: Path) -> None:
        """Upload a file."""
        self.client.log_artifact(run_id, str(file))

    def end(self, run_id: str, status: Status = "FINISHED") -> None:
        """Close a run."""
        self.client.set_terminated(run_id, status)

    def delete(self, run_id: str) -> None:
        """Delete a run, with those below it; MLflow keeps them as deleted until `mlflow gc`."""
        with contextlib.suppress(MlflowException):
            for run in self.client.search_runs([self.experiment_id], f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'"):
                self.delete(run.info.run_id)
            self.client.set_terminated(run_id, "KILLED")
            self.client.delete_run(run_id)

    def hint(self) -> str | None:
        """The command that opens the UI on loopback."""
        if self.uri.startswith(("http://", "https://")):
            return f"open {self.uri}"
        program = Path(sys.executable).with_name("mlflow")
        if program.is_relative_to(Path.cwd()):
            program = program.relative_to(Path.cwd())
        return f"{program} ui --host 127.0.0.1 --backend-store-uri {shlex.quote(self.uri)}"


def require_server(uri: str) -> None:
    """Fail at once where nothing answers; MLflow's client would try for minutes.

    Raises:
        OSError: No connection.
    """
    with contextlib.suppress(urllib.error.HTTPError):  # something answers; what it thinks of this path is its own affair
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=CONNECT_SECONDS).close()


def run_folders(uri: str, experiment: str) -> list[tuple[str, str, Path | None]]:
    """The runs of an experiment, oldest first: name, status, and folder where the run tells of one. Makes nothing in the store.

    Raises:
        ConfigError: The store cannot be opened, or has no such experiment.
    """
    try:
        if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
            raise OSError("there is no such file")  # MLflow's client would make one
        if uri.startswith(("http://", "https://")):
            require_server(uri)
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = sorted(each.name for each in client.search_experiments())
            raise ConfigError(f"report.experiment is {experiment!r}, which {uri} does not have; {did_you_mean(experiment, names)}")
        runs, token = [], None
        while token != "":
            page = client.search_runs(
                [found.experiment_id], "tags.`recseq.level` = 'run'", order_by=["attributes.start_time"], page_token=token
            )
            runs += list(page)
            token = page.token or ""
    except (MlflowException, OSError) as error:
        raise ConfigError(f"tracking.uri is {uri!r}, which cannot be opened: {str(error).splitlines()[0]}") from None
    folders = [run.data.tags.get("recseq.folder") for run in runs]
    return [(run.info.run_name, run.info.status, Path(folder) if folder else None) for run, folder in zip(runs, folders, strict=True)]
