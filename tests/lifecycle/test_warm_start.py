"""train.warm_start: what is known is taken over, what is new is fresh, and nothing that leaks or does not fit is begun from."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from command_line import SMALL
from conftest import composed, interactions
from test_recommend import write_log

from recseq.config import check_config
from recseq.data.interactions import ItemFeatures
from recseq.errors import ConfigError
from recseq.lifecycle import LoadedModel, load_model
from recseq.model_specs import ModelSpec
from recseq.models.sequential import SequentialRecommender
from recseq.modes import run
from recseq.training.context import FitContext

STILL = "optimizer.lr=1e-30"  # weights stay what training begins with


def typed(home: Path, *more: str) -> tuple[str, ...]:
    return (*SMALL, "trainer.enable_progress_bar=false", "tracking=none", f"paths.outputs={home}", "splitter.n_splits=2", *more)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of the older fold's train part and one of all rows."""
    home = tmp_path_factory.mktemp("home")
    run(composed("mode=train", *typed(home, "train.fold=0")), home / "old")
    run(composed("mode=train", *typed(home)), home / "all")
    return home


def loaded(folder: Path) -> LoadedModel:
    return load_model(folder / "model", accelerator="cpu")


def sequential(model: LoadedModel) -> SequentialRecommender:
    assert isinstance(model.model, SequentialRecommender)
    return model.model


def vectors(model: SequentialRecommender, ids: pl.Series) -> torch.Tensor:
    with torch.inference_mode():
        return model.encoder.eval().item_net()[torch.from_numpy(model.vocabulary.encode(ids).to_numpy().astype("int64"))]


def test_training_begins_with_the_earlier_weights(home: Path) -> None:
    run(composed("mode=train", *typed(home, f"train.warm_start={home}/old/model", STILL)), home / "warm")
    run(composed("mode=train", *typed(home, STILL)), home / "cold")
    old, warm, cold = (sequential(loaded(home / name)) for name in ("old", "warm", "cold"))
    common = old.vocabulary.item_ids.filter(old.vocabulary.item_ids.is_in(warm.vocabulary.item_ids.implode()))
    assert common.len() > 20
    torch.testing.assert_close(vectors(warm, common), vectors(old, common))
    assert not torch.allclose(vectors(cold, common), vectors(old, common))
    for name, tensor in old.encoder.layers.state_dict().items():
        torch.testing.assert_close(warm.encoder.layers.state_dict()[name], tensor)
    hashes = {name: json.loads((home / name / "provenance.json").read_text())["recseq.config_hash"] for name in ("warm", "cold")}
    assert hashes["warm"] != hashes["cold"]
    (began_from,) = loaded(home / "warm").provenance["trained_on"]["began_from"]
    assert began_from["fold"] == 0


FEATURES = {1: ("drama", 1.0), 2: ("comedy", 2.0), 3: ("drama", 4.0), 4: ("horror", 9.0), 5: ("western", 7.0)}


def fitted(items: list[int], earlier: SequentialRecommender | None = None, keep_items: bool = False, *more: str) -> SequentialRecommender:
    """A model of every block, fitted on users who took all of these items in turn."""
    long = pl.DataFrame({"item_id": items, "feature": "genre", "value": [FEATURES[item][0] for item in items]})
    numeric = pl.DataFrame({"item_id": items, "feature": "year", "value": [FEATURES[item][1] for item in items]})
    config = check_config(composed(*SMALL, "trainer.enable_progress_bar=false", "item_net=[ids,categories,numeric]", STILL, *more))
    model = ModelSpec("x", config, is_reference=False).build()
    assert isinstance(model, SequentialRecommender)
    if earlier is not None:
        model.warm_start(earlier, keep_items)
    torch.manual_seed(len(items))
    train = interactions([(user, item, day) for user in range(3) for day, item in enumerate(items)])
    model.fit(train, ItemFeatures(long, numeric), FitContext(None, 1))
    return model


def test_blocks_take_over_by_item_category_and_feature() -> None:
    old, new = fitted([1, 2, 3, 4]), None
    new = fitted([2, 3, 4, 5], old)
    ours, theirs = (model.encoder.item_net.blocks for model in (new, old))
    assert new.vocabulary.item_ids.to_list() == [2, 3, 4, 5]
    torch.testing.assert_close(ours["ids"].embedding.weight[[0, 1, 2, 3]], theirs["ids"].embedding.weight[[0, 2, 3, 4]])
    assert not torch.isclose(ours["ids"].embedding.weight[4], theirs["ids"].embedding.weight).all(1).any()
    by_value = [dict(zip(each["categories"].columns["value"], each["categories"].embedding.weight, strict=True)) for each in (ours, theirs)]
    assert by_value[0].keys() == {"comedy", "drama", "horror", "western"}
    for value in ("comedy", "drama", "horror"):
        torch.testing.assert_close(by_value[0][value], by_value[1][value])
    ours["numeric"].eval(), theirs["numeric"].eval()
    difference = [each["numeric"]()[row] - each["numeric"]()[other] for each, row, other in ((ours, 3, 1), (theirs, 4, 2))]
    torch.testing.assert_close(*difference, rtol=1e-4, atol=1e-5)  # a step of the feature means what it meant


def test_mask_stays_mask_and_items_are_kept_where_asked_for() -> None:
    masked = ("model=bert4rec", *SMALL[5:10])
    old = fitted([1, 2, 3, 4], None, False, *masked)
    new = fitted([4, 5], old, True, *masked)
    assert new.vocabulary.item_ids.to_list() == [1, 2, 3, 4, 5]
    ours, theirs = (model.encoder.item_net.blocks["ids"].embedding.weight for model in (new, old))
    torch.testing.assert_close(ours[[0, 1, 2, 3, 4, 6]], theirs)


def test_only_new_goes_on_with_newer_interactions(tmp_path: Path) -> None:
    rows: list[Any] = [(user, 100 + (user + day) % 8, f"2024-03-{day + 1:02}") for user in range(12) for day in range(4)]
    write_log(tmp_path / "old.csv", rows)
    write_log(tmp_path / "new.csv", [*rows, (3, 900, "2024-04-01"), (50, 101, "2024-04-01"), (50, 900, "2024-04-02")])
    tiny = (
        *SMALL[5:],
        "trainer.enable_progress_bar=false",
        "tracking=none",
        f"paths.outputs={tmp_path}",
        "dataset=tabular",
        "item_net=[ids]",
    )
    run(composed("mode=train", *tiny, f"dataset.path={tmp_path}/old.csv"), tmp_path / "old")
    more = (f"train.warm_start={tmp_path}/old/model", "train.only_new=true", f"dataset.path={tmp_path}/new.csv", STILL)
    run(composed("mode=train", *tiny, *more), tmp_path / "new")
    old, new = loaded(tmp_path / "old"), loaded(tmp_path / "new")
    assert new.provenance["trained_on"]["n_users"] == 2
    assert new.provenance["trained_on"]["n_rows"] == 7
    assert new.vocabulary.item_ids.to_list() == [*range(100, 108), 900]
    torch.testing.assert_close(vectors(sequential(new), old.vocabulary.item_ids), vectors(sequential(old), old.vocabulary.item_ids))
    more = (f"train.warm_start={tmp_path}/new/model", "train.only_new=true", f"dataset.path={tmp_path}/new.csv")
    with pytest.raises(ConfigError, match=r"no interaction is newer than 2024-04-02"):
        run(composed("mode=train", *tiny, *more), tmp_path / "again")


def test_a_cross_validation_does_not_begin_from_what_it_is_measured_on(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"was trained on all rows, up to .* Begin from a model of older rows"):
        run(composed(*typed(home, f"train.warm_start={home}/all/model")), home / "leak")
    assert not (home / "leak" / "summary.json").exists()
    run(composed(*typed(home, f"train.warm_start={home}/old/model", "train.save_folds=true")), home / "fine")
    table = pl.read_csv(home / "fine" / "metrics.csv")
    assert set(table["fold"]) == {0, 1}
    # a model that began from all rows has seen them, whatever it was trained on afterwards
    run(composed("mode=train", *typed(home, f"train.warm_start={home}/all/model", "train.fold=0")), home / "secret")
    with pytest.raises(ConfigError, match="began from a model that was trained on all rows"):
        run(composed("mode=evaluate", f"model_path={home}/secret/model", *typed(home)), home / "found_out")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("model.n_factors=16", "shape .* here and .* in the model; choose the sizes and layers that it was trained with"),
        ("model.n_blocks=2", "has shape .* here and nothing in the model"),
        ("item_net=[ids]", r"has the item-net blocks categories, ids, this composition ids; use item_net=\[categories,ids\]"),
        ("train.warm_start=nowhere", "there is no such folder"),
    ],
)
def test_what_does_not_fit_is_said(home: Path, tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        run(composed("mode=train", *typed(home, f"train.warm_start={home}/old/model", more)), tmp_path / "run")


def test_models_that_are_not_trained_in_steps(home: Path, tmp_path: Path) -> None:
    plain = ("tracking=none", f"paths.outputs={home}", *SMALL[:5], f"train.warm_start={home}/old/model")
    for mode in ("train", "cross_validate"):
        with pytest.raises(ConfigError, match="EASE is not trained step by step"):
            run(composed(f"mode={mode}", "model=ease", *plain), tmp_path / mode)
