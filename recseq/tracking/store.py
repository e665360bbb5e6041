"""The place that a tracking URI names: a SQLite file or a server, opened without harm to others and without long waits."""

import contextlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from recseq.errors import ConfigError
from recseq.options import did_you_mean

# MLflow's own are 7 retries of up to 2 minutes each, with pauses that double; and a bar for every download of ours.
for _name, _value in (
    ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3"),
    ("MLFLOW_HTTP_REQUEST_TIMEOUT", "30"),
    ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"),
):
    os.environ.setdefault(_name, _value)

CONNECT_SECONDS = 10
RUNS_FILTER = "tags.`recseq.level` = 'run'"
SQLITE = "sqlite:///"


def is_server(uri: str) -> bool:
    """Whether runs are sent over the network."""
    return uri.startswith(("http://", "https://"))


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store, absolute; None of another kind of store."""
    return Path(uri.removeprefix(SQLITE)).absolute() if uri.startswith(SQLITE) else None


def open_client(uri: str) -> MlflowClient:
    """A client of a store.

    A SQLite store is opened by its full path: MLflow keeps opened stores by their address, which must mean one file wherever the process
    goes.

    Raises:
        OSError: Nothing answers at a server's address.
    """
    if is_server(uri):
        require_server(uri)
    return MlflowClient(tracking_uri=store_address(uri))


def store_address(uri: str) -> str:
    """A tracking URI that means the same store wherever the process goes."""
    file = sqlite_file(uri)
    return uri if file is None else f"{SQLITE}{file}"


def existing_store(uri: str) -> MlflowClient:
    """A client of a store that is there; makes nothing.

    Raises:
        ConfigError: It cannot be opened.
    """
    with opened(uri):
        file = sqlite_file(uri)
        if file is not None and not file.exists():
            raise OSError("there is no such file")  # MLflow's client would make one
        return open_client(uri)


@contextmanager
def opened(uri: str) -> Iterator[None]:
    """Say of errors that they are the store's.

    Raises:
        ConfigError: What opening the store raised.
    """
    try:
        yield
    except (MlflowException, OSError) as error:
        raise ConfigError(f"tracking.uri is {uri!r}, which cannot be opened: {str(error).splitlines()[0]}") from None


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Let one process open a SQLite store at a time: several that make a fresh one at once corrupt it."""
    file = sqlite_file(uri)
    if file is None:
        yield
        return
    with FileLock(file.with_name(f".{file.name}.lock")):
        yield


def require_server(uri: str) -> None:
    """Fail at once where nothing answers; MLflow's client would try for minutes.

    Raises:
        OSError: No connection.
    """
    with contextlib.suppress(urllib.error.HTTPError):  # something answers; what it thinks of this path is its own affair
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=CONNECT_SECONDS).close()


def search_runs(client: MlflowClient, experiment_id: str, text: str, order: str) -> Iterator[Run]:
    """All runs of an experiment that meet a filter, page by page.

    Args:
        client: Client of the store.
        experiment_id: The experiment.
        text: MLflow's filter.
        order: Attribute to order by, with `DESC` for the last first.
    """
    token: str | None = None
    while token != "":
        page = client.search_runs([experiment_id], text, order_by=[order], page_token=token)
        yield from page
        token = page.token or ""


def run_folders(uri: str, experiment: str) -> list[tuple[str, str, Path | None]]:
    """The runs of an experiment, oldest first: name, status, and folder where the run tells of one. Makes nothing in the store.

    Raises:
        ConfigError: The store cannot be opened, or has no such experiment.
    """
    with opened(uri):
        client = existing_store(uri)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = sorted(each.name for each in client.search_experiments())
            raise ConfigError(f"report.experiment is {experiment!r}, which {uri} does not have; {did_you_mean(experiment, names)}")
        runs = list(search_runs(client, found.experiment_id, RUNS_FILTER, "attributes.start_time"))
    folders = [run.data.tags.get("recseq.folder") for run in runs]
    return [(run.info.run_name, run.info.status, Path(folder) if folder else None) for run, folder in zip(runs, folders, strict=True)]
