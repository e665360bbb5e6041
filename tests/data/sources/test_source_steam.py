"""Steam's files: Python literals of Python 2."""

import gzip
from datetime import datetime

import pytest

from recseq.data.sources.steam import Steam
from recseq.errors import DataError

REVIEWS = [
    "{u'username': u'Chaos Syren', u'hours': 0.1, u'products': 41, u'product_id': u'725280', u'page_order': 0, "
    "u'date': u'2017-12-17', u'text': u\"It's \\\"not\\\" bad\\n\\U0001f600\", u'early_access': False, u'page': 1}",
    "{u'username': u'\\u2605 \\xe9', u'product_id': u'620', u'date': u'2011-04-19', u'hours': 12, u'text': u'', u'early_access': True}",
    "{u'username': u'Chaos Syren', u'product_id': u'620', u'date': u'2017-12-17', u'text': u'no hours', u'compensation': None}",
    "{u'username': u'', u'product_id': u'620', u'date': u'2017-12-17', u'hours': 1}",
    "{u'product_id': u'620', u'date': u'2017-12-17', u'hours': 1}",
]
GAMES = [
    "{u'app_name': u'Portal 2', u'developer': u'Valve', u'early_access': False, u'genres': [u'Action', u'Adventure'], u'id': u'620', "
    "u'metascore': 95, u'price': 19.99, u'publisher': u'Valve', u'tags': [u'Puzzle', u\"Kid's\"], u'specs': [u'Co-op'], "
    "u'title': u'Portal 2'}",
    "{u'app_name': u'Free One', u'id': u'725280', u'price': u'Free to Play', u'tags': []}",
    "{u'app_name': u'No id', u'title': u'No id', u'price': 1}",
    "{u'app_name': u'Never reviewed', u'id': u'1', u'genres': [u'Action']}",
]


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, REVIEWS, GAMES)
    return tmp_path


def write(path, reviews, games):
    for name, lines in (("steam_reviews.json.gz", reviews), ("steam_games.json.gz", games)):
        (path / name).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


def steam(folder, **options):
    return Steam(path=str(folder), **({"features": ["genre", "tag", "developer", "price"], "weight": "one"} | options))


def test_reviews_and_games(folder):
    data = steam(folder).read()
    assert data.interactions.clock == "time"
    assert data.interactions.frame.rows() == [
        ("Chaos Syren", "725280", datetime(2017, 12, 17), 1.0),
        ("★ é", "620", datetime(2011, 4, 19), 1.0),
        ("Chaos Syren", "620", datetime(2017, 12, 17), 1.0),
    ]
    assert sorted(data.item_features.categorical.rows()) == [
        ("620", "developer", "Valve"),
        ("620", "genre", "Action"),
        ("620", "genre", "Adventure"),
        ("620", "tag", "Kid's"),
        ("620", "tag", "Puzzle"),
    ]
    assert data.item_features.numeric.rows() == [("620", "price", 19.99)]
    assert data.titles.rows() == [("620", "Portal 2"), ("725280", "Free One")]
    assert data.notes == ("2 of 5 reviews lack a username, product_id or date and are left out",)


def test_hours(folder):
    data = steam(folder, weight="hours", features=[]).read()
    assert data.interactions.frame["weight"].to_list() == pytest.approx([0.1, 12, 0])
    assert data.notes[1] == "1 reviews say no hours and weigh 0"
    assert data.titles is None


@pytest.mark.parametrize(
    ("review", "said"),
    [
        ("{u'username': u'a', u'product_id': u'1', u'date': u'Posted December'}", "line 6, column 'date': the value is 'Posted December'"),
        ("{u'username': __import__('os').system('x')}", "line 6 is"),
        ("{u'username': u'a'", "line 6 is"),
    ],
)
def test_broken_reviews(folder, review, said):
    write(folder, [*REVIEWS, review], GAMES)
    with pytest.raises(DataError) as caught:
        steam(folder).read()
    assert f"steam_reviews.json.gz, {said}" in str(caught.value)


def test_no_usable_review(folder):
    write(folder, REVIEWS[3:], GAMES)
    with pytest.raises(DataError, match="has no review with a username, a product_id and a date"):
        steam(folder).read()


def test_files(tmp_path):
    assert [file.name for file in steam(tmp_path).remote_files()] == ["steam_reviews.json.gz", "steam_games.json.gz"]
    assert [file.name for file in steam(tmp_path, features=[]).remote_files()] == ["steam_reviews.json.gz"]
    assert all(file.digest is None for file in steam(tmp_path).remote_files())
