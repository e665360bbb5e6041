"""Doors through which the future could come in, each shown shut: the future is planted where it would pay, and must not be found.

The planted world: 24 users take 12 old items on days 0 to 20, and one of them takes `late`, once. The fold tests days 21 to 27, in
which all but one take `a-hit` (nobody has before; it sorts first, so it would move every number of an id map) and all, three times, `late`.
After that come days 28 to 34 with new users and more of the same. Item features give future items a genre and a year of their own.
Most tests run the whole flow and read the run folder; where it is easily shown, an open door stands beside the shut one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import TINY_MODEL, composed

from recseq.config import check_config
from recseq.data.interactions import Dataset
from recseq.data.sources import SOURCES
from recseq.environment import digest
from recseq.model_specs import groups_of, model_options
from recseq.models import MODELS
from recseq.models.popular import Popular
from recseq.models.sequential import SequentialRecommender
from recseq.modes import run
from recseq.splitting import SPLITTERS
from recseq.training.context import FitContext

Row = tuple[str, str, int]
Feature = tuple[str, str, float]
OLD = [f"item{number:02}" for number in range(12)]
USERS = [f"user{number:02}" for number in range(24)]
TEST_DAY = 21

QUIET = ("tracking=none", "trainer=cpu", "trainer.enable_progress_bar=false", "trainer.max_epochs=1", "metrics.k=[3,50]")
FEATURES = ("dataset.items.features=[genre,year]", "dataset.items.numeric=[year]", "item_net=[ids,categories,numeric]")
ALL_BLOCKS = (*TINY_MODEL, *FEATURES)
SPLIT = (
    "splitter.test_size=7D",
    "splitter.filter_cold_users=false",
    "splitter.filter_cold_items=false",
    "splitter.filter_already_seen=false",
)
RECIPES = {
    "sasrec": ALL_BLOCKS,
    "validated": (*ALL_BLOCKS, "validation=last_interaction", "trainer.max_epochs=3"),
    "bert4rec": ("model=bert4rec", *ALL_BLOCKS, "model.whole_catalogue=true"),
    "popularity negatives": (*ALL_BLOCKS, "loss=gbce", "loss.n_negatives=4", "loss/negatives=popularity"),
    "popular": ("model=popular",),
    "popular_recent": ("model=popular_recent",),
    "ease": ("model=ease",),
    "item_knn": ("model=item_knn",),
}


def past() -> list[Row]:
    """Days 0 to 20: every user takes five to eight old items; one user takes `late` once."""
    rng = np.random.default_rng(0)
    rows = [
        (user, item, int(day))
        for number, user in enumerate(USERS)
        for item, day in zip(rng.permutation(OLD)[: 5 + number % 4], np.sort(rng.integers(0, TEST_DAY, 8)), strict=False)
    ]
    return [*rows, (USERS[0], "late", 20)]


def rows_to_test(last: str = "late") -> list[Row]:
    """Days 21 to 27: everybody but one takes `a-hit`, and everybody three times the `last` item, first at the very border."""
    hits = [(user, "a-hit", 22) for user in USERS[:-1]]
    return hits + [(user, last, day) for user in USERS for day in (TEST_DAY, 25, 27)]


def later() -> list[Row]:
    """Days 28 to 34: the same users and new ones, in the first lines of a user's file too."""
    users = [f"anew{number}" for number in range(9)] + USERS
    return [(user, item, day) for user in users for day, item in ((28, "a-hit"), (30, "b-new"), (31, "late"), (34, OLD[3]))]


def items(*future: str) -> list[Feature]:
    """Features: two genres and years about 2000; future items have a genre and a year of their own."""
    return [(item, f"genre{number % 2}", 1990.0 + number) for number, item in enumerate([*OLD, "late"])] + [
        (item, "a-future", 9000.0) for item in future
    ]


class World:
    """Writes a planted world and runs the whole flow on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: dict[str, Path] = {}

    def overrides(self, rows: list[Row], features: list[Feature]) -> list[str]:
        name = digest([rows, features])
        log, described = (self.folder / f"{kind}-{name}.csv" for kind in ("log", "items"))
        frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day"], orient="row")
        times = (pl.datetime(2024, 1, 1) + pl.duration(days="day")).alias("datetime")
        frame.select("user_id", "item_id", times).write_csv(log)
        pl.DataFrame(features, schema=["item_id", "genre", "year"], orient="row").write_csv(described)
        return ["dataset=tabular", f"dataset.path={log}", f"dataset.items.path={described}", *QUIET]

    def dataset(self, rows: list[Row], features: list[Feature]) -> Dataset:
        node = check_config(composed(*self.overrides(rows, features), *FEATURES))["dataset"]
        return SOURCES.build(node).read()

    def run(self, rows: list[Row], features: list[Feature], *overrides: str) -> Path:
        """The folder of the run's fold 0; what has been run once is not run again."""
        name = digest([rows, features, overrides])
        if name not in self.runs:
            self.runs[name] = self.folder / name / "fold_0"
            run(composed(*self.overrides(rows, features), *overrides), self.folder / name)
        return self.runs[name]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def table(fold: Path, name: str = "recommendations") -> pl.DataFrame:
    return pl.read_parquet(fold / f"{name}.parquet")


def measures(fold: Path) -> pl.DataFrame:
    """Rows of fold 0 in metrics.csv, without what a clock says."""
    return pl.read_csv(fold.parent / "metrics.csv").filter(pl.col("fold") == 0).drop("fit_seconds", "recommend_seconds")


# ---- everything at once: what comes after the fold ------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_data_after_a_fold_changes_nothing_of_it(world: World, recipe: str) -> None:
    """Id maps, vocabularies, counts, features: a fold's whole result is the same whether or not its future is in the file."""
    cut = world.run(past() + rows_to_test(), items(), *RECIPES[recipe], *SPLIT)
    whole = later() + past() + rows_to_test()
    with_future = world.run(whole, items("a-hit", "b-new"), *RECIPES[recipe], *SPLIT, "splitter.n_splits=2", "splitter.skip_last=1")
    assert measures(with_future)["test_start"].unique().to_list() == ["2024-01-22 00:00:00"]
    for name in ("recommendations", "test", "per_user"):
        assert table(cut, name).height > 0
        assert table(with_future, name).equals(table(cut, name)), name
    assert measures(with_future).equals(measures(cut))


# ---- the test part itself ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_test_users_take_changes_no_recommendation(world: World, recipe: str) -> None:
    """Neither fit nor the history at serving holds a test row: with other test items the lists and their popularity are the same."""
    one, other = (world.run(past() + rows_to_test(last), items("a-hit"), *RECIPES[recipe], *SPLIT) for last in ("late", OLD[5]))
    assert table(one).height > 0
    assert table(one).equals(table(other))
    assert not table(one, "test").equals(table(other, "test"))
    popularity = [f"AvgRecPopularity@{k}" for k in (3, 50)]
    assert measures(one).select(popularity).equals(measures(other).select(popularity))


# ---- vocabulary -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_item_of_the_test_part_alone_is_not_recommended(world: World, recipe: str) -> None:
    fold = world.run(past() + rows_to_test(), items("a-hit"), *RECIPES[recipe], *SPLIT)
    recommended = set(table(fold)["item_id"])  # k is larger than the catalogue: all that a model knows
    assert len(recommended) > 1
    assert recommended <= {*OLD, "late"}


@pytest.mark.parametrize("whole_catalogue", ["true", "false"])
def test_an_item_of_the_test_part_alone_is_not_in_the_vocabulary(world: World, whole_catalogue: str) -> None:
    fit, dataset, train = fitting(world, f"model.whole_catalogue={whole_catalogue}")
    assert "a-hit" not in fit(train).vocabulary.item_ids
    assert "a-hit" in fit(dataset.interactions).vocabulary.item_ids  # what an open door would look like


# ---- popularity -------------------------------------------------------------------------------------------------------------


def test_popularity_to_come_ranks_nothing(world: World) -> None:
    """`late` has one row in train and is the most frequent of the items of the test part that train has."""
    options = ("model=popular", "reference_models=[ease,item_knn]")
    fold = world.run(past() + rows_to_test(), items("a-hit"), *options, *SPLIT)
    lists = table(fold).filter(pl.col("model") == "popular").with_columns(n=pl.len().over("user_id"))
    late = lists.filter(pl.col("item_id") == "late")
    assert late.height == len(USERS) - 1  # the one has seen it
    assert (late["score"] == 1).all()
    assert (late["rank"] == late["n"]).all()  # last of all
    counts = pl.DataFrame(past(), schema=["user_id", "item_id", "day"], orient="row")["item_id"].value_counts()
    for k in (3, 50):
        known = table(fold).filter(pl.col("rank") <= k).join(counts, on="item_id", how="left")
        expected = known.group_by("model", "user_id").agg(pl.col("count").mean()).group_by("model").agg(pl.col("count").mean())
        found = dict(measures(fold).select("model", f"AvgRecPopularity@{k}").rows())
        assert found == pytest.approx(dict(expected.rows()))
    # the open door: with the rows of the test part it is first, side by side with `a-hit`
    dataset = world.dataset(past() + rows_to_test(), items("a-hit"))
    model = MODELS.build(model_options(check_config(composed(*options))["model"]))
    model.fit(dataset.interactions, None, FitContext(folder=None, seed=1))
    assert isinstance(model, Popular)
    assert set(model.ranking["item_id"][:2]) == {"a-hit", "late"}


# ---- features ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["sasrec", "bert4rec", "popularity negatives"])
def test_features_of_items_of_the_test_part_alone_change_nothing(world: World, recipe: str) -> None:
    with_them, without = (world.run(past() + rows_to_test(), features, *RECIPES[recipe], *SPLIT) for features in (items("a-hit"), items()))
    assert table(with_them).height > 0
    assert table(with_them).equals(table(without))


def test_categories_and_scales_are_those_of_training_items(world: World) -> None:
    fit, dataset, train = fitting(world)
    known, told = fit(train).encoder.item_net.blocks, fit(dataset.interactions).encoder.item_net.blocks
    assert known["categories"].embedding.num_embeddings < told["categories"].embedding.num_embeddings
    shut, open_door = (blocks["numeric"].standardisation.features["mean"].item() for blocks in (known, told))
    assert 1990 < shut < 2003 < open_door  # the mean year


def fitting(world: World, *overrides: str) -> tuple[Callable[[Any], SequentialRecommender], Dataset, Any]:
    """A function that fits a small SASRec to interactions, the planted data, and the train part of its one fold."""
    rows, features = past() + rows_to_test(), items("a-hit")
    config = check_config(composed(*world.overrides(rows, features), *ALL_BLOCKS, *SPLIT, *overrides))
    dataset = world.dataset(rows, features)
    (fold,) = SPLITTERS.build(config["splitter"]).split(dataset.interactions)

    def fit(interactions: Any) -> SequentialRecommender:
        model = MODELS.build(model_options(config["model"]), groups=groups_of(config))
        assert isinstance(model, SequentialRecommender)
        model.fit(interactions, dataset.item_features, FitContext(folder=None, seed=1))
        return model

    return fit, dataset, fold.train


# ---- validation -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["last_interaction", "last_range"])
def test_the_test_part_cannot_choose_the_epoch(world: World, how: str) -> None:
    """Curves, chosen epoch and weights hang on the train part alone; the train part itself does change them."""
    options = (*ALL_BLOCKS, f"validation={how}", "trainer.max_epochs=3", *SPLIT)
    rows = [past() + rows_to_test("late"), past() + rows_to_test(OLD[5]), past()[1:] + rows_to_test("late")]
    curves = [pl.read_csv(world.run(data, items(), *options) / "epochs.csv") for data in rows]
    assert "val_MAP@50" in curves[0].columns
    assert curves[0].equals(curves[1])
    assert not curves[0].equals(curves[2])
