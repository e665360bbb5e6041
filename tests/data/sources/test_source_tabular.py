import inspect
import logging
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from omegaconf import OmegaConf

from recseq.data.sources.base import SOURCES
from recseq.data.sources.item_table import ItemTable
from recseq.data.sources.tabular import InteractionColumns, Tabular
from recseq.errors import ConfigError, DataError

CONF = Path(__file__).parents[3] / "conf" / "dataset"


def options(path, **changes):
    """The YAML's options, with changes; nested ones as `items__path=`."""
    node = OmegaConf.to_container(OmegaConf.load(CONF / "tabular.yaml"))
    del node["type"]
    node["path"] = str(path)
    for key, value in changes.items():
        group, _, name = key.rpartition("__")
        (node[group] if group else node)[name] = value
    return node


def read(path, **changes):
    return Tabular(**options(path, **changes)).read()


def refusal(call, *parts):
    with pytest.raises(DataError) as caught:
        call()
    for part in parts:
        assert str(part) in str(caught.value), str(caught.value)


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="views.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write_file


VIEWS = "user_id,item_id,datetime,weight\n1,10,2021-08-22,1\n2,20,2021-08-21T10:00:00,0.5\n1,20,2021-08-23 01:02,2\n"


def test_yaml_is_the_signature():
    node = OmegaConf.to_container(OmegaConf.load(CONF / "tabular.yaml"))
    assert list(node) == ["type", *inspect.signature(Tabular).parameters]
    assert list(node["columns"]) == list(inspect.signature(InteractionColumns).parameters)
    assert list(node["items"]) == list(inspect.signature(ItemTable).parameters)
    assert SOURCES.check(node, "dataset") == ["dataset.path must be set: dataset.path=..."]


def test_reads_rows_in_order(write):
    data = read(write(VIEWS), columns__weight="weight")
    frame = data.interactions.frame
    assert frame["user_id"].to_list() == [1, 2, 1]
    assert frame["item_id"].to_list() == [10, 20, 20]
    assert frame["weight"].to_list() == [1.0, 0.5, 2.0]
    assert frame["datetime"].to_list() == [datetime(2021, 8, 22), datetime(2021, 8, 21, 10), datetime(2021, 8, 23, 1, 2)]
    assert (data.name, data.item_features, data.titles, data.simulated, data.notes) == ("tabular:views", None, None, False, ())
    assert read(write(VIEWS)).interactions.frame["weight"].to_list() == [1.0] * 3


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (["7", "8"], [7, 8]),
        (["-7", "0"], [-7, 0]),
        (["7", "008"], ["7", "008"]),
        (["7", "+8"], ["7", "+8"]),
        (["7", "x"], ["7", "x"]),
        (["7", " 8"], ["7", " 8"]),
        (["7", "8.0"], ["7", "8.0"]),
        (["7", "99999999999999999999"], ["7", "99999999999999999999"]),
    ],
)
def test_ids_stay_as_given(write, written, kept):
    path = write("user_id,item_id,datetime\n" + "".join(f"{value},1,2021-01-01\n" for value in written))
    assert read(path).interactions.frame["user_id"].to_list() == kept


@pytest.mark.parametrize(
    ("texts", "form", "expected"),
    [
        (["2021-08-22T18:00:00Z", "2021-08-22T18:00:00+02:00"], None, [datetime(2021, 8, 22, 18), datetime(2021, 8, 22, 16)]),
        (
            ["2021-08-22 18:00:00.5", "2021-08-22T18:00:00-0230"],
            None,
            [datetime(2021, 8, 22, 18, 0, 0, 500000), datetime(2021, 8, 22, 20, 30)],
        ),
        (["0", "1629655200"], "unix_s", [datetime(1970, 1, 1), datetime(2021, 8, 22, 18)]),
        (["1629655200.25"], "unix_s", [datetime(2021, 8, 22, 18, 0, 0, 250000)]),
        (["1629655200123"], "unix_ms", [datetime(2021, 8, 22, 18, 0, 0, 123000)]),
        (["22.08.2021"], "%d.%m.%Y", [datetime(2021, 8, 22)]),
        (["22.08.2021 18:00 +0200"], "%d.%m.%Y %H:%M %z", [datetime(2021, 8, 22, 16)]),
    ],
)
def test_datetimes(write, texts, form, expected):
    path = write("user_id,item_id,datetime\n" + "".join(f"1,1,{text}\n" for text in texts))
    assert read(path, datetime_format=form).interactions.frame["datetime"].to_list() == expected


@pytest.mark.parametrize(
    ("text", "form", "said"),
    [
        ("2021-02-30", None, "ISO date"),
        ("22/08/2021", None, "datetime_format"),
        ("21-08-22", None, "from 1900 to 2200"),
        ("1629655200", None, "unix_s or unix_ms"),
        ("soon", "unix_s", "counts seconds"),
        ("soon", "unix_ms", "counts milliseconds"),
        ("1629655200123", "unix_s", "datetime_format: unix_ms"),
        ("1629655200", "unix_ms", "datetime_format: unix_s"),
        ("2021-08-22", "%d.%m.%Y", "'%d.%m.%Y'"),
        ("22.08.21", "%d.%m.%Y", "from 1900 to 2200"),
    ],
)
def test_bad_datetime(write, text, form, said):
    good = {None: "2021-08-22", "unix_s": "1629655200", "unix_ms": "1629655200123"}.get(form, "22.08.2021")
    path = write(f"user_id,item_id,datetime\n1,1,{good}\n1,2,{text}\n")
    refusal(lambda: read(path, datetime_format=form), path, "line 3", "'datetime'", repr(text), said)


def test_bad_pattern(write):
    refusal(lambda: read(write(VIEWS), datetime_format="%Q"), "%Q")


@pytest.mark.parametrize(
    ("row", "column", "value", "said"),
    [
        (",2,2021-01-01,1", "user_id", "missing", "an id"),
        ('"",2,2021-01-01,1', "user_id", "missing", "an id"),
        ("1,,2021-01-01,1", "item_id", "missing", "an id"),
        ("1,2,,1", "datetime", "missing", "a date or time"),
        ("1,2,2021-01-01", "weight", "missing", "a finite number"),
        ("1,2,2021-01-01,many", "weight", "'many'", "a finite number"),
        ("1,2,2021-01-01,NaN", "weight", "'NaN'", "a finite number"),
        ("1,2,2021-01-01,-1", "weight", "'-1'", "a finite number >= 0"),
    ],
)
def test_bad_value(write, row, column, value, said):
    path = write(VIEWS + row + "\n")
    refusal(lambda: read(path, columns__weight="weight"), path, "line 5", repr(column), value, said)


def test_missing_column_duplicate_header_empty(write):
    refusal(lambda: read(write("user,item_id,datetime\n1,2,2021-01-01\n")), "views.csv", "'user_id'", "did you mean 'user'")
    refusal(lambda: read(write("user_id,item_id,item_id,datetime\n1,2,2,2021-01-01\n")), "views.csv", "'item_id' twice", "2, 3")
    refusal(lambda: read(write("user_id,item_id,datetime\n")), "views.csv", "is empty")


def test_parquet(tmp_path):
    path = tmp_path / "views.parquet"
    when = [datetime(2021, 8, 22, 18, tzinfo=timezone(timedelta(hours=2))), datetime(2021, 8, 22, tzinfo=UTC)]
    frame = pl.DataFrame(
        {"u": [3, 4], "i": ["a", "b"], "t": when}, schema_overrides={"u": pl.UInt16, "t": pl.Datetime("ns", "Europe/Paris")}
    )
    frame = frame.with_columns(pl.col("i").cast(pl.Categorical), d=pl.col("t").dt.date(), s=pl.col("t").dt.epoch("s"), w=pl.Series([1, 2]))
    frame.write_parquet(path)
    names = {"columns__user_id": "u", "columns__item_id": "i", "columns__weight": "w"}
    data = read(path, columns__datetime="t", **names).interactions.frame
    assert data.rows() == [(3, "a", datetime(2021, 8, 22, 16), 1.0), (4, "b", datetime(2021, 8, 22), 2.0)]
    assert read(path, columns__datetime="d", **names).interactions.frame["datetime"][0] == datetime(2021, 8, 22)
    assert (
        read(path, columns__datetime="s", datetime_format="unix_s", **names).interactions.frame["datetime"].to_list()
        == data["datetime"].to_list()
    )
    refusal(lambda: read(path, columns__datetime="s", **names), path, "'s'", "Int64", "unix_s")
    refusal(lambda: read(path, columns__datetime="t", datetime_format="unix_s", **names), path, "'t'", "null")
    refusal(lambda: read(path, columns__datetime="t", **{**names, "columns__user_id": "t"}), path, "'t'", "integers or strings")
    refusal(lambda: read(path, columns__datetime="t", **{**names, "columns__weight": "t"}), path, "'t'", "numbers")


def test_parquet_nulls(tmp_path):
    path = tmp_path / "views.parquet"
    good = {"user_id": [1, 2], "item_id": [1, 2], "datetime": [datetime(2021, 1, 1)] * 2}
    for column in good:
        pl.DataFrame({**good, column: [good[column][0], None]}).write_parquet(path)
        refusal(lambda: read(path), path, "row 2", "missing")


WIDE = 'item_id,genres,country,title\n10,"Drama, Comedy",FR,One\n20,,US,Two\n30,Drama,,Three\n'


def test_wide_items(write, caplog):
    items = write(WIDE, "items.csv")
    views = write(VIEWS.replace("1,20,2021-08-23 01:02,2", "1,40,2021-08-23,1"))
    with caplog.at_level(logging.WARNING, "recseq"):
        data = read(views, items__path=str(items), items__value_separator=",", items__title="title")
    assert sorted(data.item_features.categorical.rows()) == [
        (10, "country", "FR"),
        (10, "genres", "Comedy"),
        (10, "genres", "Drama"),
        (20, "country", "US"),
        (30, "genres", "Drama"),
    ]
    assert data.titles.rows() == [(10, "One"), (20, "Two"), (30, "Three")]
    idle, bare = data.notes
    assert idle.startswith("1 items of")
    assert bare.startswith("1 items have interactions but no features")
    assert [record.message for record in caplog.records] == [idle]


def test_wide_items_chosen_features(write):
    data = read(write(VIEWS), items__path=str(write(WIDE, "items.csv")), items__features=["country"])
    assert data.item_features.features == ["country"]
    assert data.titles is None
    assert read(write(VIEWS), items__path=str(write(WIDE, "items.csv")), items__features=[]).item_features is None


def test_long_items(write):
    items = write("item_id;feature;value\n10;genre;Drama|Comedy\n10;genre;Drama\n20;director;X\n20;year;\n", "items.csv")
    given = {"items__path": str(items), "items__layout": "long", "items__value_separator": "|", "separator": ";"}
    views = write(VIEWS.replace(",", ";"))
    assert read(views, **given).item_features.categorical.rows() == [(10, "genre", "Drama"), (10, "genre", "Comedy"), (20, "director", "X")]
    assert read(views, **given, items__features=["director"]).item_features.features == ["director"]
    refusal(lambda: read(views, **given, items__features=["genres"]), items, "no feature 'genres'", "did you mean 'genre'")


def test_item_ids_of_two_files_have_one_type(write):
    data = read(write(VIEWS), items__path=str(write("item_id,genre\n10,a\n020,b\n", "items.csv")))
    assert data.interactions.frame["item_id"].to_list() == ["10", "20", "20"]
    assert data.item_features.categorical["item_id"].to_list() == ["10", "020"]


def test_broken_items(write):
    views, items = write(VIEWS), write("item_id,genre\n10,a\n,b\n", "items.csv")
    refusal(lambda: read(views, items__path=str(items)), items, "line 3", "'item_id'", "missing", "an id")
    refusal(lambda: read(views, items__path=str(items), items__item_id="id"), items, "no column 'id'")
    refusal(lambda: read(views, items__path=str(items), items__title="titel"), items, "no column 'titel'")
    refusal(lambda: read(views, items__path=str(items), items__features=["genres"]), items, "no column 'genres'", "did you mean 'genre'")
    long = write("item_id,feature,value\n10,,a\n", "long.csv")
    refusal(lambda: read(views, items__path=str(long), items__layout="long"), long, "line 2", "'feature'", "missing")


def test_parquet_items_with_lists(write, tmp_path):
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": [10, 20], "genre": [["a", "b"], None], "year": [1999, 2000]}).write_parquet(path)
    data = read(write(VIEWS), items__path=str(path))
    assert sorted(data.item_features.categorical.rows()) == [
        (10, "genre", "a"),
        (10, "genre", "b"),
        (10, "year", "1999"),
        (20, "year", "2000"),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"separator": "::"}, "dataset.separator is '::'"),
        ({"path": "x.parquet", "separator": ","}, "no text file"),
        ({"items__value_separator": ""}, "dataset.items.value_separator"),
        ({"items__layout": "broad"}, "dataset.items.layout is 'broad'"),
        ({"items__colour": 1}, "dataset.items.colour is not an option"),
        ({"columns__user_id": None}, "dataset.columns.user_id"),
    ],
)
def test_options_that_cannot_be(changes, said):
    with pytest.raises(ConfigError, match=said):
        Tabular(**options(**{"path": "x.csv", **changes}))


def test_tab_from_a_shell(write):
    path = write(VIEWS.replace(",", "\t"))
    assert len(read(path, separator="\\t").interactions) == 3
