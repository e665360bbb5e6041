"""`from_run`: the composition of an earlier run as the base of what is typed.

The overrides that the run was typed with go in front of the new ones before Hydra composes, so every option of its groups can be
overridden. Where conf/ has changed since, the values of the run's own `config.yaml` are put back.
"""

import atexit
import json
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from recseq.environment import NOT_IDENTITY, without
from recseq.errors import ConfigError
from recseq.files import conf_folder
from recseq.sweeps.notes import SWEEP_FILE
from recseq.tracking.base import flatten

# What a run was told about its surroundings, not about its model.
OF_THE_RUN_ALONE = (
    *(
        "mode",
        "from_run",
        "train.fold",
        "train.save_folds",
        "train.only_new",
        "model_path",
        "evaluate",
        "recommend",
        "similar",
        "paths",
        "tracking",
        "report",
        "upload",
        "search",
    ),
    *("hydra", "trainer.enable_progress_bar"),
)

FILES = ("config.yaml", "provenance.json", "summary.json")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EarlierRun:
    """A run that another begins from.

    Args:
        place: Its folder or id, for people.
        config: Its resolved config.
        overrides: What it was composed of, without what concerns that run alone.
        summary: Its results; None of a run that has not finished.
    """

    place: str
    config: Mapping[str, Any]
    overrides: list[str]
    summary: Mapping[str, Any] | None

    @classmethod
    def read(cls, folder: Path, place: str) -> "EarlierRun":
        """The run of a folder.

        Raises:
            ConfigError: It is no run's.
        """
        if (folder / SWEEP_FILE).exists():
            raise ConfigError(
                f"from_run is {place!r}, a whole sweep; name one of its jobs, {folder}/0 or what its leaderboard.csv ranks first"
            )
        try:
            config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
            origin = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"from_run is {place!r}, which is no run's folder: {str(error).splitlines()[0]}") from None
        if "overrides" not in origin:
            raise ConfigError(
                f"from_run is {place!r}, a run of an older recseq or a model's folder: it does not say what it was composed of"
            )
        summary = folder / "summary.json"
        kept = [word for word in origin["overrides"] if not concerns(key_of_word(word), OF_THE_RUN_ALONE)]
        return cls(place, config, kept, json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else None)

    def differences(self, config: Mapping[str, Any]) -> list[str]:
        """Keys that can change results and have another value in a config than in the run's."""
        ours, theirs = (flatten(without(each, NOT_IDENTITY)) for each in (self.config, config))
        return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))

    def metrics(self) -> dict[str, float]:
        """What its model measured: means over its folds; empty where it measured nothing."""
        if self.summary is None or "models" not in self.summary:
            return {}
        own = self.summary["models"][self.summary["model"]]
        return {column: values["mean"] for column, values in own.items() if "@" in column}


def find_run(reference: str, tracking: Mapping[str, Any]) -> EarlierRun:
    """An earlier run.

    Args:
        reference: Its folder, or its id in MLflow.
        tracking: The `tracking` group, whose store knows ids.

    Raises:
        ConfigError: There is no such run, or nothing of it can be reached from here.
    """
    if not reference:
        raise ConfigError("from_run is empty; it takes the folder of a run or the id of one in MLflow")
    if Path(reference).is_dir():
        return EarlierRun.read(Path(reference), reference)
    if "/" in reference or not reference.isalnum():
        raise ConfigError(f"from_run is {reference!r}: no such folder; it takes the folder of a run or the id of one in MLflow")
    if tracking["type"] != "mlflow":
        raise ConfigError(f"from_run is {reference!r}: no such folder, and without an MLflow store it cannot be an id; use tracking=mlflow")
    from mlflow.exceptions import MlflowException

    from recseq.lifecycle.locate import download
    from recseq.tracking.store import existing_store

    try:
        tags = existing_store(str(tracking["uri"])).get_run(reference).data.tags
    except MlflowException as error:
        raise ConfigError(
            f"from_run is {reference!r}: neither a folder nor a run of {tracking['uri']} (tracking.uri): {str(error).splitlines()[0]}"
        ) from None
    level = tags.get("recseq.level")
    if level not in ("run", "train"):
        above = f"; the run above it is {tags['mlflow.parentRunId']}" if "mlflow.parentRunId" in tags else ""
        raise ConfigError(f"from_run is {reference!r}, which is no run but a {level or 'run of another program'}{above}")
    folder = Path(tags.get("recseq.folder", ""))
    if (folder / "provenance.json").exists():
        return EarlierRun.read(folder, reference)
    copy = Path(tempfile.mkdtemp(prefix="recseq-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    try:
        for name in FILES:
            shutil.copyfile(download(f"runs:/{reference}/{name}", str(tracking["uri"])), copy / name)
    except ConfigError as error:
        raise ConfigError(
            f"from_run is {reference!r}, whose folder {folder} is not on this machine and whose artifacts lack it: {error}"
        ) from None
    return EarlierRun.read(copy, reference)


def expand_arguments(arguments: Sequence[str]) -> list[str]:
    """The words of a command line, with those of the run that `from_run` names in front.

    Args:
        arguments: Behind the program's name.

    Raises:
        ConfigError: There is no such run.
    """
    reference = next((word.partition("=")[2].strip("'\"") for word in reversed(arguments) if key_of_word(word) == "from_run"), "null")
    if reference in ("", "null") or "mode=train" not in arguments:
        return list(arguments)
    surroundings = [word for word in arguments if concerns(key_of_word(word), ("tracking", "paths")) and not word.startswith("-")]
    found = find_run(reference, composed_of(surroundings)["tracking"])
    return [*merge_overrides(found.overrides, arguments), "hydra.mode=RUN"]  # a file of conf/experiment makes a sweep of it otherwise


def merge_overrides(before: Sequence[str], typed: Sequence[str]) -> list[str]:
    """Old overrides that no new one replaces, then the new ones.

    Args:
        before: The run's.
        typed: What is typed; words that are no overrides stay.
    """
    replaced = {key_of_word(word) for word in typed}
    kept = [word for word in before if not any(concerns(key_of_word(word), (key,)) for key in replaced)]
    return [*kept, *typed]


def keep_values(composed: Mapping[str, Any], run: EarlierRun, overrides: Sequence[str], leave: tuple[str, ...] = ()) -> dict[str, Any]:
    """Put back what the run's config says where composing the run's overrides gives something else today.

    Args:
        composed: Today's config of all overrides, plain and resolved.
        run: The run.
        overrides: All of them.
        leave: Keys that stay as composed, besides those of the run alone.
    """
    typed = tuple(key_of_word(word) for word in overrides if word not in run.overrides)
    fixed, changed = _put_back(composed, composed_of(run.overrides), run.config, "", (*OF_THE_RUN_ALONE, *leave, *typed))
    if changed:
        log.warning("conf/ has changed since %s ran; as it ran: %s", run.place, ", ".join(changed))
    return fixed


def _put_back(
    now: Mapping[str, Any], again: Mapping[str, Any], ran: Mapping[str, Any], where: str, leave: tuple[str, ...]
) -> tuple[dict[str, Any], list[str]]:
    """Values of `ran` in the place of those that are the same `now` as when the run is composed `again`; and what they are."""
    fixed, changed = dict(now), []
    for key, value in ran.items():
        path = f"{where}{key}"
        if concerns(path, leave):
            continue
        parts = [node.get(key) for node in (now, again)]
        if isinstance(value, Mapping) and parts[0] == parts[1] and _is_other_part(path, value, parts[0]):
            fixed[key] = value
            changed.append(path)
        elif isinstance(value, Mapping) and all(isinstance(part, Mapping) for part in parts):
            fixed[key], inner = _put_back(parts[0], parts[1], value, f"{path}.", leave)  # type: ignore[arg-type]
            changed += inner
        elif (key in now) == (key in again) and parts[0] == parts[1] and (key not in now or parts[0] != value):
            fixed[key] = value
            changed.append(f"{path}={value}")
    return fixed, changed


def _is_other_part(path: str, ran: Mapping[str, Any], now: Any) -> bool:
    """Whether two nodes are of parts that have not the same options: of a run whose overrides are not all known."""
    if not isinstance(now, Mapping):
        return False
    return ran.get("type") != now.get("type") or (path == "item_net" and ran.keys() != now.keys())


def composed_of(overrides: Sequence[str]) -> dict[str, Any]:
    """The resolved config of some overrides."""
    try:
        if GlobalHydra.instance().is_initialized():
            composed = compose("config", overrides=list(overrides))
        else:
            with initialize_config_dir(str(conf_folder()), version_base="1.3"):
                composed = compose("config", overrides=list(overrides))
        found = OmegaConf.to_container(composed, resolve=True)
    except Exception as error:
        raise ConfigError(f"{' '.join(overrides)} cannot be composed: {str(error).splitlines()[0]}") from None
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def key_of_word(word: str) -> str:
    """What an override is about, groups written as keys: `model.layers` of `model/layers=ligr`."""
    return word.lstrip("+~").partition("=")[0].partition("@")[0].replace("/", ".")


def concerns(key: str, paths: Sequence[str]) -> bool:
    """Whether a key is one of some paths, or below one."""
    return any(key == path or key.startswith(f"{path}.") for path in paths)
