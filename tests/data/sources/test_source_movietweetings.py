from datetime import datetime
from pathlib import Path

import pytest

from recseq.data.sources.movietweetings import MovieTweetings
from recseq.errors import DataError

ROOT = Path(__file__).parents[3]
REAL = ROOT.parent / "shared" / "data" / "movietweetings"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::0054890::9::1381945744\n2::1408101::0::1382400295\n")
    (tmp_path / "movies.dat").write_text("0054890::Fantômas: 2 (1913)::Crime|Drama\n1408101::Goha (1958)::\n", encoding="utf-8")
    return tmp_path


def test_small_folder(folder):
    data = MovieTweetings(path=str(folder), weight="one").read()
    assert data.interactions.frame.rows() == [
        (1, "0054890", datetime(2013, 10, 16, 17, 49, 4), 1.0),
        (2, "1408101", datetime(2013, 10, 22, 0, 4, 55), 1.0),
    ]
    assert data.item_features.categorical.rows() == [("0054890", "genre", "Crime"), ("0054890", "genre", "Drama")]
    assert data.titles.rows() == [("0054890", "Fantômas: 2 (1913)"), ("1408101", "Goha (1958)")]
    assert data.notes == ("1 movies with ratings have no genre",)
    assert MovieTweetings(path=str(folder), weight="rating").read().interactions.frame["weight"].to_list() == [9.0, 0.0]


def test_missing_files_are_named(folder):
    (folder / "movies.dat").unlink()
    with pytest.raises(DataError, match=r"lacks movies\.dat; it must be a folder with ratings\.dat and movies\.dat"):
        MovieTweetings(path=str(folder), weight="one").read()
    with pytest.raises(DataError, match=r"nowhere.*lacks ratings\.dat and movies\.dat"):
        MovieTweetings(path=str(folder / "nowhere"), weight="one").read()


@pytest.mark.parametrize(
    ("line", "column", "value"),
    [
        ("3::0068646::ten::1381620027", "rating", "'ten'"),
        ("3::0068646::10::yesterday", "timestamp", "'yesterday'"),
        ("3::::10::1381620027", "movie", "missing"),
        ("3::0068646::10", "line", "'3::0068646::10'"),
    ],
)
def test_broken_line(folder, line, column, value):
    with (folder / "ratings.dat").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError) as caught:
        MovieTweetings(path=str(folder), weight="one").read()
    for part in ("ratings.dat", "line 3", repr(column), value):
        assert part in str(caught.value)


@pytest.mark.skipif(not REAL.is_dir(), reason="the MovieTweetings files are not in ../shared/data/movietweetings")
def test_facts():
    data = MovieTweetings(path=str(REAL), weight="one").read()
    frame = data.interactions.frame
    assert (len(frame), frame["user_id"].n_unique(), frame["item_id"].n_unique()) == (141_695, 21_081, 12_611)
    assert frame["datetime"].max() == datetime(2013, 11, 6, 0, 0, 25)
    assert frame["item_id"].str.len_bytes().unique().to_list() == [7]
    assert data.item_features.features == ["genre"]
    assert data.item_features.categorical["value"].n_unique() == 25
    assert data.item_features.categorical["item_id"].n_unique() == 12_520
    assert len(data.titles) == 12_611
    assert data.titles["title"][2] == "Fantômas - À l'ombre de la guillotine (1913)"
