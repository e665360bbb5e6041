"""mode=export: an ONNX encoder and item vectors that rank as the model does; or nothing at all."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from command_line import SMALL
from conftest import composed
from lifecycle.test_model_folder import saved, wanted

from recseq.config import check_config
from recseq.errors import ConfigError
from recseq.lifecycle import load_model
from recseq.lifecycle.onnx_encoder import as_rows, input_columns, made_up_histories
from recseq.lifecycle.padded import PaddedEncoder
from recseq.models import Recommender
from recseq.models.sequential import SequentialRecommender
from recseq.modes import run

ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
needs_onnx = pytest.mark.skipif(not ONNX, reason="the extra onnx is not installed")
VARIANTS = [
    ["model=sasrec"],
    ["model=sasrec", "model.use_key_padding_mask=true", "item_net=[ids,categories,numeric]"],
    ["model=bert4rec", "item_net=[categories]"],
    ["model=esasrec", "model/similarity=cosine", "model/positions=sinusoidal"],
    ["model=bert4rec", "model/layers=ligr", "model.use_pos_emb=false", "model/objective=next_action"],
]


def sequential(model: Recommender) -> SequentialRecommender:
    assert isinstance(model, SequentialRecommender)
    return model


def exported(tmp_path: Path, *options: str) -> Path:
    """What mode=export makes of `tmp_path / model`."""
    run(composed("mode=export", f"model_path={tmp_path}/model", *options), tmp_path / "run")
    return tmp_path / "run" / "export"


def packed_and_padded(model: SequentialRecommender) -> tuple[torch.Tensor, torch.Tensor]:
    store = made_up_histories(model.vocabulary.n_items, input_columns(model))
    with torch.inference_mode():
        packed = model.encoder.similarity.of_users(model.ranker.user_vectors(store, model.encoder.item_net()))
        padded = PaddedEncoder(model.encoder, model.vocabulary.mask_item if model.objective.needs_mask else None)
        return packed, padded(*(torch.from_numpy(part) for part in as_rows(store, input_columns(model))))


@pytest.mark.parametrize("overrides", VARIANTS, ids=" ".join)
def test_padded_rows_give_what_packed_batches_give(tmp_path: Path, overrides: list[str]) -> None:
    model = sequential(saved(tmp_path / "model", *overrides))
    model.module.eval()
    packed, padded = packed_and_padded(model)
    assert torch.allclose(packed, padded, atol=1e-5)
    assert packed.std(0).min() > 1e-4  # users differ


def ranked_by_export(folder: Path, model: SequentialRecommender) -> pl.DataFrame:
    """The best 4 of every user of `wanted` by the files alone."""
    import onnxruntime

    request = wanted()
    session = onnxruntime.InferenceSession(str(folder / "encoder.onnx"), providers=["CPUExecutionProvider"])
    number = dict(pl.read_parquet(folder / "vocabulary.parquet").iter_rows())
    catalogue = pl.read_parquet(folder / "item_vectors.parquet")
    assert catalogue.schema["vector"] == pl.Array(pl.Float32, model.encoder.item_net().shape[1])
    width = json.loads((folder / "export.json").read_text())["encoder"]["columns"]
    histories = (
        request.history.frame.sort("user_id", "datetime", maintain_order=True).group_by("user_id", maintain_order=True).agg("item_id")
    )
    rows = []
    for user_id, ids in histories.iter_rows():
        history = [number[item_id] for item_id in ids if item_id in number][-width:]
        if not history:
            continue
        padded = np.array([history + [0] * (user_id % (width - len(history) + 1))])
        (user,) = session.run(["user_vectors"], {"items": padded, "lengths": np.array([len(history)])})
        scored = catalogue.select("item_id", score=pl.Series(catalogue["vector"].to_numpy() @ user[0])).filter(
            ~pl.col("item_id").is_in(ids)
        )
        rows.append(scored.sort("score", descending=True, maintain_order=True).head(4).select(pl.lit(user_id).alias("user_id"), pl.all()))
    return pl.concat(rows)


def ranks_as_the_model(tmp_path: Path, overrides: list[str]) -> Path:
    saved(tmp_path / "model", *overrides)
    folder = exported(tmp_path)
    model = sequential(load_model(tmp_path / "model", accelerator="cpu").model)
    theirs = model.recommend(wanted()).filter(pl.col("rank") <= 4)
    ours = ranked_by_export(folder, model)
    assert ours["user_id"].to_list() == theirs["user_id"].to_list()
    assert np.abs(ours["score"].to_numpy() - theirs["score"].to_numpy()).max() < 1e-4
    if "item_net=[categories]" not in overrides:  # there items of one category tie
        assert ours["item_id"].to_list() == theirs["item_id"].to_list()
    assert json.loads((folder / "export.json").read_text())["encoder"]["largest_difference_from_pytorch"] < 1e-4
    return folder


@needs_onnx
def test_the_exported_files_rank_as_the_model_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ranks_as_the_model(tmp_path, VARIANTS[0])
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    found: dict[str, Any] = {}
    exec(code, found)
    assert len(found["best"]) == 10
    assert {file.name for file in folder.iterdir()} == {
        *("encoder.onnx", "vocabulary.parquet", "item_vectors.parquet", "export.json", "README.md"),
    }


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("overrides", VARIANTS[1:], ids=" ".join)
def test_every_built_in_part_is_exported(tmp_path: Path, overrides: list[str]) -> None:
    ranks_as_the_model(tmp_path, overrides)


@needs_onnx
@pytest.mark.slow
def test_an_encoder_that_looks_at_times_is_refused_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "model")
    from recseq.nets.positions import LearnablePositions

    def timed(self: LearnablePositions, x: torch.Tensor, batch: Any) -> torch.Tensor:
        return x + self.embedding(batch.positions) + (batch.seconds % 7)[:, None]

    monkeypatch.setattr(LearnablePositions, "forward", timed)
    with pytest.raises(ConfigError, match="gives other numbers as ONNX than in PyTorch, they differ by"):
        exported(tmp_path)
    assert not list((tmp_path / "run").iterdir())


@needs_onnx
def test_an_encoder_that_cannot_be_exported_is_refused_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "model")
    from recseq.nets.positions import LearnablePositions

    def host(self: LearnablePositions, x: torch.Tensor, batch: Any) -> torch.Tensor:
        return x + float(x.detach().numpy().sum())

    monkeypatch.setattr(LearnablePositions, "forward", host)
    with pytest.raises(ConfigError, match="this model's encoder cannot be exported to ONNX, use"):
        exported(tmp_path)
    assert not list((tmp_path / "run").iterdir())


def test_item_vectors_alone_need_no_onnx_and_have_the_items_that_no_one_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    saved(tmp_path / "model", "item_net=[ids,categories]", "model.recommend_cold_items=true")
    folder = exported(tmp_path, "export.onnx=false")
    table = pl.read_parquet(folder / "item_vectors.parquet")
    assert 13 in table["item_id"]
    assert {file.name for file in folder.iterdir()} == {"item_vectors.parquet", "export.json", "README.md"}
    model = sequential(load_model(tmp_path / "model").model)
    users = wanted()
    plan = model.ranker.plan(users)
    with torch.inference_mode():
        vectors = model.encoder.similarity.of_users(model.ranker.user_vectors(plan.store, model.encoder.item_net()))
    scores = vectors.numpy() @ table["vector"].to_numpy().T
    theirs = model.recommend(users)
    user = {user_id: row for row, user_id in enumerate(plan.store.user_ids)}
    item = {item_id: row for row, item_id in enumerate(table["item_id"])}
    ours = [scores[user[u], item[i]] for u, i in theirs.select("user_id", "item_id").iter_rows()]
    assert ours == pytest.approx(theirs["score"].to_list(), abs=1e-5)


def test_what_cannot_be_exported_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "model", "model=ease")
    with pytest.raises(ConfigError, match="a 'ease' model, which has neither an encoder nor item vectors; allowed: sequential"):
        exported(tmp_path, "export.onnx=false")
    with pytest.raises(ConfigError, match=r"export.path is .*, which is there already"):
        exported(tmp_path, f"export.path={tmp_path}", "export.onnx=false")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs onnx, onnxscript, onnxruntime; install recseq's extra: pip install 'recseq\[onnx\]'"):
        exported(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["mode=export"], "model_path is needed with mode=export"),
        (["mode=export", "model_path=x", "export.onnx=false", "export.item_vectors=false"], "there is nothing to export"),
        (["export.path=x"], "export.path is set, which has an effect only with mode=export"),
    ],
)
def test_options_that_do_not_go_together_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(composed(*SMALL, *overrides))
