"""Loads a model folder, or says in one message what is wrong with it. Nothing in it is trusted: no pickle, no import of its choice."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import polars as pl
import torch
import yaml
from packaging.version import InvalidVersion, Version
from safetensors import SafetensorError
from safetensors.torch import load_file

import recseq
from recseq.config import check_item_net, check_model, import_plugins
from recseq.data.interactions import ItemFeatures
from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError, DataError, RecseqError
from recseq.files import file_digest
from recseq.group_options import MetricOptions, Sizes
from recseq.lifecycle.folder import (
    ALWAYS,
    CATEGORICAL,
    CONFIG,
    FORMAT,
    MANIFEST,
    NUMERIC,
    PROVENANCE,
    VOCABULARY,
    WEIGHTS,
    Manifest,
)
from recseq.model_specs import ModelSpec
from recseq.models import Recommender
from recseq.models.state import ModelState
from recseq.options import problem
from recseq.registry import check_options
from recseq.training.losses import LOSSES
from recseq.training.optimizer import check_optimizer
from recseq.training.scheduler import check_scheduler
from recseq.training.trainer import TrainerOptions
from recseq.training.validation import VALIDATIONS

T = TypeVar("T")

PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib"}
TRUSTED = ("recseq", "torch", "pytorch_lightning")  # a config may name classes of these
IMPORTING = ("model", "loss", "item_net", "optimizer", "scheduler", "trainer", "validation", "metrics", "dataset", "splitter")
GROUPS = ("model", "loss", "item_net", "optimizer", "scheduler", "trainer", "validation", "metrics")


@dataclass(frozen=True)
class LoadedModel:
    """A model that has been loaded.

    Args:
        path: Its folder.
        model: The fitted recommender, on the device asked for.
        config: The config that it was trained with; files that it names are those of the folder.
        provenance: What `provenance.json` says.
        manifest: What `model.json` says.
        item_features: Item features, where the model is built from them.
        vocabulary: The items that it knows.
    """

    path: Path
    model: Recommender
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    manifest: Manifest
    item_features: ItemFeatures | None
    vocabulary: Vocabulary

    @property
    def name(self) -> str:
        """What tables call the model."""
        return self.manifest.name

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights."""
        return self.manifest.sha256[WEIGHTS]


def load_model(
    path: str | Path, plugins: Sequence[str] = (), accelerator: Literal["auto", "cpu", "gpu"] = "auto", devices: int | None = 1
) -> LoadedModel:
    """Load a model folder.

    Args:
        path: The folder; see `locate` for models in MLflow.
        plugins: Modules that may be imported if the model's config names them: it comes from outside and cannot decide that.
        accelerator: Where the model is to rank; `auto` takes CUDA when there is one.
        devices: What `trainer.devices` is to be: how many it was trained on says nothing about this machine; None leaves it.

    Raises:
        DataError: The folder is missing, damaged, of another version, or no recseq model.
        ConfigError: Its config cannot be built here, or the device is not there.
    """
    folder = Path(path)
    try:
        manifest = read_manifest(folder)
        config = _read_config(folder, manifest)
        config["trainer"] = {**config["trainer"], "accelerator": accelerator, **({} if devices is None else {"devices": devices})}
        require_known_code(config, plugins)
        import_plugins(config["plugins"])
        _require_buildable(config, manifest)
        state, item_features = _read_state(folder, manifest)
        model = ModelSpec(manifest.name, config, is_reference=False).build()
        model.restore(state, item_features)
        provenance = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    except RecseqError as error:
        raise type(error)(f"the model in {folder} cannot be loaded: {error}") from None
    return LoadedModel(folder, model, config, provenance, manifest, item_features, state.vocabulary)


def read_manifest(folder: Path) -> Manifest:
    """Check that a folder is a whole and unchanged model of a format that this recseq reads.

    Raises:
        DataError: It is not.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder")
    if pickles := sorted(file.name for file in folder.rglob("*") if file.suffix.lower() in PICKLES):
        raise DataError(f"it has {pickles[0]}, which by its name is a pickle, and pickles run code when opened; a recseq model has none")
    if not (folder / MANIFEST).is_file():
        raise DataError(f"it has no {MANIFEST}, so it is no recseq model; mode=train and train.save_folds=true write some")
    found = parsed(folder / MANIFEST, json.loads, dict)
    number, writer = found.get("format"), str(found.get("recseq"))
    if number != FORMAT or _newer(writer):
        raise DataError(
            f"recseq {writer} wrote it in format {number!r}; this is recseq {recseq.__version__}, which reads format {FORMAT} "
            f"of recseq {recseq.__version__} and before"
        )
    if wrong := check_options(Manifest, found, ""):
        raise DataError(f"{MANIFEST} is damaged: {'; '.join(wrong)}")
    manifest = Manifest(**found)
    for name in (*ALWAYS, *(f"{table}.parquet" for table in manifest.tables)):
        if name not in manifest.sha256:
            raise DataError(f"{MANIFEST} does not list {name}, which every such model has")
    for name, digest in manifest.sha256.items():
        if Path(name).name != name:
            raise DataError(f"{MANIFEST} lists {name!r}, which is no file of the folder")
        if not (folder / name).is_file():
            raise DataError(f"the file {name} is missing")
        if (actual := file_digest(folder / name, "sha256")) != digest:
            raise DataError(f"the file {name} is not the one that was written: its SHA-256 is {actual}, {MANIFEST} says {digest}")
    return manifest


def _newer(version: str) -> bool:
    try:
        return Version(version) > Version(recseq.__version__)
    except InvalidVersion:
        return True


def require_known_code(config: Mapping[str, Any], plugins: Sequence[str]) -> None:
    """Refuse a config from outside that would have modules imported which the caller has not named.

    Raises:
        ConfigError: It names such a module.
    """
    for module in _foreign_modules(config):
        if not any(module == known or module.startswith(f"{known}.") for known in plugins):
            raise ConfigError(
                f"it needs the module {module!r}; a model cannot decide what is imported here, so allow it if you trust it: "
                f"plugins=[{','.join([*plugins, module])}]"
            )


def _foreign_modules(config: Mapping[str, Any]) -> list[str]:
    named = list(config["plugins"])
    named += [dotted.rpartition(".")[0] for dotted in _dotted({group: node for group, node in config.items() if group in IMPORTING})]
    return [module for module in named if not any(module == known or module.startswith(f"{known}.") for known in TRUSTED)]


def modules_of(folder: Path) -> list[str]:
    """Modules that a model of one's own making needs: what `load_model` wants as `plugins`."""
    return list(dict.fromkeys(_foreign_modules(_read_config(folder, read_manifest(folder)))))


def item_id_type(folder: str | Path) -> pl.DataType:
    """Type of a model folder's item ids: Int64 or String."""
    return pl.read_parquet_schema(Path(folder) / VOCABULARY)["item_id"]


def _dotted(node: Any) -> Iterator[str]:
    """Whatever in a config would be imported by its dotted name: parts by type or as a key, and targets."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("type", "_target_") and isinstance(value, str) and "." in value:
                yield value
            if "." in str(key):
                yield str(key)
            yield from _dotted(value)
    elif isinstance(node, list):
        for value in node:
            yield from _dotted(value)


def _read_config(folder: Path, manifest: Manifest) -> dict[str, Any]:
    config = parsed(folder / CONFIG, yaml.safe_load, dict)
    if missing := [group for group in (*GROUPS, "plugins", "size", "seed") if group not in config]:
        raise DataError(f"{CONFIG} has no {missing[0]}")
    if wrong := problem(config["plugins"], list[str]):
        raise DataError(f"{CONFIG}: plugins {wrong}")
    if not isinstance(config["trainer"], Mapping):
        raise DataError(f"{CONFIG}: trainer is {config['trainer']!r}, must be a mapping")
    for where, table in manifest.files.items():
        *parents, key = where.split(".")
        node = config
        for parent in parents:
            node = node.get(parent, {})
        node[key] = None if table is None else str(folder / f"{table}.parquet")
    return config


def _require_buildable(config: Mapping[str, Any], manifest: Manifest) -> None:
    problems = check_model(config["model"]) + check_item_net(config["item_net"]) + check_optimizer(config["optimizer"], "optimizer")
    problems += check_scheduler(config["scheduler"], "scheduler")
    problems += LOSSES.check(config["loss"], "loss") + VALIDATIONS.check(config["validation"], "validation")
    problems += check_options(TrainerOptions, config["trainer"], "trainer") + check_options(MetricOptions, config["metrics"], "metrics")
    problems += check_options(Sizes, config["size"], "size")
    if problems:
        listed = "\n".join(f"  - {each}" for each in problems)
        raise ConfigError(f"recseq {recseq.__version__} cannot build what recseq {manifest.recseq} wrote in its {CONFIG}:\n{listed}")


def _read_state(folder: Path, manifest: Manifest) -> tuple[ModelState, ItemFeatures | None]:
    item_ids = _table(folder / VOCABULARY).get_column("item_id", default=None)
    if item_ids is None or item_ids.dtype not in (pl.Int64, pl.String) or item_ids.null_count() or item_ids.n_unique() != item_ids.len():
        raise DataError(f"{VOCABULARY} is no vocabulary: it needs a column item_id of distinct whole numbers or texts")
    if item_ids.len() != manifest.n_items:
        raise DataError(f"{VOCABULARY} has {item_ids.len()} items, the weights are of {manifest.n_items}: it is another model's")
    item_features = None
    if CATEGORICAL in manifest.sha256:
        item_features = ItemFeatures(_table(folder / CATEGORICAL), _table(folder / NUMERIC))
    tables = {name: _table(folder / f"{name}.parquet") for name in manifest.tables}
    state = ModelState(Vocabulary(item_ids), _tensors(folder / WEIGHTS), tables, manifest.facts, item_features is not None, manifest.files)
    return state, item_features


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except SafetensorError as error:
        with file.open("rb") as opened:
            begins = opened.read(2)
        pickled = "; it looks like a pickle, which is not opened" if begins == b"PK" or begins[:1] == b"\x80" else ""
        raise DataError(f"{file.name} has no safetensors inside{pickled} ({error})") from None


def _table(file: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(file, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{file.name} cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def parsed(file: Path, parse: Any, kind: type[T]) -> T:
    """What a file of a model folder holds.

    Raises:
        DataError: It cannot be read, or holds something else.
    """
    try:
        found = parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{file.name} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(found, kind):
        raise DataError(f"{file.name} holds {type(found).__name__}, must be a mapping")
    return found
