"""`model_path`: the composition of a saved model as the base of what is typed, and the model itself.

A model may come from outside, so of what it was composed of only what concerns data and model is taken: nothing that decides what is
imported, where things are written and logged, or on which device.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from recseq.environment import provenance
from recseq.errors import ConfigError, RecseqError
from recseq.files import write_text
from recseq.finished import require_unfinished
from recseq.lifecycle.folder import CONFIG, PROVENANCE
from recseq.lifecycle.from_run import EarlierRun, composed_of, concerns, keep_values, key_of_word, merge_overrides
from recseq.lifecycle.loading import GROUPS, IMPORTING, LoadedModel, load_model, parsed, read_manifest, require_known_code
from recseq.lifecycle.locate import locate
from recseq.secrets import without_credentials

MODES = ("evaluate", "recommend", "similar")
TAKEN = ("dataset", "preprocessing", "splitter", "seed", "reference_models", "row", "experiment", "size", *GROUPS)
OF_THE_MACHINE = ("plugins", "trainer.accelerator", "trainer.devices", "trainer.num_nodes")
FIXED = ("model", "loss", "item_net", "optimizer", "scheduler", "size", "validation", "row", "experiment", "search")


def expand_arguments(arguments: Sequence[str]) -> list[str]:
    """The words of a command line, with those that the model of `model_path` was composed of in front.

    Args:
        arguments: Behind the program's name.

    Raises:
        ConfigError: The model is not there, or a word would change it.
    """
    path = next((word.partition("=")[2].strip("'\"") for word in reversed(arguments) if key_of_word(word) == "model_path"), "null")
    mode = next((word.partition("=")[2] for word in reversed(arguments) if key_of_word(word) == "mode"), "")
    if path in ("", "null") or mode not in MODES:
        return list(arguments)
    surroundings = [word for word in arguments if concerns(key_of_word(word), ("tracking", "paths")) and not word.startswith("-")]
    for word in arguments:
        if not word.startswith("-") and "=" in word and concerns(key_of_word(word), FIXED):
            raise ConfigError(f"{word} has no effect with mode={mode}: the model is used as it was trained; leave it out")
    trained = composition(path, composed_of(surroundings)["tracking"])
    return [*merge_overrides(trained.overrides, arguments), "hydra.mode=RUN"]  # a file of conf/experiment makes a sweep of it otherwise


def composition(path: str, tracking: Mapping[str, Any]) -> EarlierRun:
    """What a model was composed of.

    Args:
        path: As `locate` takes it.
        tracking: The `tracking` group.

    Raises:
        ConfigError: There is no such model.
        DataError: It is damaged.
    """
    folder = locate(path, tracking)
    try:
        manifest = read_manifest(folder)
        config = parsed(folder / CONFIG, yaml.safe_load, dict)
        origin = parsed(folder / PROVENANCE, yaml.safe_load, dict)
    except RecseqError as error:
        raise type(error)(f"the model in {folder} cannot be loaded: {error}") from None
    for where in manifest.files:  # they name files of the folder, not what was typed
        *parents, key = where.split(".")
        node = config
        for parent in parents:
            node = node.get(parent, {})
        node.pop(key, None)
    words = [str(word) for word in origin.get("overrides", [])]
    kept = [word for word in words if concerns(key_of_word(word), TAKEN) and not concerns(key_of_word(word), OF_THE_MACHINE)]
    return EarlierRun(path, config, [word for word in kept if not _is_machine(word)], None)


def as_trained(composed: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A config composed of a model's overrides and more, with the model's own values where conf/ has changed since.

    Raises:
        ConfigError: It would have modules imported that the caller has not named.
    """
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    now = {str(key): value for key, value in plain.items()}
    trained = composition(str(now["model_path"]), now["tracking"])
    kept = keep_values(now, trained, overrides, leave=("train", *OF_THE_MACHINE))
    typed = {word for word in overrides if word not in trained.overrides}
    theirs = {group: node for group, node in kept.items() if group in IMPORTING and not any(_names(word, group) for word in typed)}
    require_known_code({"plugins": [], **theirs}, now["plugins"])
    return OmegaConf.create(kept)


def load_for(config: Mapping[str, Any]) -> LoadedModel:
    """The model of `model_path`, on the device of the `trainer` group.

    Raises:
        ConfigError: It cannot be found or built.
        DataError: It is damaged.
    """
    folder = locate(config["model_path"], config["tracking"])
    return load_model(folder, config["plugins"], accelerator=config["trainer"]["accelerator"])


def earlier_model(config: Mapping[str, Any]) -> LoadedModel | None:
    """The model of `train.warm_start`, on the CPU, from where weights are copied; None where training begins anew.

    Raises:
        ConfigError: It cannot be found or built.
        DataError: It is damaged.
    """
    path = config["train"]["warm_start"]
    return None if path is None else load_model(locate(path, config["tracking"]), config["plugins"], accelerator="cpu")


def begin_use(config: Mapping[str, Any], folder: Path, loaded: LoadedModel) -> dict[str, Any]:
    """Write the config that a model is used with.

    Args:
        config: The checked config.
        folder: The run's folder.
        loaded: The model.

    Returns:
        Where the results come from, for `provenance.json`.

    Raises:
        ConfigError: The folder holds results.
    """
    require_unfinished(folder)
    write_text(folder / CONFIG, without_credentials(yaml.safe_dump(dict(config), sort_keys=False)))
    of_model = {"path": str(loaded.path), "weights": loaded.weights_hash, "trained_on": loaded.provenance["trained_on"]}
    return provenance(config["trainer"]["accelerator"]) | {"model": of_model}


def _is_machine(word: str) -> bool:
    """Whether a word chooses a file of conf/trainer, which tells of the machine that trained."""
    return key_of_word(word) == "trainer"


def _names(word: str, group: str) -> bool:
    return key_of_word(word) == group or key_of_word(word) == f"{group}.type"
