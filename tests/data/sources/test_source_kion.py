from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from served_datasets import KION

from recseq.data.sources.kion import Kion
from recseq.errors import DataError

ALL = ["genre", "director", "content_type", "countries", "age_rating", "release_year"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, body in KION.items():
        (tmp_path / name).write_bytes(body)
    return tmp_path


def test_views(folder: Path) -> None:
    frame = Kion(path=str(folder), features=["genre", "director"], weight="one").read().interactions.frame
    assert frame.rows()[:2] == [(176549, 9506, datetime(2021, 5, 11), 1.0), (699317, 1659, datetime(2021, 5, 29), 1.0)]
    assert frame["weight"].to_list() == [1.0] * 5


def test_weight_by_share_watched(folder: Path) -> None:
    """More than 10 % weighs 3; exactly 10 % and a missing share weigh 1."""
    frame = Kion(path=str(folder), features=["genre"], weight="watched_pct").read().interactions.frame
    assert frame["weight"].to_list() == [3.0, 1.0, 1.0, 3.0, 3.0]


def test_features_of_the_tutorial(folder: Path) -> None:
    """Lower-cased, split at ", ", items without views and missing directors left out; item 7638 has views but no facts."""
    data = Kion(path=str(folder), features=["genre", "director"], weight="one").read()
    assert data.item_features.categorical.rows() == [
        (9506, "genre", "drama"),
        (9506, "genre", "foreign"),
        (9506, "genre", "detective"),
        (1659, "genre", "comedy"),
        (7107, "genre", "drama"),
        (9506, "director", "pedro al'modovar"),
        (1659, "director", "tom harper"),
        (1659, "director", "isaac florentine"),
    ]
    assert data.item_features.numeric.is_empty()
    assert data.titles.rows() == [(9506, "Talk, to Her"), (1659, "Three"), (7107, "Nobody's")]
    assert data.notes == ("1 items have facts but no views and are left out", "1 items have views but no facts")


def test_further_features(folder: Path) -> None:
    features = Kion(path=str(folder), features=ALL, weight="one").read().item_features
    of_item = features.categorical.filter(pl.col("item_id") == 1659)
    assert set(of_item.select("feature", "value").rows()) == {
        ("genre", "comedy"),
        ("director", "tom harper"),
        ("director", "isaac florentine"),
        ("content_type", "series"),
        ("countries", "usa"),
        ("countries", "france"),
        ("age_rating", "18"),
    }
    assert features.numeric.rows() == [(9506, "release_year", 2002.0), (1659, "release_year", 2021.0)]
    only_years = Kion(path=str(folder), features=["release_year"], weight="one").read().item_features
    assert only_years.categorical.is_empty()


def test_without_features(folder: Path) -> None:
    assert Kion(path=str(folder), features=[], weight="one").read().item_features is None


def test_users_are_kept(folder: Path) -> None:
    users = Kion(path=str(folder), features=["genre"], weight="one").read().users
    assert users.columns == ["user_id", "age", "income", "sex", "kids_flg"]
    assert users.rows() == [
        (176549, "age_25_34", "income_60_90", "M", "1"),
        (699317, "age_18_24", "income_20_40", "F", "0"),
        (5, None, None, None, "0"),
    ]


def test_a_folder_as_unzip_leaves_it(folder: Path) -> None:
    (folder / "data_en").mkdir()
    for name in KION:
        (folder / name).rename(folder / "data_en" / name)
    assert len(Kion(path=str(folder), features=["genre"], weight="one").read().interactions) == 5


@pytest.mark.parametrize(
    ("line", "column", "value"),
    [
        ("x1,9506,2021-05-11,4250,72.0", None, None),
        (",9506,2021-05-11,4250,72.0", "user_id", "missing"),
        ("1,9506,11.05.2021,4250,72.0", "last_watch_dt", "'11.05.2021'"),
        ("1,9506,,4250,72.0", "last_watch_dt", "missing"),
    ],
)
def test_broken_lines(folder: Path, line: str, column: str | None, value: str | None) -> None:
    with (folder / "interactions.csv").open("a") as file:
        file.write(line + "\n")
    source = Kion(path=str(folder), features=["genre"], weight="watched_pct")
    if column is None:  # an id that is no number makes all ids texts, as everywhere
        assert source.read().interactions.frame["user_id"].to_list()[-1] == "x1"
        return
    with pytest.raises(DataError) as caught:
        source.read()
    for part in ("interactions.csv", "line 7", repr(column), str(value)):
        assert part in str(caught.value)


def test_surplus_fields_are_said(folder: Path) -> None:
    with (folder / "interactions.csv").open("a") as file:
        file.write("1,9506,2021-05-11,4250,72.0,9\n")
    with pytest.raises(DataError, match=r"interactions\.csv, line 7 has 6 fields, the header has 5"):
        Kion(path=str(folder), features=["genre"], weight="one").read()
