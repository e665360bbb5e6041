"""Every way in which a file can be broken, and that the message names the place."""

import gzip

import polars as pl
import pytest

from recseq.data.sources.files import read_fields, read_table
from recseq.errors import DataError


def refusal(call, *parts):
    """Run, expect a DataError, check that its message holds all parts."""
    with pytest.raises(DataError) as caught:
        call()
    message = str(caught.value)
    for part in parts:
        assert str(part) in message, message
    return message


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="views.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


def test_text_is_read_as_text_and_only_the_wanted_columns(write):
    table = read_table(write("a,b,c\n007,x,\n8,,1.0\n"), ["c", "a"], None)
    assert table.frame.to_dict(as_series=False) == {"c": [None, "1.0"], "a": ["007", "8"]}


@pytest.mark.parametrize(
    ("name", "separator", "text"),
    [
        ("v.tsv", None, "a\tb\n1\t2\n"),
        ("v.csv", ";", "a;b\n1;2\n"),
        ("v.csv", None, "\ufeffa,b\r\n1,2\r\n"),
        ("v.csv", None, "a,b\n\n1,2\n\n\n"),
    ],
)
def test_separators_marks_and_blank_lines(write, name, separator, text):
    assert read_table(write(text, name), None, separator).frame.rows() == [("1", "2")]


def test_gzip(write):
    table = read_table(write(gzip.compress(b"a\tb\n1\t2\n"), "v.tsv.gz"), ["b"], None)
    assert table.frame.rows() == [("2",)]
    assert table.place(0) == "line 2"


def test_lines_are_counted_as_an_editor_shows_them(write):
    path = write('a,b\n1,"two\nlines"\n\n2,x\n')
    table = read_table(path, ["a"], None)
    assert table.frame["a"].to_list() == ["1", "2"]
    assert [table.place(row) for row in range(2)] == ["line 2", "line 5"]


def test_a_row_without_wanted_values_is_not_blank(write):
    table = read_table(write("a,b\n1,2\n,5\n\n3,4\n"), ["a"], None)
    assert table.frame["a"].to_list() == ["1", None, "3"]
    refusal(lambda: table.refuse("a", table.frame["a"].is_null(), "an id"), "line 3", "'a'", "missing", "an id")


def test_parquet_rows_are_named_from_one(tmp_path):
    path = tmp_path / "v.parquet"
    pl.DataFrame({"a": [1, 2, 3]}).write_parquet(path)
    table = read_table(path, ["a"], None)
    refusal(lambda: table.refuse("a", table.frame["a"] > 1, "<= 1"), path, "row 2", "'a'", "is 2", "<= 1", "2 such rows")


def test_missing_file_and_folder(tmp_path):
    refusal(lambda: read_table(tmp_path / "no.csv", None, None), tmp_path / "no.csv", "does not exist")
    refusal(lambda: read_table(tmp_path, None, None), tmp_path, "is a folder")


@pytest.mark.parametrize(("text", "said"), [("", "no header"), ("\n\n", "no header"), ("a,b\n", "no rows"), ("a,b\n\n\n", "no rows")])
def test_empty_text(write, text, said):
    path = write(text)
    refusal(lambda: read_table(path, None, None), path, "is empty", said)


def test_empty_parquet(tmp_path):
    path = tmp_path / "v.parquet"
    pl.DataFrame({"a": []}).write_parquet(path)
    refusal(lambda: read_table(path, None, None), path, "is empty")


def test_missing_column_suggests_the_nearest(write):
    path = write("user,item_ids,when\n1,2,3\n")
    refusal(lambda: read_table(path, ["user", "item_id"], None), path, "'item_id'", "did you mean 'item_ids'", "user, when")


def test_duplicate_header(write):
    path = write("user,item,user\n1,2,3\n")
    refusal(lambda: read_table(path, ["item"], None), path, "'user' twice", "1, 3")


def test_surplus_fields(write):
    path = write("a,b\n1,2\n3,4,5\n")
    refusal(lambda: read_table(path, ["a"], None), path, "line 3", "3 fields", "2", "'5'")


def test_not_utf8(write):
    path = write(b"a,b\n1,2\n3,\xff\n")
    refusal(lambda: read_table(path, None, None), path, "line 3", "UTF-8")
    path = write("a,b\n1,2\n".encode("utf-16"))
    refusal(lambda: read_table(path, ["a"], None), path, "line 1", "UTF-8")


def test_unclosed_quote(write):
    path = write('a,b\n1,"x\n')
    refusal(lambda: read_table(path, None, None), path)


def test_broken_parquet(write):
    path = write("a,b\n1,2\n", "v.parquet")
    refusal(lambda: read_table(path, None, None), path, "no readable Parquet")


def test_fields(write):
    table = read_fields(write("1::a\n\n2::\n", "v.dat"), "::", ["x", "y"])
    assert table.frame.rows() == [("1", "a"), ("2", None)]
    assert table.place(1) == "line 3"


def test_fields_broken(write):
    path = write("1::a\n2::b::c\n", "v.dat")
    refusal(lambda: read_fields(path, "::", ["x", "y"]), path, "line 2", "'2::b::c'", "2 fields", "x::y")
    path = write("", "v.dat")
    refusal(lambda: read_fields(path, "::", ["x", "y"]), path, "is empty")
    path = write(b"1::a\n2::\xff\n", "v.dat")
    refusal(lambda: read_fields(path, "::", ["x", "y"]), path, "line 2", "UTF-8")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_name_with_wildcards_means_itself(tmp_path, suffix):
    for name, user in (("a", 1), ("a[1]", 2), ("a*", 3)):
        frame = pl.DataFrame({"u": [str(user)]})
        path = tmp_path / f"{name}.{suffix}"
        frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    for name, user in (("a[1]", "2"), ("a*", "3")):
        assert read_table(tmp_path / f"{name}.{suffix}", None, None).frame["u"].to_list() == [user]


def test_wildcards_in_the_name_of_a_file_of_fields(tmp_path):
    (tmp_path / "r1.dat").write_text("1::2\n")
    (tmp_path / "r*.dat").write_text("3::4\n")
    assert read_fields(tmp_path / "r*.dat", "::", ["a", "b"]).frame.rows() == [("3", "4")]


def test_truncated_gzip(write):
    whole = gzip.compress(b"a,b\n" + b"".join(f"{i},{i * 7919}\n".encode() for i in range(5000)))
    path = write(whole[: len(whole) // 2], "v.csv.gz")
    refusal(lambda: read_table(path, None, None), path)
    tiny = write(gzip.compress(b"a,b\n1,2\n")[:12], "w.csv.GZ")
    refusal(lambda: read_table(tiny, None, None), tiny)
