"""Where a model is: a folder, or an artifact of an MLflow run or registered model."""

import atexit
import re
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recseq.errors import ConfigError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

REMOTE = ("runs:/", "models:/")


def locate(path: str, tracking: Mapping[str, Any]) -> Path:
    """The folder of a model.

    Args:
        path: A folder; `runs:/<id>/model`; `models:/name/version` or `models:/name@alias`.
        tracking: The `tracking` group, whose store is asked for the latter.

    Returns:
        The folder; of an artifact, a copy that lasts as long as the process.

    Raises:
        ConfigError: Of a form that is none of these, or the store does not have it.
    """
    if not path.startswith(REMOTE):
        if re.match(r"\w+:/", path):
            raise ConfigError(f"the model path is {path!r}; allowed: a folder, runs:/<id>/model, models:/name/version, models:/name@alias")
        return Path(path)
    if tracking["type"] != "mlflow":
        raise ConfigError(f"the model path is {path!r}, which needs an MLflow store; tracking={tracking['type']} is none: tracking=mlflow")
    return download(path, str(tracking["uri"]))


@cache  # the command line is composed of a model before the model is loaded
def download(address: str, uri: str) -> Path:
    """A copy of an artifact of an MLflow store, file or folder, removed when the process ends.

    Raises:
        ConfigError: The store does not have it, or does not answer.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    from recseq.tracking.store import existing_store, store_address

    client = existing_store(uri)
    place = store_address(uri)
    copy = tempfile.mkdtemp(prefix="recseq-")
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    try:
        source = _of_version(client, address) if address.startswith("models:/") else address
        return Path(download_artifacts(artifact_uri=source, dst_path=copy, tracking_uri=place, registry_uri=place))
    except (MlflowException, OSError) as error:
        raise ConfigError(f"{address} is not in the MLflow store {uri}: {str(error).splitlines()[0]}") from None


def _of_version(client: "MlflowClient", address: str) -> str:
    """Where the artifacts of a registered version are; MLflow itself would look in its global registry, not in this store.

    Raises:
        ConfigError: The address is of another form.
    """
    found = re.fullmatch(r"models:/(?P<name>[^/@]+)(/(?P<version>\d+)|@(?P<alias>[^/]+))(?P<inside>/.*)?", address)
    if found is None:
        raise ConfigError(f"the model path is {address!r}; a registered model is models:/name/version or models:/name@alias")
    name, version, inside = found["name"], found["version"], found["inside"] or ""
    if version is None:
        version = client.get_model_version_by_alias(name, found["alias"]).version
    source = client.get_model_version_download_uri(name, version)
    if logged := re.fullmatch(r"models:/(m-\w+)", source):
        source = client.get_logged_model(logged[1]).artifact_location
    return source.rstrip("/") + inside
