"""`mode=export`: what other programs need to serve a sequential model: its encoder as ONNX, its item vectors as Parquet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

import recseq
from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError
from recseq.files import write_json, written_aside
from recseq.lifecycle.loading import LoadedModel, load_model
from recseq.lifecycle.locate import locate
from recseq.lifecycle.onnx_encoder import input_columns, require_packages, write_encoder
from recseq.models.sequential import SequentialRecommender
from recseq.report.terminal import console

ENCODER = "encoder.onnx"
VOCABULARY = "vocabulary.parquet"
ITEM_VECTORS = "item_vectors.parquet"


def export(config: Mapping[str, Any], folder: Path) -> None:
    """Do `mode=export`.

    Args:
        config: A checked config.
        folder: The run's folder; gets `export/`, unless `export.path` names another place.

    Raises:
        ConfigError: The model has no encoder, or one that cannot be exported, or the place is taken.
    """
    options = config["export"]
    path = folder / "export" if options["path"] is None else Path(options["path"])
    if path.exists():
        raise ConfigError(f"export.path is {path}, which is there already; choose another or remove it")
    if options["onnx"]:
        require_packages()
    loaded = load_model(locate(config["model_path"], config["tracking"]), config["plugins"], accelerator="cpu")
    model = loaded.model
    if not isinstance(model, SequentialRecommender):
        raise ConfigError(
            f"model_path is {config['model_path']}, a {loaded.manifest.type!r} model, which has neither an encoder nor item vectors; "
            f"allowed: sequential models"
        )
    about: dict[str, Any] = {"recseq": recseq.__version__, "model": loaded.name, "n_items": model.vocabulary.n_items}
    about |= {"model_path": config["model_path"], "config_hash": loaded.provenance["recseq.config_hash"]}
    with written_aside(path) as aside:
        aside.mkdir()
        if options["onnx"]:
            model.vocabulary.table.write_parquet(aside / VOCABULARY)
            difference = write_encoder(model, aside / ENCODER)
            about["encoder"] = {"file": ENCODER, "columns": input_columns(model), "largest_difference_from_pytorch": difference}
        if options["item_vectors"]:
            catalogue, vectors = item_vectors(model)
            table = [catalogue.item_ids.alias("item_id"), pl.Series("vector", vectors, pl.Array(pl.Float32, vectors.shape[1]))]
            pl.DataFrame(table).write_parquet(aside / ITEM_VECTORS)
            about["item_vectors"] = {"file": ITEM_VECTORS, "n_items": catalogue.n_items, "width": vectors.shape[1]}
        write_json(aside / "export.json", about)
        (aside / "README.md").write_text(how_to_use(loaded, model, options), encoding="utf-8")
    console().print(f"Exported to: {path}", highlight=False, soft_wrap=True)


def item_vectors(model: SequentialRecommender) -> tuple[Vocabulary, np.ndarray]:
    """Every item that the model recommends, and the vectors (n, D) whose dot products with user vectors are its scores."""
    with torch.inference_mode():
        model.module.eval()
        vectors, item_ids = model.encoder.item_net()[1 : model.vocabulary.n_items + 1], model.vocabulary.item_ids
        if model.recommend_cold_items:
            new, more = model.encoder.item_net.new_items(model.vocabulary)
            vectors, item_ids = torch.cat([vectors, more]), pl.concat([item_ids, new.item_ids])
        return Vocabulary(item_ids), model.encoder.similarity.of_items(vectors).float().numpy()


def how_to_use(loaded: LoadedModel, model: SequentialRecommender, options: Mapping[str, Any]) -> str:
    """README of an export, in Markdown."""
    parts = [f"# {loaded.name}, exported by recseq {recseq.__version__}"]
    if options["onnx"]:
        parts.append(
            f"- `{ENCODER}`: histories to user vectors. Inputs, int64: `items` (users, columns), numbers of the items, oldest first from "
            f"column 0 on, 0 behind the last, at most {input_columns(model)} columns (the newest items); `lengths` (users), items of each "
            f"user, at least 1. Output: `user_vectors`.\n- `{VOCABULARY}`: the number `item` of each `item_id`. Leave unknown ids out."
        )
    if options["item_vectors"]:
        parts.append(
            f"- `{ITEM_VECTORS}`: `item_id` and `vector`. The inner product with a user's vector is recseq's score: load them into any "
            f"index of the inner product. Items of the history are not left out of the answer; that is the caller's."
        )
    if options["onnx"] and options["item_vectors"]:
        known = ", ".join(repr(item_id) for item_id in model.vocabulary.item_ids.head(2))
        parts.append(
            "```python\n"
            "import numpy as np, onnxruntime, polars as pl\n\n"
            f"number = dict(pl.read_parquet('{VOCABULARY}').iter_rows())\n"
            f"history = [number[item_id] for item_id in [{known}] if item_id in number][-{input_columns(model)}:]\n"
            f"session = onnxruntime.InferenceSession('{ENCODER}', providers=['CPUExecutionProvider'])\n"
            "inputs = {'items': np.array([history], dtype=np.int64), 'lengths': np.array([len(history)], dtype=np.int64)}\n"
            "(users,) = session.run(['user_vectors'], inputs)\n"
            f"catalogue = pl.read_parquet('{ITEM_VECTORS}')\n"
            "scores = catalogue['vector'].to_numpy() @ users[0]\n"
            "best = catalogue['item_id'].gather(np.argsort(-scores, kind='stable')[:10]).to_list()\n"
            "```"
        )
    return "\n\n".join(parts) + "\n"
