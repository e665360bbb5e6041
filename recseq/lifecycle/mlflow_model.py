"""Wraps a model folder in an MLflow model: the folder as it is, a script, a signature, an input example, requirements; no pickle."""

import importlib.metadata
from pathlib import Path

import pandas as pd
import polars as pl
from mlflow.models import ModelSignature
from mlflow.pyfunc import save_model
from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema
from packaging.version import Version

import recseq
from recseq.files import written_aside
from recseq.lifecycle.folder import VOCABULARY
from recseq.lifecycle.loading import item_id_type, modules_of, read_manifest
from recseq.lifecycle.serving import ARTIFACT

SCRIPT = Path(__file__).with_name("serving_script.py")
K = 10
REQUIREMENTS = ("torch", "polars", "numpy", "pytorch-lightning", "mlflow", "safetensors", "hydra-core")


def write_mlflow_model(folder: Path, path: Path) -> None:
    """Write a model folder as an MLflow model.

    Args:
        folder: The model folder.
        path: Where to; it must not be there.
    """
    read_manifest(folder)
    with written_aside(path) as aside:
        save_model(
            path=str(aside),
            python_model=str(SCRIPT),
            artifacts={ARTIFACT: str(folder)},
            signature=signature(folder),
            input_example=(example(folder), {"k": K, "filter_viewed": True}),
            pip_requirements=requirements(),
            model_config={"plugins": modules_of(folder), "accelerator": "auto"},
        )


def signature(folder: Path) -> ModelSignature:
    """What goes in and comes out: histories of ids of the vocabulary's type, lists of ids and scores."""
    kind = DataType.string if item_id_type(folder) == pl.String else DataType.long
    return ModelSignature(
        inputs=Schema([ColSpec(Array(kind), "items"), ColSpec(Array(kind), "exclude", required=False)]),
        outputs=Schema([ColSpec(Array(kind), "items"), ColSpec(Array(DataType.float), "scores")]),
        params=ParamSchema([ParamSpec("k", DataType.long, K), ParamSpec("filter_viewed", DataType.boolean, True)]),
    )


def example(folder: Path) -> pd.DataFrame:
    """Two users' histories of real ids; the second user must not get the first item."""
    ids = pl.read_parquet(folder / VOCABULARY)["item_id"].head(3).to_list()
    return pd.DataFrame({"items": [ids, ids[-1:]], "exclude": [[], ids[:1]]})


def requirements() -> list[str]:
    """This recseq and the packages that its numbers hang on, as they are here; without the builds' local names (`+cpu`)."""
    return [f"recseq=={recseq.__version__}", *(f"{name}=={Version(importlib.metadata.version(name)).public}" for name in REQUIREMENTS)]
