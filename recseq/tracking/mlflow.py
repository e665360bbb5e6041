"""MLflow as tracker, through its client alone: no global state of MLflow's is used."""

import contextlib
import json
import logging
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from recseq.errors import ConfigError
from recseq.secrets import without_credentials
from recseq.tracking.base import TRACKERS, Logged, Status, Tracker
from recseq.tracking.store import RUNS_FILTER, is_server, one_at_a_time, open_client, opened, search_runs, sqlite_file

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table it makes in a fresh store
logging.getLogger("alembic").setLevel(logging.WARNING)

AUTO = "auto"
VIEW = "recseq"  # name of the stored view of an experiment, part of its address
MAX_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 8000
MAX_BATCH = 100

log = logging.getLogger(__name__)


@TRACKERS.register("mlflow")
class MlflowTracker(Tracker):
    """Logs to an MLflow store.

    `@` is illegal in metric names there: `HitRate@10` is logged as `HitRate_10`.

    Args:
        uri: Tracking URI. The folder of a SQLite store is made when missing.
        artifacts: Folder or URI of the artifacts of an experiment that is made new; `auto` is the folder `artifacts` beside a SQLite store,
            and the server's own place otherwise.
        experiment: Name of the experiment.
        skip_finished: See `Tracker`.

    Raises:
        ConfigError: The store cannot be opened.
    """

    def __init__(self, *, uri: str, artifacts: str, experiment: str, skip_finished: bool) -> None:
        super().__init__(skip_finished=skip_finished)
        self.uri = uri
        with opened(uri):
            if (file := sqlite_file(uri)) is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            with one_at_a_time(uri):
                self.client = open_client(uri)
                self.experiment_id = self._experiment(experiment, artifacts)

    def _experiment(self, name: str, artifacts: str) -> str:
        location = self._location(artifacts)
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                made = str(self.client.create_experiment(name, artifact_location=location))
                self.client.set_experiment_tag(made, "mlflow.experimentKind", "custom_model_development")  # the UI's pages for it
                return made
            except MlflowException:  # another process was faster
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise ConfigError(f"tracking.experiment is {name!r}, which is deleted in {self.uri}; restore it or choose another name")
        if location is not None and str(found.artifact_location).rstrip("/") != location.rstrip("/"):
            log.warning(
                "the experiment %r is there already and keeps its artifacts in %s; tracking.artifacts has no effect",
                name,
                found.artifact_location,
            )
        return str(found.experiment_id)

    def _location(self, artifacts: str) -> str | None:
        if artifacts == AUTO:
            file = sqlite_file(self.uri)
            return None if file is None else (file.parent / "artifacts").as_uri()
        return artifacts if "://" in artifacts else Path(artifacts).absolute().as_uri()

    def start(
        self,
        name: str,
        level: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parent: str | None = None,
        started: int | None = None,
    ) -> str:
        """See `Tracker.start`."""
        all_tags = {"recseq.level": level, **{_legal(key): str(value)[:MAX_TAG_LENGTH] for key, value in tags.items()}}
        if parent:
            all_tags[MLFLOW_PARENT_RUN_ID] = parent
        run_id = str(self.client.create_run(self.experiment_id, start_time=started, run_name=name, tags=all_tags).info.run_id)
        entries = [Param(_legal(key), str(params[key])[:MAX_PARAM_LENGTH]) for key in sorted(params)]
        try:
            for first in range(0, len(entries), MAX_BATCH):
                self.client.log_batch(run_id, params=entries[first : first + MAX_BATCH])
        except BaseException:
            with contextlib.suppress(Exception):
                self.client.set_terminated(run_id, "FAILED")
            raise
        return run_id

    def log_dataset(self, run_id: str, dataset: Mapping[str, Any]) -> None:
        """See `Tracker.log_dataset`."""
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in dataset.items()}
        self.client.log_inputs(run_id, [DatasetInput(Dataset(**texts), [InputTag(MLFLOW_DATASET_CONTEXT, "train")])])

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """One request for all of them."""
        now = int(time.time() * 1000)
        entries = [Metric(_metric(name), float(value), now, step) for name, value in metrics.items()]
        if entries:
            self.client.log_batch(run_id, metrics=entries)

    def log_artifact(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """See `Tracker.log_artifact`."""
        self.client.log_artifact(run_id, str(file), folder)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """See `Tracker.set_tags`."""
        for key, value in tags.items():
            self.client.set_tag(run_id, _legal(key), value[:MAX_TAG_LENGTH])

    def describe(self, run_id: str, markdown: str) -> None:
        """The note that the UI shows as Markdown on the run's page."""
        self.set_tags(run_id, {MLFLOW_RUN_NOTE: markdown.replace("{run_id}", run_id)})

    def show_columns(self, objective: str, columns: Sequence[str]) -> None:
        """A stored view: one line a configuration, not the tree, which the UI draws when runs are ordered by time."""
        shown = ["attributes.`Created`", "attributes.`Duration`", "attributes.`Dataset`"]
        view = {
            "searchFilter": RUNS_FILTER,
            "orderByKey": f"metrics.`{_metric(objective)}`",
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": [*shown, *(f"metrics.`{_metric(column)}`" for column in columns)],
        }
        self.client.set_experiment_tag(self.experiment_id, f"mlflow.sharedViewState.{VIEW}", json.dumps(view))

    def end(self, run_id: str, status: Status = "FINISHED", ended: int | None = None) -> None:
        """Close a run."""
        self.client.set_terminated(run_id, status, ended)

    def delete(self, run_id: str) -> None:
        """Delete a run, with those below it; MLflow keeps them as deleted until `mlflow gc`."""
        with contextlib.suppress(MlflowException):
            for run in list(self._search({MLFLOW_PARENT_RUN_ID: run_id})):
                self.delete(run.info.run_id)
            self.client.set_terminated(run_id, "KILLED")
            self.client.delete_run(run_id)

    def status(self, run_id: str) -> str | None:
        """See `Tracker.status`."""
        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            return None
        return str(run.info.status) if run.info.lifecycle_stage == "active" else None

    def reopen(self, run_id: str) -> bool:
        """See `Tracker.reopen`."""
        if self.status(run_id) is None:
            return False
        self.client.update_run(run_id, status="RUNNING")
        return True

    def close_tree(self, run_id: str, status: Status) -> None:
        """See `Tracker.close_tree`."""
        for run in list(self._search({MLFLOW_PARENT_RUN_ID: run_id}, "attributes.status = 'RUNNING'")):
            self.close_tree(run.info.run_id, status)
        if self.status(run_id) == "RUNNING":
            self.client.set_terminated(run_id, status)

    def find(self, tags: Mapping[str, str]) -> list[Logged]:
        """See `Tracker.find`."""
        found = []
        for run in self._search(tags):
            folder = run.data.tags.get("recseq.folder")
            found.append(Logged(run.info.run_id, run.info.status, Path(folder) if folder else None))
        return found

    def _search(self, tags: Mapping[str, str], *more: str) -> Iterator[Run]:
        """All runs that have these tags and meet further conditions, the newest first."""
        quoted = {key: f'"{value}"' if "'" in value else f"'{value}'" for key, value in tags.items()}
        text = " and ".join([*(f"tags.`{key}` = {value}" for key, value in quoted.items()), *more])
        return search_runs(self.client, self.experiment_id, text, "attributes.start_time DESC")

    def hint(self) -> str | None:
        """Where the runs are to be seen, and the command that opens the UI of a store on loopback."""
        page = f"#/experiments/{self.experiment_id}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"
        if is_server(self.uri):
            return f"{without_credentials(self.uri).rstrip('/')}/{page}"
        program = Path(sys.executable).with_name("mlflow")
        if program.is_relative_to(Path.cwd()):
            program = program.relative_to(Path.cwd())
        return f"{program} ui --host 127.0.0.1 --backend-store-uri {shlex.quote(self.uri)}  # then open http://127.0.0.1:5000/{page}"


def artifact_link(path: str) -> str:
    """Address of an artifact of the run that is described, relative to the UI; for `Tracker.describe`."""
    return f"get-artifact?path={path}&run_uuid={{run_id}}"


def _metric(name: str) -> str:
    return name.replace("@", "_")


def _legal(key: str) -> str:
    """MLflow's names have letters, digits and `_-. :/`."""
    return re.sub(r"[^\w\-. :/]", "_", key)
