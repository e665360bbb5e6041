"""Amazon's files in the forms of the three editions' pages."""

import gzip
import json
from datetime import datetime

import pytest

from recseq.data.sources.amazon import Amazon
from recseq.errors import DataError

REVIEWS_2014 = [
    {"reviewerID": "A2SUAM1J3GNN3B", "asin": "0000013714", "reviewerName": 'J. "Mc" Donald', "helpful": [2, 3], "overall": 5.0,
     "reviewText": "It's a, b\nand “c”", "summary": "Heavenly", "unixReviewTime": 1252800000, "reviewTime": "09 13, 2009"},
    {"reviewerID": "0042", "asin": "0000031852", "helpful": [0, 0], "overall": 2.0, "unixReviewTime": 1514764800},
    {"reviewerID": "A2SUAM1J3GNN3B", "asin": "B000000001", "overall": 4, "unixReviewTime": 1252800000},
]  # fmt: skip
META_2014 = [
    {"asin": "0000031852", "title": "Girls' Tutu, \"Zebra\"", "price": 3.17, "imUrl": "http://x/51fA._SY300_.jpg",
     "related": {"also_bought": ["B00JHONN1S", "None"]}, "salesRank": {"Toys & Games": 211836}, "brand": "Coxlures",
     "categories": [["Sports & Outdoors", "Other Sports", "Dance"], ["Sports & Outdoors", "Éclair"]]},
    {"asin": "B000000001", "title": None, "categories": [["Beauty"]], "brand": ""},
    {"asin": "9999999999", "title": "never reviewed", "price": 1.0, "brand": "None", "categories": []},
    {"asin": "0000031852", "title": "again", "price": 9.0, "brand": "Other", "categories": [["Again"]]},
]  # fmt: skip


def packed(path, lines):
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


def amazon(folder, edition=2014, **options):
    given = {"category": "Beauty", "reviews": "5core", "features": ["category", "brand", "price"], "min_rating": None, "weight": "one"}
    return Amazon(edition=edition, path=str(folder), **(given | options))


@pytest.fixture
def beauty(tmp_path):
    packed(tmp_path / "reviews_Beauty_5.json.gz", [json.dumps(record) for record in REVIEWS_2014])
    packed(tmp_path / "meta_Beauty.json.gz", [repr(record) for record in META_2014])
    return tmp_path


def test_2014(beauty):
    data = amazon(beauty).read()
    assert data.name == "amazon_2014:Beauty"
    assert data.interactions.frame.rows() == [
        ("A2SUAM1J3GNN3B", "0000013714", datetime(2009, 9, 13), 1.0),
        ("0042", "0000031852", datetime(2018, 1, 1), 1.0),
        ("A2SUAM1J3GNN3B", "B000000001", datetime(2009, 9, 13), 1.0),
    ]
    assert sorted(data.item_features.categorical.rows()) == [
        ("0000031852", "brand", "Coxlures"),
        *[("0000031852", "category", name) for name in ("Dance", "Other Sports", "Sports & Outdoors", "Éclair")],
        ("B000000001", "category", "Beauty"),
    ]
    assert data.item_features.numeric.rows() == [("0000031852", "price", 3.17)]
    assert data.titles.rows() == [("0000031852", 'Girls\' Tutu, "Zebra"')]
    assert data.notes == ("1 rows describe an item again; the first of each item counts", "1 items have interactions but no description")


def test_python_literals_for_reviews_too(beauty):
    packed(beauty / "reviews_Beauty_5.json.gz", [repr(record) for record in REVIEWS_2014])
    assert amazon(beauty).read().interactions.frame.height == 3


def test_ids_stay_texts_even_where_all_are_numbers(tmp_path):
    packed(tmp_path / "reviews_Beauty_5.json.gz", [json.dumps(REVIEWS_2014[1] | {"reviewerID": "7", "asin": "1234567890"})])
    frame = amazon(tmp_path, features=[]).read().interactions.frame
    assert frame.row(0)[:2] == ("7", "1234567890")


def test_ratings_weight_and_lowest_rating(beauty):
    data = amazon(beauty, weight="rating", min_rating=4, features=["brand"]).read()
    assert data.interactions.frame["weight"].to_list() == [5.0, 4.0]
    assert data.notes[0] == "1 of 3 rows have a rating below 4 and are dropped"
    assert data.item_features is None  # only the dropped item has a brand


def test_no_features_read_no_metadata(beauty):
    (beauty / "meta_Beauty.json.gz").unlink()
    data = amazon(beauty, features=[]).read()
    assert (data.item_features, data.titles) == (None, None)
    with pytest.raises(DataError, match=r"lacks meta_Beauty\.json\.gz"):
        amazon(beauty).read()


def test_price_alone(beauty):
    data = amazon(beauty, features=["price"]).read()
    assert data.item_features.numeric.rows() == [("0000031852", "price", 3.17)]
    assert data.item_features.features == []


def test_2014_ratings(tmp_path):
    (tmp_path / "ratings_Beauty.csv").write_text("A39HTATAQ9V7YF,0205616461,5.0,1369699200\nA3JM6GV9MNOF9X,0558925278,3.0,1355443200\n")
    rows = amazon(tmp_path, reviews="ratings", features=[]).read().interactions.frame.rows()
    assert rows[0] == ("A39HTATAQ9V7YF", "0205616461", datetime(2013, 5, 28), 1.0)
    assert len(rows) == 2


def test_2018(tmp_path):
    packed(tmp_path / "meta_Beauty.json.gz", [
        json.dumps({"category": ["Beauty", "Hair"], "brand": "L'Oréal", "title": "A", "price": "$1,299.50", "asin": "0000031852"}),
        json.dumps({"category": [], "brand": "", "title": "", "price": "$3.00 - $5.00", "asin": "B0", "details": {}}),
    ])  # fmt: skip
    (tmp_path / "Beauty.csv").write_text("0000031852,A1,5.0,1369699200\nB0,A1,4.0,1369699200\n")
    data = amazon(tmp_path, 2018, reviews="ratings").read()
    assert data.interactions.frame.rows() == [
        ("A1", "0000031852", datetime(2013, 5, 28), 1.0),
        ("A1", "B0", datetime(2013, 5, 28), 1.0),
    ]
    assert sorted(data.item_features.categorical.rows()) == [
        ("0000031852", "brand", "L'Oréal"), ("0000031852", "category", "Beauty"), ("0000031852", "category", "Hair")
    ]  # fmt: skip
    assert data.item_features.numeric.rows() == [("0000031852", "price", 1299.5)]
    assert data.titles.rows() == [("0000031852", "A")]
    review = {"overall": 5.0, "vote": "2", "verified": True, "reviewerID": "AUI6WTTT0QZYS", "asin": "5120053084",
              "style": {"Size:": "Large"}, "unixReviewTime": 1514764800}  # fmt: skip
    packed(tmp_path / "Beauty_5.json.gz", [json.dumps(review)])
    assert amazon(tmp_path, 2018, features=[]).read().interactions.frame.rows() == [
        ("AUI6WTTT0QZYS", "5120053084", datetime(2018, 1, 1), 1.0)
    ]


def test_2023(tmp_path):
    review = {"rating": 5.0, "title": "Such a scent", "images": [], "asin": "B00YQ6X8EO", "parent_asin": "0000PARENT",
              "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "timestamp": 1588687728923, "verified_purchase": True}  # fmt: skip
    packed(tmp_path / "Beauty.jsonl.gz", [json.dumps(review)])
    items = [
        {"parent_asin": "0000PARENT", "title": "T", "price": None, "store": "Howard", "categories": ["A", "B"], "details": {"UPC": "1"}},
        {"parent_asin": "P2", "title": "U", "price": 6.99, "store": "Howard", "categories": [], "details": {"Brand": "Lurrose"}},
        {"parent_asin": "P3", "title": "V", "price": "from 6.99", "store": None, "categories": [], "details": {}},
    ]
    packed(tmp_path / "meta_Beauty.jsonl.gz", [json.dumps(item) for item in items])
    (tmp_path / "Beauty.csv.gz").write_bytes(
        gzip.compress(
            b"user_id,parent_asin,rating,timestamp\nA,0000PARENT,4.0,1588615855070\nA,P2,1.0,1588615855071\nA,P3,1.0,1588615855071\n"
        )
    )
    raw = amazon(tmp_path, 2023, reviews="all").read()
    assert raw.interactions.frame.rows() == [("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "0000PARENT", datetime(2020, 5, 5, 14, 8, 48, 923000), 1.0)]
    data = amazon(tmp_path, 2023).read()
    assert data.interactions.frame["datetime"][0] == datetime(2020, 5, 4, 18, 10, 55, 70000)
    assert sorted(data.item_features.categorical.rows()) == [
        ("0000PARENT", "brand", "Howard"), ("0000PARENT", "category", "A"), ("0000PARENT", "category", "B"), ("P2", "brand", "Lurrose")
    ]  # fmt: skip
    assert data.item_features.numeric.rows() == [("P2", "price", 6.99)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"reviewerID": "A", "asin": "B", "overall": 5.0', "line 4 is"),
        ('{"asin": "B", "overall": 5.0, "unixReviewTime": 1252800000}', "line 4, column 'reviewerID': the value is missing"),
        (
            '{"reviewerID": "A", "asin": "B", "overall": "good", "unixReviewTime": 1252800000}',
            "line 4, column 'overall': the value is 'good'",
        ),
        ('{"reviewerID": "A", "asin": "B", "overall": 5, "unixReviewTime": 1252800000000}', "line 4, column 'unixReviewTime'"),
    ],
)
def test_broken_reviews(beauty, line, said):
    packed(beauty / "reviews_Beauty_5.json.gz", [*(json.dumps(record) for record in REVIEWS_2014), line])
    with pytest.raises(DataError) as caught:
        amazon(beauty).read()
    assert "reviews_Beauty_5.json.gz, " + said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A,B,5.0,1369699200\nA,,5.0,1369699200\n", "line 2, column 'asin': the value is missing"),
        ("A,B,5.0,1369699200\nA,B,5.0\n", "line 2, column 'unixReviewTime': the value is missing"),
        ("A,B,five,1369699200\n", "line 1, column 'overall': the value is 'five'"),
        ("A,B,5.0,1369699200\nA,B,5.0,1369699200,x,y\n", "line 2 has 6 fields"),
        ("", "is empty"),
    ],
)
def test_broken_ratings(tmp_path, text, said):
    (tmp_path / "ratings_Beauty.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        amazon(tmp_path, reviews="ratings", features=[]).read()
    assert f"ratings_Beauty.csv{'' if said.startswith('is') else ','} {said}" in str(caught.value)


def test_a_header_of_other_columns_is_refused(tmp_path):
    (tmp_path / "Beauty.csv.gz").write_bytes(gzip.compress(b"user_id,asin,rating,timestamp\nA,B,5,1588615855070\n"))
    with pytest.raises(DataError, match=r"Beauty\.csv\.gz has the columns user_id, asin, .*must have user_id, parent_asin"):
        amazon(tmp_path, 2023, features=[]).read()


def test_malicious_metadata_is_refused(beauty):
    packed(beauty / "meta_Beauty.json.gz", [repr(META_2014[0]), "{'asin': __import__('os').system('x')}"])
    with pytest.raises(DataError, match=r"meta_Beauty\.json\.gz, line 2 is .*nothing in it is executed"):
        amazon(beauty).read()


@pytest.mark.parametrize("edition", [2014, 2018, 2023])
@pytest.mark.parametrize("reviews", ["all", "5core", "ratings"])
def test_files_to_fetch_claim_no_hash(tmp_path, edition, reviews):
    files = amazon(tmp_path, edition, reviews=reviews).remote_files()
    assert [(file.digest, file.published) for file in files] == [(None, None)] * 2
    assert all("Beauty" in file.name and file.url.endswith("/" + file.name) for file in files)
