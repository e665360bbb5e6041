"""A model on disk: a folder without pickle, written whole or not at all.

weights.safetensors     learnt numbers
vocabulary.parquet      item ids, in the order of the model's integers
item_features.parquet   categorical features and, in numeric_features.parquet, numbers: where the model is built from them
<name>.parquet          further tables of the model: item vectors that came from a file
config.yaml             the run's resolved config; options that named a file of the user's name the table in the folder
provenance.json         code, versions, data and rows that it was trained on
README.md               model card
model.json              format, recseq's version, kind of model, SHA-256 of every other file
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from safetensors.torch import save_file

import recseq
from recseq.data.interactions import ItemFeatures
from recseq.errors import ConfigError
from recseq.files import file_digest, write_json, written_aside
from recseq.lifecycle.card import Measured, model_card
from recseq.models import MODELS, Recommender
from recseq.secrets import without_credentials

FORMAT = 1
MANIFEST = "model.json"
WEIGHTS = "weights.safetensors"
VOCABULARY = "vocabulary.parquet"
CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
CATEGORICAL = "item_features.parquet"
NUMERIC = "numeric_features.parquet"
ALWAYS = (WEIGHTS, VOCABULARY, CONFIG, PROVENANCE)


@dataclass(frozen=True)
class Manifest:
    """What `model.json` says.

    Args:
        format: Version of the folder's layout.
        recseq: Version of the program that wrote it.
        name: What tables call the model.
        type: Which recommender it is.
        n_items: Size of the vocabulary that the weights are of.
        tables: Names of the model's further tables, each a Parquet file.
        files: Options that name a table of the folder, by config path; None: emptied.
        facts: Numbers about the fitted model.
        sha256: Digest of every other file.
    """

    format: int
    recseq: str
    name: str
    type: str
    n_items: int
    tables: list[str]
    files: dict[str, str | None]
    facts: dict[str, float]
    sha256: dict[str, str]


def require_saveable(config: Mapping[str, Any]) -> None:
    """Refuse, before anything is trained, a recommender that does not know how to be saved.

    Raises:
        ConfigError: It does not.
    """
    kind = config["model"]["type"]
    part = MODELS.find(kind, "model.type")
    if not part.can_be_saved():
        raise ConfigError(
            f"model.type is {kind!r}, whose class {part.__name__} cannot be saved: it needs the methods state and restore of "
            f"recseq.models.Recommender"
        )


def save_model(
    path: Path,
    model: Recommender,
    config: Mapping[str, Any],
    item_features: ItemFeatures | None,
    provenance: Mapping[str, Any],
    measured: list[Measured],
) -> None:
    """Write a fitted recommender as a folder.

    Args:
        path: The folder; it must not be there.
        model: The recommender.
        config: The checked config that it was built from.
        item_features: Of the data that it was fitted on.
        provenance: Where it comes from, with `trained_on`.
        measured: Tables of numbers for the model card.

    Raises:
        ConfigError: The recommender cannot be saved.
    """
    state = model.state()
    own = deepcopy(dict(config))
    for where, file in state.files.items():
        *parents, key = where.split(".")
        node = own
        for parent in parents:
            node = node[parent]
        node[key] = None if file is None else f"{file}.parquet"
    with written_aside(path) as aside:
        aside.mkdir()
        # copies, since tensors of one storage are refused
        save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.tensors.items()}, aside / WEIGHTS)
        pl.DataFrame([state.vocabulary.item_ids.alias("item_id")]).write_parquet(aside / VOCABULARY)
        if state.needs_item_features and item_features is not None:
            item_features.categorical.write_parquet(aside / CATEGORICAL)
            item_features.numeric.write_parquet(aside / NUMERIC)
        for name, table in state.tables.items():
            table.write_parquet(aside / f"{name}.parquet")
        (aside / CONFIG).write_text(without_credentials(yaml.safe_dump(own, sort_keys=False)), encoding="utf-8")
        write_json(aside / PROVENANCE, provenance)
        (aside / "README.md").write_text(model_card(config, state, provenance, measured), encoding="utf-8")
        manifest = Manifest(
            format=FORMAT,
            recseq=recseq.__version__,
            name=config["model"]["name"],
            type=config["model"]["type"],
            n_items=state.vocabulary.n_items,
            tables=sorted(state.tables),
            files=dict(state.files),
            facts=dict(state.facts),
            sha256={file.name: file_digest(file, "sha256") for file in sorted(aside.iterdir())},
        )
        write_json(aside / MANIFEST, asdict(manifest))


def read_facts(folder: Path) -> dict[str, float]:
    """Numbers about the fitted model of a folder that this program has written."""
    facts: dict[str, float] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["facts"]
    return facts
