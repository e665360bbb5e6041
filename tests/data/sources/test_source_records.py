"""Files of JSON lines or Python literals: what is read, that nothing is executed, and that messages name the line."""

import ast
import gzip
import json
import random
from pathlib import Path

import polars as pl
import pytest

from recseq.data.sources import records
from recseq.data.sources.python_literals import literals_to_json
from recseq.data.sources.records import read_records
from recseq.errors import DataError

FIELDS = {
    "asin": pl.String(),
    "title": pl.String(),
    "price": pl.String(),
    "categories": pl.List(pl.List(pl.String())),
    "details": pl.Struct({"Brand": pl.String()}),
}
RECORDS = [
    {"asin": "0000031852", "title": "Girls' 5\" Tutu", "price": 3.17, "categories": [["Sports & Outdoors", "Dance"], ["Béauté"]]},
    {"asin": "0000031853", "extra": {"also": ["None", "x: True"]}, "ok": True, "no": None, "price": None, "details": {"Brand": "L'Oréal"}},
    {"asin": "0000031854", "title": "tab\tnew\nline \\ back \\' “quoted” \U0001f600", "categories": [], "details": {"Color": "red"}},
    {"asin": "0000031855", "title": "", "price": 1299, "categories": [["a", None], None], "details": None},
]
READ = [
    ("0000031852", "Girls' 5\" Tutu", "3.17", [["Sports & Outdoors", "Dance"], ["Béauté"]], None),
    ("0000031853", None, None, None, {"Brand": "L'Oréal"}),
    ("0000031854", "tab\tnew\nline \\ back \\' “quoted” \U0001f600", None, [], {"Brand": None}),
    ("0000031855", "", "1299", [["a", None], None], None),
]


def written(path: Path, lines: list[str]) -> Path:
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["items.json", "items.json.gz", "it[e]ms.json"])
@pytest.mark.parametrize("spelling", [json.dumps, repr, lambda record: json.dumps(record, ensure_ascii=False)])
def test_json_and_literals_are_read_alike(tmp_path, name, spelling):
    path = written(tmp_path / name, [spelling(record) for record in RECORDS])
    assert read_records(path, FIELDS).frame.rows() == READ


def test_blocks_give_the_same_and_keep_lines(tmp_path):
    lines = ["", *(repr(record) for record in RECORDS), "   ", *(repr(record) for record in RECORDS)]
    path = written(tmp_path / "items.json", lines)
    table = read_records(path, FIELDS, block=150)
    assert table.frame.rows() == READ * 2
    assert [table.place(row) for row in (0, 3, 4, 7)] == ["line 2", "line 5", "line 7", "line 10"]


def test_blank_lines_of_json_are_counted(tmp_path):
    path = written(tmp_path / "items.json", ["", '{"asin":"1"}', " ", '{"asin":null}'])
    table = read_records(path, {"asin": pl.String()})
    with pytest.raises(DataError, match=r"items\.json, line 4, column 'asin': the value is missing"):
        table.refuse("asin", table.frame["asin"].is_null(), "an id")


def literal(rng: random.Random) -> dict:
    """A record with all that could be taken for something else."""
    pieces = ["a", "'", '"', "\\", "\n", "\t", "é", "\xa0", "\x02", "\u4e2d", "\U0001f600", ": None", ", True", "u'x'", "\\x41", "x", " "]
    often = [0.1 if "\\" in piece else 1 for piece in pieces]  # a backslash makes a line a hard one
    text = lambda: "".join(rng.choices(pieces, often, k=rng.randrange(6)))  # noqa: E731
    value = [text(), None, True, False, 3, -0.5, [text(), [text()]], {text(): text(), "k": None}, (text(), 1)]
    return {"asin": text(), "title": text(), "categories": [[text()]], **{text() + str(n): rng.choice(value) for n in range(4)}}


@pytest.mark.parametrize("seed", range(3))
def test_rewriting_agrees_with_pythons_own_parser(tmp_path, seed):
    rng = random.Random(seed)
    lines = [repr(literal(rng)) for _ in range(400)]
    wanted = [ast.literal_eval(line) for line in lines]
    fields = {name: FIELDS[name] for name in ("asin", "title", "categories")}
    table = read_records(written(tmp_path / "items.json", lines), fields)
    assert table.frame.rows(named=True) == [{name: record[name] for name in fields} for record in wanted]


def test_what_json_takes_after_rewriting_is_what_the_literal_says():
    rng = random.Random(9)
    lines = [repr(literal(rng)) for _ in range(2000)]
    texts, hard = literals_to_json(pl.Series(lines))
    same = 0
    for line, text in zip(pl.Series(lines).filter(~hard), texts.filter(~hard), strict=True):
        try:
            found = json.loads(text)
        except ValueError:
            continue  # JSON has no tuples, and None only behind a key: such a line takes the slow way
        assert found == ast.literal_eval(line)
        same += 1
    assert same > 300


def test_python_2_spellings(tmp_path):
    lines = [
        r"""{u'asin': u'caf\xe9 \u4e2d', u'title': u"it's", 'price': 5}""",
        r"""{u'asin': u'\ud83d\ude00', u'title': u'\U0001f600', 'price': 5.50}""",
    ]
    rows = read_records(written(tmp_path / "x.json", lines), {name: FIELDS[name] for name in ("asin", "title", "price")}).frame.rows()
    assert rows == [("café 中", "it's", "5"), ("\U0001f600", "\U0001f600", "5.5")]


def test_most_lines_need_no_slow_parser(tmp_path, monkeypatch):
    """The fast way is taken: without it a million lines take three times as long."""
    monkeypatch.setattr(records, "parse_literal", lambda text: pytest.fail(f"slow: {text}"))
    line = """{'asin': '0000031852', 'title': "Girl's 5 Tutu", 'price': 3.17, 'x': None, 'y': True, 'z': [['5" a']], 'd': 'a\\nb'}"""
    path = written(tmp_path / "items.json", [line] * 50)
    assert read_records(path, FIELDS).frame.height == 50


EVIL = [
    "{'asin': __import__('os').system('touch EVIL')}",
    "{'asin': (lambda: open('EVIL', 'w'))()}",
    "{'asin': 'a' + str(open('EVIL', 'w'))}",
    "{'asin': [x for x in open('EVIL', 'w')]}",
    "{'asin': eval('1')}",
    "{'asin': f'{open(1)}'}",
    "{'asin': exec}",
]


@pytest.mark.parametrize("line", EVIL)
def test_code_is_refused_and_not_run(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "items.json", [repr(RECORDS[0]), line, repr(RECORDS[1])])
    with pytest.raises(DataError, match=r"items\.json, line 2 is .*must be a Python dict of literals \(nothing in it is executed\)"):
        read_records(path, FIELDS)
    assert not (tmp_path / "EVIL").exists()


def test_code_as_the_whole_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "items.json", ["__import__('os').system('touch EVIL')"])
    with pytest.raises(DataError, match=r"line 1 is \"__import__.*must be a JSON object or a Python dict literal"):
        read_records(path, FIELDS)
    assert not (tmp_path / "EVIL").exists()


def test_code_never_becomes_json():
    """Outside of strings the rewriting changes only the words None, True and False behind a key."""
    for line in EVIL:
        text, hard = literals_to_json(pl.Series([line]))
        with pytest.raises(ValueError, match=r"."):
            json.loads(text[0])
        assert not hard[0]


@pytest.mark.parametrize("spelling", [json.dumps, repr])
@pytest.mark.parametrize("bad", ["{'asin': 'x'", '{"asin": "x', "nonsense", "[1, 2]", "{'asin': {1, 2}}", "(" * 5000])
def test_a_broken_line_is_named(tmp_path, spelling, bad):
    path = written(tmp_path / "items.json.gz", [spelling(RECORDS[0]), "", bad])
    with pytest.raises(DataError, match=r"items\.json\.gz, line 3") as caught:
        read_records(path, FIELDS)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"title": ["a"]}, r"field 'title': the value is \['a'\], must be a text or a number"),
        ({"details": "x"}, r"field 'details': the value is 'x', must be a mapping"),
        ({"categories": [{"a": 1}]}, r"field 'categories': .*must be a list of lists"),
    ],
)
def test_a_field_of_another_type_is_named(tmp_path, record, said):
    path = written(tmp_path / "items.json", [repr(RECORDS[0]), repr(record)])
    with pytest.raises(DataError, match=r"items\.json, line 2, " + said):
        read_records(path, FIELDS)


def test_json_of_another_type_is_named_where_it_cannot_be_a_text(tmp_path):
    path = written(tmp_path / "items.json", [json.dumps(RECORDS[0]), '{"details": "x"}'])
    with pytest.raises(DataError, match=r"items\.json, line 2, field 'details': the value is 'x', must be a mapping"):
        read_records(path, FIELDS)
    path = written(tmp_path / "items.json", [json.dumps(RECORDS[0]), '{"title": ["a"]}'])
    assert read_records(path, FIELDS).frame["title"][1] == '["a"]'


def test_one_value_for_a_list(tmp_path):
    for spelling in (json.dumps, repr):
        path = written(tmp_path / "items.json", [spelling({"categories": "a"})])
        assert read_records(path, {"categories": pl.List(pl.String())}).frame.rows() == [(["a"],)]


def test_broken_files(tmp_path):
    with pytest.raises(DataError, match=r"no\.json does not exist"):
        read_records(tmp_path / "no.json", FIELDS)
    with pytest.raises(DataError, match=r"e\.json is empty"):
        read_records(written(tmp_path / "e.json", ["", " "]), FIELDS)
    whole = gzip.compress(b"".join(repr({"asin": str(n * 7919)}).encode() + b"\n" for n in range(50_000)))
    (tmp_path / "cut.json.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.json\.gz is no complete gzip file"):
        read_records(tmp_path / "cut.json.gz", FIELDS)
    whole = gzip.compress(b"".join(json.dumps({"asin": str(n * 7919)}).encode() + b"\n" for n in range(50_000)))
    (tmp_path / "cut2.json.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut2\.json\.gz is no complete gzip file"):
        read_records(tmp_path / "cut2.json.gz", FIELDS)
    (tmp_path / "latin.json").write_bytes(b"{'asin': 'a'}\n{'asin': '\xe9'}\n")
    with pytest.raises(DataError, match=r"latin\.json, line 2 is not UTF-8"):
        read_records(tmp_path / "latin.json", FIELDS)
