"""RecTools' trained weights in recseq's encoder: the same hidden states and scores for real histories."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from conftest import composed

from recseq.config import check_config
from recseq.data.batches import inference_batches
from recseq.data.interactions import Interactions, ItemFeatures
from recseq.data.sequences import Histories, SequenceStore
from recseq.data.sources import SOURCES
from recseq.data.vocabulary import Vocabulary
from recseq.model_specs import groups_of, model_options
from recseq.models import MODELS
from recseq.models.sequential import SequentialRecommender

GOLDEN = Path(__file__).parents[1] / "golden"
SIZES = ("model.session_max_len=20", "model.n_factors=16", "model.n_blocks=2", "model.n_heads=2")
PARTS = {
    "sasrec": {
        "layers.blocks.{}.attention.in_weight": "multi_head_attn.in_proj_weight",
        "layers.blocks.{}.attention.in_bias": "multi_head_attn.in_proj_bias",
        "layers.blocks.{}.attention.out.weight": "multi_head_attn.out_proj.weight",
        "layers.blocks.{}.attention.out.bias": "multi_head_attn.out_proj.bias",
        "layers.blocks.{}.attention_norm.weight": "q_layer_norm.weight",
        "layers.blocks.{}.attention_norm.bias": "q_layer_norm.bias",
        "layers.blocks.{}.feed_forward_norm.weight": "ff_layer_norm.weight",
        "layers.blocks.{}.feed_forward_norm.bias": "ff_layer_norm.bias",
        "layers.blocks.{}.feed_forward.0.weight": "feed_forward.ff_linear_1.weight",
        "layers.blocks.{}.feed_forward.0.bias": "feed_forward.ff_linear_1.bias",
        "layers.blocks.{}.feed_forward.3.weight": "feed_forward.ff_linear_2.weight",
        "layers.blocks.{}.feed_forward.3.bias": "feed_forward.ff_linear_2.bias",
    },
}
NORMS = {"attention_norm": "layer_norm_1", "feed_forward_norm": "layer_norm_2"}
PARTS["bert4rec"] = {ours: theirs for ours, theirs in PARTS["sasrec"].items() if "norm" not in ours} | {
    f"layers.blocks.{{}}.{ours}.{name}": f"{theirs}.{name}" for ours, theirs in NORMS.items() for name in ("weight", "bias")
}


def cases(model: str) -> list[tuple[str, str]]:
    """Pairs of golden file and case, for one model."""
    found = []
    for name in ("synthetic", "movietweetings"):
        with np.load(GOLDEN / f"transformers_{name}.npz") as file:
            found += [(name, str(case)) for case in file["cases"] if str(case).startswith(model)]
    return found


def item_rows(state: dict[str, np.ndarray], golden: dict[str, np.ndarray], model: str, vocabulary: Vocabulary) -> np.ndarray:
    """RecTools' row of each row of recseq's item matrix: padding, items in vocabulary order, MASK where there is one."""
    extra = len(golden[f"{model}/item_matrix"]) - vocabulary.n_items
    items = vocabulary.encode(pl.Series(item_ids(golden, model))).to_numpy()
    rows = np.zeros(vocabulary.n_items + extra, dtype=np.int64)
    rows[items] = np.arange(extra, extra + len(items))
    if extra == 2:
        rows[-1] = 1
    return rows


def item_ids(golden: dict[str, np.ndarray], model: str) -> np.ndarray:
    return golden[f"{model}/item_ids"]


def features(golden: dict[str, np.ndarray], state: dict[str, np.ndarray], model: str, block: int) -> ItemFeatures:
    """The golden categories, column j named by its number, so that recseq's columns stand in RecTools' order."""
    prefix = f"item_model.item_net_blocks.{block}."
    lengths = state[prefix + "input_lengths"]
    extra = len(golden[f"{model}/item_matrix"]) - len(item_ids(golden, model))
    owner = np.repeat(np.arange(len(lengths)), lengths)
    table = pl.DataFrame({"item_id": item_ids(golden, model)[owner - extra], "value": state[prefix + "emb_bag_inputs"]})
    return ItemFeatures.from_long(table.select("item_id", pl.lit("c").alias("feature"), pl.col("value").cast(pl.String).str.zfill(4)))


def transplant(golden: dict[str, np.ndarray], case: str) -> SequentialRecommender:
    """recseq's model with RecTools' weights."""
    model, padding = case.split("/")
    kind, blocks = model.split("-")
    state = {key.split("/state/")[1]: value for key, value in golden.items() if key.startswith(f"{model}/state/")}
    config = check_config(
        composed(
            f"model={kind}",
            *SIZES,
            f"model.use_key_padding_mask={str(padding == 'masked').lower()}",
            f"item_net=[{blocks.replace('+', ',')}]",
        )
    )
    recommender = MODELS.build(model_options(config["model"]), groups=groups_of(config))
    assert isinstance(recommender, SequentialRecommender)
    vocabulary = Vocabulary.from_items(pl.Series(item_ids(golden, model)))
    names = blocks.split("+")
    item_features = features(golden, state, model, names.index("categories")) if "categories" in names else None
    recommender.vocabulary = vocabulary
    recommender.module = recommender.build_module(vocabulary, item_features)
    rows = item_rows(state, golden, model, vocabulary)
    weights: dict[str, Any] = {"positions.embedding.weight": state["pos_encoding_layer.pos_emb.weight"]}
    for i, name in enumerate(names):
        prefix = f"item_model.item_net_blocks.{i}."
        if name == "ids":
            weights["item_net.blocks.ids.embedding.weight"] = state[prefix + "ids_emb.weight"][rows]
        else:
            weights["item_net.blocks.categories.embedding.weight"] = state[prefix + "embedding_bag.weight"]
    for block in range(2):
        for ours, theirs in PARTS[kind].items():
            weights[ours.format(block)] = state[f"transformer_layers.transformer_blocks.{block}.{theirs}"]
    if kind == "sasrec":
        for name in ("weight", "bias"):
            weights[f"layers.last_norm.{name}"] = state[f"transformer_layers.last_layernorm.{name}"]
    encoder = recommender.encoder
    missing, unexpected = encoder.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()}, strict=False)
    assert not unexpected
    assert {name.rsplit(".", 1)[-1] for name in missing} <= {"indices", "offsets"}  # the category layout, a buffer
    return recommender


def histories(golden: dict[str, np.ndarray], name: str, request: pytest.FixtureRequest) -> Interactions:
    """The recorded users' histories: stored in the synthetic file, rebuilt from the data for the real one."""
    if name == "synthetic":
        offsets = golden["histories/offsets"]
        user = np.repeat(golden["user_ids"], np.diff(offsets))
        frame = pl.DataFrame({"user_id": user, "item_id": golden["histories/item_ids"], "t": np.arange(len(user))})
        frame = frame.with_columns(datetime=pl.from_epoch("t", "s").cast(pl.Datetime("us")), weight=pl.lit(1.0, pl.Float32))
    else:
        folder = request.getfixturevalue("movietweetings")
        known = pl.Series(item_ids(golden, "sasrec-ids+categories"))
        frame = SOURCES.build({"type": "movietweetings", "path": str(folder), "weight": "one"}).read().interactions.frame
        frame = frame.with_columns(pl.col("item_id").cast(pl.Int64)).filter(pl.col("item_id").is_in(known.implode()))
    return Interactions(frame.select("user_id", "item_id", "datetime", "weight"))


@pytest.mark.parametrize(("name", "case"), cases("sasrec") + cases("bert4rec"))
def test_hidden_states_and_scores_equal_rectools(name: str, case: str, request: pytest.FixtureRequest) -> None:
    with np.load(GOLDEN / f"transformers_{name}.npz") as file:
        golden = dict(file)
    recommender = transplant(golden, case)
    model = case.split("/")[0]
    frame = histories(golden, name, request).frame
    wanted = pl.DataFrame({"user_id": golden["user_ids"]})
    store = SequenceStore.from_histories(Histories.from_frame(frame.join(wanted, on="user_id", how="semi")), recommender.vocabulary)
    recent = store.tail(recommender.objective.inference_rows(20))
    place = {user: i for i, user in enumerate(golden["user_ids"].tolist())}
    compared = []
    with torch.inference_mode():
        recommender.module.eval()
        matrix = recommender.encoder.item_net()
        theirs = torch.from_numpy(golden[f"{model}/item_matrix"][item_rows({}, golden, model, recommender.vocabulary)])
        torch.testing.assert_close(matrix[1:], theirs[1:], atol=1e-6, rtol=0)
        for users, batch in inference_batches(recent, recommender.objective, 3):
            hidden = recommender.encoder(batch, matrix)
            for i, user in enumerate(users):
                row = place[store.user_ids[int(user)]]
                part = slice(*golden[f"{model}/offsets"][row : row + 2])
                ours = hidden[batch.offsets[i] : batch.offsets[i + 1]]
                torch.testing.assert_close(ours, torch.from_numpy(golden[f"{case}/hidden"][part]), atol=1e-5, rtol=1e-5)
                items = torch.from_numpy(recommender.vocabulary.encode(pl.Series(item_ids(golden, model))).to_numpy().copy()).long()
                scores = matrix[items] @ ours[-1]
                torch.testing.assert_close(scores, torch.from_numpy(golden[f"{case}/scores"][row]), atol=1e-5, rtol=1e-5)
                compared.append(golden["lengths"][row])
    assert {1, 5, 19, 20} < set(compared)
    assert max(compared) > 20
