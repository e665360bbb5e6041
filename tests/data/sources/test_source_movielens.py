from datetime import datetime
from pathlib import Path

import pytest
from served_datasets import MOVIELENS

from recseq.data.sources.movielens import GENRES_100K, RELEASES, MovieLens
from recseq.errors import DataError


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    for name, body in MOVIELENS[request.param].items():
        (tmp_path / name).write_bytes(body)
    return tmp_path


def source(folder: Path, version: str, min_rating: float | None = None, weight: str = "one") -> MovieLens:
    return MovieLens(version=version, path=str(folder), min_rating=min_rating, weight=weight)


@pytest.mark.parametrize("folder", ["100k"], indirect=True)
def test_100k(folder: Path) -> None:
    """Tabs; a flag a genre; Latin-1; film 267 is "unknown" and has neither release nor genre."""
    data = source(folder, "100k", weight="rating").read()
    assert data.interactions.frame.rows() == [
        (196, 242, datetime(1997, 12, 4, 15, 55, 49), 3.0),
        (186, 302, datetime(1998, 4, 4, 19, 22, 22), 5.0),
        (196, 267, datetime(1997, 12, 4, 15, 55, 49), 1.0),
    ]
    assert data.titles.rows() == [(242, "Les Misérables (1995)"), (267, "unknown"), (302, "L.A. Confidential (1997)")]
    assert data.item_features.categorical.rows() == [
        *[(242, "genre", genre) for genre in ("Comedy", "Drama")],
        *[(302, "genre", genre) for genre in ("Crime", "Film-Noir", "Mystery", "Thriller")],
    ]
    assert data.notes == ("1 movies with ratings have no genre",)
    assert len(GENRES_100K) == 19


@pytest.mark.parametrize("folder", ["1m"], indirect=True)
def test_1m(folder: Path) -> None:
    """Double colons; titles in Latin-1 with colons and commas; a movie without genres."""
    data = source(folder, "1m").read()
    assert data.interactions.frame.rows()[0] == (1, 1193, datetime(2000, 12, 31, 22, 12, 40), 1.0)
    assert data.titles.rows() == [(661, "James: the Giant Peach (1996)"), (1193, "Cité, La (1975)"), (2, "No One (1990)")]
    assert data.item_features.categorical.rows() == [
        *[(661, "genre", genre) for genre in ("Animation", "Children's", "Musical")],
        (1193, "genre", "Drama"),
    ]
    assert data.notes == ()


@pytest.mark.parametrize(
    ("folder", "version"), [(version, version) for version in ("20m", "25m", "32m", "latest_small")], indirect=["folder"]
)
def test_csv(folder: Path, version: str) -> None:
    """Quoted titles with commas, doubled quotes and accents; "(no genres listed)" is none; half stars."""
    data = source(folder, version, weight="rating").read()
    assert data.name == f"movielens_{version}"
    assert data.interactions.frame.rows() == [
        (1, 2, datetime(2005, 4, 2, 23, 53, 47), 3.5),
        (1, 29, datetime(2005, 4, 2, 23, 31, 16), 0.5),
        (2, 2, datetime(2000, 11, 21, 15, 34, 49), 5.0),
    ]
    assert data.titles["title"].to_list()[1:] == [
        "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
        'He said "no" (2000)',
    ]
    assert data.item_features.categorical.rows()[:3] == [(2, "genre", genre) for genre in ("Adventure", "Children", "Fantasy")]
    assert data.notes == ("1 movies with ratings have no genre",)


@pytest.mark.parametrize("folder", ["20m"], indirect=True)
def test_lowest_rating(folder: Path) -> None:
    """The bound itself counts; weights stay one unless asked for."""
    data = source(folder, "20m", min_rating=3.5).read()
    assert data.interactions.frame.select("item_id", "weight").rows() == [(2, 1.0), (2, 1.0)]
    assert data.notes[0] == "1 ratings below 3.5 are left out"
    assert source(folder, "20m", 3.5, "rating").read().interactions.frame["weight"].to_list() == [3.5, 5.0]


@pytest.mark.parametrize("folder", ["20m"], indirect=True)
@pytest.mark.parametrize(
    ("line", "column", "value"),
    [("3,x,y,1", "rating", "'y'"), ("3,2,5.0,", "timestamp", "missing"), ("3,,5.0,974820889", "movieId", "missing")],
)
def test_broken_lines_of_csv(folder: Path, line: str, column: str, value: str) -> None:
    with (folder / "ratings.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError) as caught:
        source(folder, "20m").read()
    for part in ("ratings.csv", "line 5", repr(column), value):
        assert part in str(caught.value)


@pytest.mark.parametrize("folder", ["1m"], indirect=True)
def test_broken_lines_of_dat(folder: Path) -> None:
    with (folder / "ratings.dat").open("a") as file:
        file.write("3::661::4\n")
    with pytest.raises(DataError, match=r"ratings\.dat, line 4, column 'line': the value is '3::661::4', must be 4 fields"):
        source(folder, "1m").read()


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"which lacks u\.data and u\.item; it must be a folder with u\.data and u\.item, or null"):
        source(tmp_path, "100k").read()


def test_published_digests() -> None:
    """Each is an MD5 with its page; the development set, which may change, has none."""
    for version, release in RELEASES.items():
        (file,) = MovieLens(version=version, path=None, min_rating=None, weight="one").remote_files()
        assert file.url == f"https://files.grouplens.org/datasets/movielens/{release.archive}.zip"
        assert file.published == (f"{file.url}.md5" if file.digest else None)
        assert (file.digest is None) == (version == "latest_small")
        assert file.digest is None or len(file.digest) == len("md5:") + 32
