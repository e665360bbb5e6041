"""Yambda's flat Parquet files, with the types of its dataset card."""

from datetime import datetime

import polars as pl
import pytest
from conftest import composed

from recseq.config import check_config
from recseq.data.sources.yambda import Yambda
from recseq.errors import ConfigError, DataError

SCHEMA = {"uid": pl.UInt32, "timestamp": pl.UInt32, "item_id": pl.UInt32, "is_organic": pl.UInt8}
LISTENS = [(100, 0, 7, 1, 100, 200), (100, 5, 8, 0, 49, 200), (100, 5, 9, 0, 50, 200), (205, 86_400, 7, 0, 159, 300)]


@pytest.fixture
def folder(tmp_path):
    pl.DataFrame(LISTENS, {**SCHEMA, "played_ratio_pct": pl.UInt16, "track_length_seconds": pl.UInt32}, orient="row").write_parquet(
        tmp_path / "listens.parquet"
    )
    pl.DataFrame([row[:4] for row in LISTENS[:2]], SCHEMA, orient="row").write_parquet(tmp_path / "likes.parquet")
    mapping = pl.DataFrame([(1, 7), (2, 7), (1, 9), (3, 1234)], {"artist_id": pl.UInt32, "item_id": pl.UInt32}, orient="row")
    mapping.write_parquet(tmp_path / "artist_item_mapping.parquet")
    return tmp_path


def yambda(folder, **options):
    return Yambda(path=str(folder), **({"size": "50m", "event": "listens", "min_played_pct": 50, "features": []} | options))


def test_listens(folder):
    data = yambda(folder).read()
    assert data.name == "yambda_50m:listens"
    assert data.interactions.clock == "time"
    assert data.interactions.frame.rows() == [
        (100, 7, datetime(1970, 1, 1), 1.0),
        (100, 9, datetime(1970, 1, 1, 0, 0, 5), 1.0),
        (205, 7, datetime(1970, 1, 2), 1.0),
    ]
    assert data.item_features is None
    assert yambda(folder, min_played_pct=None).read().interactions.frame.height == 4


def test_likes_and_artists(folder):
    data = yambda(folder, event="likes", min_played_pct=None, features=["artist"]).read()
    assert data.interactions.frame["item_id"].to_list() == [7, 8]
    assert data.item_features.categorical.rows() == [(7, "artist", "1"), (7, "artist", "2")]


def test_broken(folder):
    with pytest.raises(DataError, match=r"likes\.parquet has no column 'played_ratio_pct'"):
        yambda(folder, event="likes").read()
    (folder / "listens.parquet").write_text("x")
    with pytest.raises(DataError, match=r"listens\.parquet is no readable Parquet"):
        yambda(folder).read()
    (folder / "listens.parquet").unlink()
    with pytest.raises(DataError, match=r"lacks listens\.parquet"):
        yambda(folder).read()


def test_an_option_without_effect_is_refused():
    with pytest.raises(ConfigError, match=r"dataset\.min_played_pct is 50, but likes say nothing of it"):
        check_config(composed("dataset=yambda", "dataset.event=likes"))
    check_config(composed("dataset=yambda", "dataset.event=likes", "dataset.min_played_pct=null"))


@pytest.mark.parametrize(("size", "known"), [("50m", True), ("500m", False), ("5b", True)])
def test_hashes_only_where_published(tmp_path, size, known):
    events, mapping = yambda(tmp_path, size=size, features=["artist"]).remote_files()
    assert (events.digest is not None) == (events.published is not None) == known
    assert (mapping.digest, mapping.published) == (None, None)
    assert f"/flat/{size}/listens.parquet" in events.url
