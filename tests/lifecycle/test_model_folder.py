"""A saved model recommends what it did before, whatever the family; anything else in a folder is refused."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from conftest import TINY_MODEL, composed, interactions
from models.test_sequential import ROWS, request
from safetensors.torch import load_file, save_file

from recseq.config import check_config
from recseq.data.interactions import Interactions, ItemFeatures
from recseq.environment import seed_everything
from recseq.errors import ConfigError, DataError, RecseqError
from recseq.files import conf_folder, file_digest
from recseq.lifecycle import load_model, save_model
from recseq.lifecycle.card import Measured, about_rows
from recseq.lifecycle.folder import require_saveable
from recseq.model_specs import ModelSpec
from recseq.models import MODELS, Recommender, Request
from recseq.training.context import FitContext

FEATURES = ItemFeatures.from_long(
    pl.DataFrame({"item_id": range(14), "feature": "g", "value": [str(i % 3) for i in range(14)]}),
    pl.DataFrame({"item_id": range(14), "feature": "price", "value": [i**2 / 7 for i in range(14)]}),
)
ORIGIN = {
    "recseq": "0.1.0",
    "git_commit": None,
    "git_dirty": None,
    "packages": {"torch": torch.__version__},
    "overrides": ["model=x"],
    "recseq.dataset": "tiny",
    "recseq.data_hash": "d",
    "recseq.config_hash": "c",
}
COLD = "model.recommend_cold_items=true"


def saved(path: Path, *overrides: str) -> Recommender:
    quiet = ("trainer=cpu", "trainer.enable_progress_bar=false", "trainer.max_epochs=1", "trainer.limit_train_batches=2")
    sizes = [f"size.{word.removeprefix('model.')}" for word in TINY_MODEL if "batch_size" not in word]
    config = check_config(composed(*quiet, *sizes, *overrides))
    seed_everything(1, False)
    model = ModelSpec(config["model"]["name"], config, is_reference=False).build()
    train = interactions(ROWS)
    model.fit(train, FEATURES, FitContext(folder=None, seed=1))
    save_model(path, model, config, FEATURES, ORIGIN | {"trained_on": about_rows(train, None)}, [Measured("Somewhere:", {"MAP@10": 0.5})])
    return model


def wanted(**options: Any) -> Request:
    return request(list(range(30)), k=6, **options)


VARIANTS = [
    *([f"model={path.stem}"] for path in sorted((conf_folder() / "model").glob("*.yaml"))),
    ["model=ease", "model.transposed=true"],
    ["model=popular", "model.inverse=true", "model.by=weight_sum", "model.period_days=2"],
    ["item_net=[ids,categories,numeric]", COLD, "loss=gbce", "loss/negatives=popularity"],
    ["item_net=[categories]", "model/similarity=cosine", "model/positions=sinusoidal"],
]


@pytest.mark.parametrize("overrides", VARIANTS, ids=" ".join)
def test_a_loaded_model_recommends_what_the_saved_one_did(tmp_path: Path, overrides: list[str]) -> None:
    model = saved(tmp_path / "model", *overrides)
    loaded = load_model(tmp_path / "model", accelerator="cpu")
    some = {"items_to_recommend": pl.Series([1, 4, 7, 13]), "filter_viewed": False}
    for options in ({}, some):
        assert loaded.model.recommend(wanted(**options)).equals(model.recommend(wanted(**options)))
    ours, theirs = (each.similar(pl.Series([2, 5]), 4) for each in (model, loaded.model))
    assert theirs is None if ours is None else ours.equals(theirs)
    assert loaded.model.facts() == pytest.approx(model.facts())
    assert loaded.name == loaded.config["model"]["name"]
    assert (loaded.item_features is not None) == (MODELS.find(loaded.manifest.type, "").__name__ == "SequentialRecommender")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| MAP@10 | 0.5 |" in card
    assert f"all rows: {len(ROWS)} interactions, 30 users" in card
    assert {file.suffix for file in (tmp_path / "model").iterdir()} <= {".safetensors", ".parquet", ".yaml", ".json", ".md"}


def test_items_that_no_one_took_are_recommended_by_a_loaded_model(tmp_path: Path) -> None:
    model = saved(tmp_path / "model", "item_net=[ids,categories]", COLD)
    loaded = load_model(tmp_path / "model").model
    everything = request(list(range(30)), k=14)
    assert 13 in loaded.recommend(everything)["item_id"]
    assert loaded.recommend(everything).equals(model.recommend(everything))


def test_given_item_vectors_travel_with_the_model(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).normal(size=(14, 3)))
    (tmp_path / "ids.txt").write_text("\n".join(map(str, range(14))))
    given = (f"item_net.pretrained.path={tmp_path}/vectors.npy", f"item_net.pretrained.ids={tmp_path}/ids.txt", COLD)
    model = saved(tmp_path / "model", "item_net=[ids,pretrained]", *given)
    (tmp_path / "vectors.npy").unlink()
    (tmp_path / "ids.txt").unlink()
    shutil.move(tmp_path / "model", tmp_path / "elsewhere")
    loaded = load_model(tmp_path / "elsewhere")
    assert loaded.model.recommend(wanted()).equals(model.recommend(wanted()))
    assert (
        yaml.safe_load((tmp_path / "elsewhere" / "config.yaml").read_text())["item_net"]["pretrained"]["path"] == "pretrained_path.parquet"
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    saved(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, whole: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "model")


def sign(folder: Path, **changes: Any) -> None:
    """Make the digests fit what is in the folder, as one who changes it on purpose would."""
    about = json.loads((folder / "model.json").read_text())
    about["sha256"] = {name: file_digest(folder / name, "sha256") for name in about["sha256"]}
    (folder / "model.json").write_text(json.dumps(about | changes))


def digests(folder: Path) -> dict[str, str]:
    return json.loads((folder / "model.json").read_text())["sha256"]


def weights(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "weights.safetensors")
    change(tensors)
    save_file(tensors, folder / "weights.safetensors")
    sign(folder)


def config(folder: Path, change: Any) -> None:
    content = yaml.safe_load((folder / "config.yaml").read_text())
    change(content)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    sign(folder)


def vocabulary(folder: Path, ids: list[Any], **changes: Any) -> None:
    pl.DataFrame({"item_id": ids}).write_parquet(folder / "vocabulary.parquet")
    sign(folder, **changes)


IDS = "encoder.item_net.blocks.ids.embedding.weight"


def pickled(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(pickle.dumps({"a": 1}))
    sign(folder)


def torch_saved(folder: Path) -> None:
    torch.save({"a": torch.ones(1)}, folder / "weights.safetensors")
    sign(folder)


BROKEN = {
    "no folder": (shutil.rmtree, "there is no such folder"),
    "no manifest": (lambda folder: (folder / "model.json").unlink(), "has no model.json"),
    "manifest is no JSON": (lambda folder: (folder / "model.json").write_text("{"), "model.json cannot be read"),
    "manifest lacks": (lambda folder: (folder / "model.json").write_text('{"format": 1, "recseq": "0.1.0"}'), "damaged: name is missing"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "the file weights.safetensors is missing"),
    "no card": (lambda folder: (folder / "README.md").unlink(), "the file README.md is missing"),
    "a byte changed": (lambda folder: (folder / "vocabulary.parquet").open("ab").write(b"x"), "vocabulary.parquet is not the one that was"),
    "format": (lambda folder: sign(folder, format=2), "in format 2; this is recseq .* reads format 1"),
    "newer": (lambda folder: sign(folder, recseq="99.0"), "recseq 99.0 wrote it"),
    "no version": (lambda folder: sign(folder, recseq=None), "recseq None wrote it"),
    "file elsewhere": (lambda folder: sign(folder, sha256={**digests(folder), "../x": "0"}), "no file of"),
    "not listed": (lambda folder: sign(folder, sha256={}), "does not list weights.safetensors"),
    "other vocabulary": (lambda folder: vocabulary(folder, list(range(11))), "has 11 items, the weights are of 12: it is another model's"),
    "and its number": (lambda folder: vocabulary(folder, list(range(11)), n_items=11), r"has shape .*, a vocabulary of 11 items"),
    "repeated item": (lambda folder: vocabulary(folder, [*range(11), 3]), "vocabulary.parquet is no vocabulary"),
    "tensor missing": (lambda folder: weights(folder, lambda tensors: tensors.pop(IDS)), f"the weights lack the tensor {IDS}"),
    "tensor too many": (lambda folder: weights(folder, lambda tensors: tensors.update(x=torch.ones(1))), "have the tensor x, which"),
    "a pickle beside": (lambda folder: (folder / "old.PT").touch(), "it has old.PT, which by its name is a pickle"),
    "a pickle below": (lambda folder: (folder / "data").mkdir() or (folder / "data" / "a.pkl").touch(), "it has a.pkl"),
    "a pickle inside": (pickled, "no safetensors inside; it looks like a pickle, which is not opened"),
    "a torch file inside": (torch_saved, "no safetensors inside; it looks like a pickle"),
    "no weights inside": (lambda folder: (folder / "weights.safetensors").write_bytes(b"") or sign(folder), "no safetensors inside"),
    "foreign table": (lambda folder: (folder / "vocabulary.parquet").write_text("x") and sign(folder), "cannot be read as Parquet"),
    "unknown model": (lambda folder: config(folder, lambda c: c["model"].update(type="gru")), "'gru', no such model"),
    "unknown option": (lambda folder: config(folder, lambda c: c["model"].update(n_gru=1)), "model.n_gru is not an option here"),
    "unknown trainer": (lambda folder: config(folder, lambda c: c["trainer"].update(magic=1)), "trainer.magic is not an option here"),
    "no loss": (lambda folder: config(folder, lambda c: c.pop("loss")), "config.yaml has no loss"),
    "plugin": (lambda folder: config(folder, lambda c: c.update(plugins=["evil"])), r"needs the module 'evil'; .* plugins=\[evil\]"),
    "class": (lambda folder: config(folder, lambda c: c["loss"].update(type="evil.Loss")), "needs the module 'evil'"),
    "target": (lambda folder: config(folder, lambda c: c["optimizer"].update(_target_="evil.run")), "needs the module 'evil'"),
    "block": (lambda folder: config(folder, lambda c: c["item_net"].update({"evil.Block": {}})), "needs the module 'evil'"),
    "metric": (lambda folder: config(folder, lambda c: c["metrics"]["include"].update({"evil.M": {}})), "needs the module 'evil'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_whatever_is_no_whole_model_of_ours_is_refused(folder: Path, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    break_it, message = BROKEN[case]
    break_it(folder)
    with pytest.raises(RecseqError, match=message) as caught:
        load_model(folder)
    assert str(caught.value).startswith(f"the model in {folder} cannot be loaded: ")
    assert str(caught.value).count("cannot be loaded") == 1


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("popular", lambda tensors: tensors["items"].fill_(3), "not a ranking"),
        ("item_knn", lambda tensors: tensors["indices"].fill_(10**6), "no matrix of 12 items"),
        ("ease", lambda tensors: tensors.update(weights=torch.ones(3, 3)), r"has shape \(3, 3\)"),
    ],
)
def test_weights_that_make_no_sense_are_refused(tmp_path: Path, kind: str, change: Any, message: str) -> None:
    saved(tmp_path / "model", f"model={kind}")
    weights(tmp_path / "model", change)
    with pytest.raises(DataError, match=message):
        load_model(tmp_path / "model")


def test_a_device_that_is_not_there_is_refused(whole: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ConfigError, match="has no CUDA device"):
        load_model(whole, accelerator="gpu")


def test_nothing_is_left_of_a_model_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("recseq.lifecycle.folder.model_card", full)
    with pytest.raises(OSError, match="No space"):
        saved(tmp_path / "model", "model=popular")
    assert list(tmp_path.iterdir()) == []


def test_a_plugin_is_loaded_when_the_caller_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "plugins")
    search = f"hydra.searchpath=[file://{Path(__file__).parents[1]}/plugins/albert_parts/conf]"
    model = saved(tmp_path / "model", "plugins=[albert_parts]", search, "model=albert", "loss=bpr", "model/module=penalised")
    with pytest.raises(ConfigError, match=r"needs the module 'albert_parts'; .* plugins=\[albert_parts\]"):
        load_model(tmp_path / "model")
    loaded = load_model(tmp_path / "model", plugins=["albert_parts"])
    assert loaded.model.recommend(wanted()).equals(model.recommend(wanted()))


def test_a_recommender_without_state_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Recommender):
        def fit(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> None:
            raise AssertionError

        def recommend(self, request: Request) -> pl.DataFrame:
            raise AssertionError

    monkeypatch.setitem(MODELS._parts, "silent", Silent)
    with pytest.raises(ConfigError, match=r"'silent', whose class Silent cannot be saved: it needs the methods state and restore"):
        require_saveable({"model": {"type": "silent"}})
    with pytest.raises(ConfigError, match="cannot be saved"):
        Silent().state()
