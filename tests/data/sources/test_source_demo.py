import inspect
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from recseq.data.sources.base import SOURCES
from recseq.data.sources.demo import Demo
from recseq.data.sources.simulated_catalogue import Shelves, make_catalogue, most_views_a_user
from recseq.data.sources.simulated_viewing import views_a_user
from recseq.errors import ConfigError

ROOT = Path(__file__).parents[3]
OPTIONS = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "dataset" / "demo.yaml"))
del OPTIONS["type"]
TINY = {**OPTIONS, "n_users": 300, "n_items": 60, "n_interactions": 1500, "n_days": 40, "n_genres": 4, "n_directors": 9}


@pytest.fixture(scope="module")
def data():
    return Demo(**OPTIONS).read()


@pytest.fixture(scope="module")
def frame(data):
    return data.interactions.frame


def test_yaml_is_the_signature():
    with initialize_config_dir(str(ROOT / "conf" / "dataset"), version_base="1.3"):
        for name in ("demo", "demo_kion"):
            node = OmegaConf.to_container(compose(name))
            assert list(node) == ["type", *inspect.signature(Demo).parameters]
            assert SOURCES.check(node, "dataset") == []
        assert (node["n_users"], node["n_items"], node["n_interactions"]) == (962_179, 15_706, 5_476_251)


def test_says_that_it_is_simulated(data):
    assert data.simulated
    assert data.label == "demo (simulated)"


def test_counts_are_exact_and_nothing_repeats(frame):
    assert len(frame) == OPTIONS["n_interactions"]
    assert frame["user_id"].n_unique() == OPTIONS["n_users"]
    assert frame["user_id"].min() == 1
    assert frame["user_id"].max() == OPTIONS["n_users"]
    assert frame.select("user_id", "item_id").n_unique() == len(frame)
    assert frame["item_id"].n_unique() > 0.98 * OPTIONS["n_items"]
    assert frame["weight"].unique().to_list() == [1.0]


def test_span(frame):
    start = datetime.fromisoformat(OPTIONS["start"])
    end = start + timedelta(days=OPTIONS["n_days"])
    assert frame["datetime"].is_sorted()
    assert start <= frame["datetime"].min() < start + timedelta(days=1)
    assert end - timedelta(days=1) <= frame["datetime"].max() < end
    a_day = frame.group_by(pl.col("datetime").dt.date()).len()["len"]
    assert len(a_day) == OPTIONS["n_days"]


def test_activity_has_a_heavy_tail(frame):
    views = frame["user_id"].value_counts()["count"]
    assert views.median() == 3
    assert views.mean() == 6
    assert views.min() == 1
    assert views.max() > 100


def test_users_are_active_in_bursts(frame):
    gaps = frame.sort("user_id", "datetime").select(pl.col("datetime").diff().over("user_id").dt.total_hours()).drop_nulls()["datetime"]
    # Views spread evenly over a stay would have gaps with a median of 0.7 times their mean.
    assert gaps.median() < 0.4 * gaps.mean()


def test_popularity_is_heavy_and_drifts(frame):
    views = frame["item_id"].value_counts(sort=True)["count"]
    top = len(views) // 100
    assert views[:top].sum() > 0.1 * len(frame)
    assert views[: 20 * top].sum() > 0.6 * len(frame)
    day = (pl.col("datetime") - pl.col("datetime").min()).dt.total_days()
    early, late = (
        set(frame.filter(condition)["item_id"].value_counts(sort=True)["item_id"][:50])
        for condition in (day < 30, day >= OPTIONS["n_days"] - 30)
    )
    assert 5 < len(early & late) < 40


def test_releases_start_strong(frame):
    start = datetime.fromisoformat(OPTIONS["start"])
    days = frame.group_by("item_id").agg(pl.col("datetime").min().alias("first"), pl.len()).filter(pl.col("len") >= 30)
    new = days.filter(pl.col("first").is_between(start + timedelta(days=30), start + timedelta(days=90)))
    ages = frame.join(new, on="item_id").select(age=(pl.col("datetime") - pl.col("first")).dt.total_days())["age"]
    assert len(new) > 20
    assert (ages < 28).sum() > 1.5 * ages.is_between(28, 55).sum()


def test_every_user_has_favourite_genres(data, frame):
    genre = data.item_features.categorical.filter(feature="genre").unique("item_id", keep="first", maintain_order=True)
    views = frame.join(genre, on="item_id").with_columns(pl.len().over("user_id").alias("n")).filter(pl.col("n") >= 20)
    own = views.group_by("user_id", "value", "n").len().group_by("user_id").agg((pl.col("len") / pl.col("n")).max())["len"].mean()
    shuffled = views.with_columns(pl.col("value").sample(fraction=1, shuffle=True, seed=1))
    chance = shuffled.group_by("user_id", "value", "n").len().group_by("user_id").agg((pl.col("len") / pl.col("n")).max())["len"].mean()
    assert own > 1.2 * chance


def test_sequels_follow_first_parts(data, frame):
    parts = data.titles.with_columns(
        pl.col("title").str.extract(r"^(.*), part").alias("work"),
        pl.col("title").str.extract(r", part (\d+)$").cast(pl.Int64).alias("part"),
    ).drop_nulls()
    views = frame.join(parts, on="item_id")
    first = views.filter(part=1).select("user_id", "work", began="datetime")
    second = views.filter(part=2).select("user_id", "work", went_on="datetime")
    both = first.join(second, on=["user_id", "work"])
    # Independence would give the product of the shares of users.
    n_users = OPTIONS["n_users"]
    a, b = (side.group_by("work").len() for side in (first, second))
    expected = a.join(b, on="work").select((pl.col("len") * pl.col("len_right") / n_users).sum()).item()
    assert len(both) > 3 * expected
    assert both.select((pl.col("went_on") > pl.col("began")).mean()).item() > 0.8


def test_features_and_titles(data):
    features = data.item_features.categorical
    assert data.item_features.features == ["director", "genre"]
    genres = features.filter(feature="genre").group_by("item_id").len()["len"]
    directors = features.filter(feature="director").group_by("item_id").len()["len"]
    assert len(genres) == OPTIONS["n_items"]
    assert set(genres) == {1, 2, 3}
    assert set(directors) == {1, 2}
    assert 0.85 < len(directors) / OPTIONS["n_items"] < 0.95
    assert data.titles["title"].n_unique() == data.titles["item_id"].n_unique() == OPTIONS["n_items"]
    assert data.titles["title"].str.contains(r"^[A-Z][a-z]+ \d+(, part \d)?$").all()


def test_same_seed_same_data_in_a_new_process():
    one = Demo(**TINY).read()
    code = f"from recseq.data.sources.demo import Demo; data = Demo(**{TINY!r}).read(); "
    code += "print(data.interactions.fingerprint, data.item_features.fingerprint)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert other.stdout.split() == [one.interactions.fingerprint, one.item_features.fingerprint]
    assert Demo(**{**TINY, "seed": 2}).read().interactions.fingerprint != one.interactions.fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"n_interactions": 200},
        {"n_users": 3, "n_interactions": 3 * most_views_a_user(60, 40)},
        {"n_users": 1, "n_items": 1, "n_interactions": 1, "n_days": 1, "n_genres": 1, "n_directors": 1},
        {"n_days": 8},
        {"n_items": 10, "n_users": 100, "n_interactions": 350},
        {"n_genres": 30, "n_directors": 1},
    ],
)
def test_odd_shapes(changes):
    options = {**TINY, **changes}
    frame = Demo(**options).read().interactions.frame
    assert len(frame) == options["n_interactions"]
    assert frame["user_id"].n_unique() == min(options["n_users"], options["n_interactions"])
    assert frame.select("user_id", "item_id").n_unique() == len(frame)
    assert frame["datetime"].max() < datetime.fromisoformat(options["start"]) + timedelta(days=options["n_days"])


def test_impossible_options():
    most = 300 * most_views_a_user(60, 40)
    with pytest.raises(ConfigError) as caught:
        Demo(**{**TINY, "n_interactions": most + 1, "start": "yesterday"})
    assert f"dataset.n_interactions is {most + 1}, must be <= {most}" in str(caught.value)
    assert "dataset.start is 'yesterday'" in str(caught.value)


def test_nothing_is_watched_before_its_release():
    catalogue = make_catalogue(np.random.default_rng(0), n_items=500, n_genres=5, n_directors=20, n_days=70)
    weeks = np.arange(len(catalogue.popularity))
    assert ((catalogue.popularity > 0) == (weeks[:, None] >= catalogue.release_week)).all()
    assert (catalogue.release_week > 0).sum() == 75
    earlier = np.flatnonzero(catalogue.next_part >= 0)
    later = catalogue.next_part[earlier]
    assert (catalogue.part[later] == catalogue.part[earlier] + 1).all()
    assert (catalogue.release_week[later] >= catalogue.release_week[earlier]).all()
    assert (catalogue.genres[later] == catalogue.genres[earlier]).all()


def test_shelves_draw_by_popularity():
    popularity = np.array([[1.0, 0.0, 3.0, 2.0], [0.0, 0.0, 0.0, 5.0]])
    shelves = Shelves(np.array([2, 0, 1, 3]), np.array([0, 0, 0, 2]), 3, popularity)
    assert shelves.stocked.tolist() == [[True, False, True], [False, False, True]]
    drawn = shelves.draw(np.zeros(4, int), np.zeros(4, int), np.array([0, 0.74, 0.76, 1 - 1e-16]))
    assert drawn.tolist() == [2, 2, 0, 0]
    assert shelves.draw(np.array([0, 1]), np.array([2, 2]), np.array([0.0, 0.999])).tolist() == [3, 3]


def test_views_a_user_are_exact():
    for n_users, n_views, most in ((10, 10, 3), (10, 30, 3), (10, 29, 3), (1000, 6000, 50), (5, 3, 2)):
        views = views_a_user(np.random.default_rng(1), n_users, n_views, most)
        assert views.sum() == n_views
        assert views.max() <= most
        assert (np.diff(views) <= 0).all()
