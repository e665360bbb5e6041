"""Files as tables of columns that remember where each row came from, so that an error can name the place."""

import contextlib
import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recseq.data.sources.text_errors import explain_text, first_line, line_of_row, records
from recseq.errors import DataError
from recseq.options import did_you_mean

PARQUET_SUFFIXES = {".parquet", ".pq"}
TAB_SUFFIXES = {".tsv", ".tab"}
UNUSED_SEPARATOR = "\x01"
"""A byte that no text holds: lets the CSV reader deliver whole lines."""
EMPTY_ROW = "\x01empty row"
"""Name of a column that no file has."""


@dataclass(frozen=True)
class Table:
    """Columns of one file.

    Args:
        path: The file.
        frame: Its columns; those of a text file are all String, an empty field is null.
        place: Name of the place of a row of `frame` for people: "line 7" as an editor shows it, "row 7" in Parquet (1-based).
    """

    path: Path
    frame: pl.DataFrame
    place: Callable[[int], str]

    def refuse(self, column: str, bad: pl.Series, allowed: str) -> None:
        """Refuse the file if any row is bad, naming the first.

        Args:
            column: Column that is judged.
            bad: Boolean, one per row.
            allowed: What a value has to be, for the message.

        Raises:
            DataError: `bad` has a True.
        """
        count = bad.sum()
        if not count:
            return
        row = bad.arg_max()
        assert row is not None
        value = self.frame[column][row]
        found = "the value is missing" if value is None or value == "" else f"the value is {value!r}"
        more = f" ({count:,} such rows)" if count > 1 else ""
        raise DataError(f"{self.path}, {self.place(row)}, column {column!r}: {found}, must be {allowed}{more}")


def read_table(path: Path, columns: Sequence[str] | None, separator: str | None) -> Table:
    """Read columns of a CSV/TSV (with header, optionally gzipped) or Parquet file.

    Text columns are all read as String, so that no id loses its zeros. Wholly empty rows of a text file are dropped.

    Args:
        path: The file; `.parquet` and `.pq` are Parquet, everything else is text.
        columns: Names of the columns to read, `None` for all.
        separator: One character between the fields of a text file; `None` is the file name's: tab for `.tsv` and `.tab`, else comma.

    Raises:
        DataError: No such file, a broken one, an empty one, a repeated or a missing column.
    """
    require_file(path)
    if is_parquet(path):
        try:
            with path.open("rb") as file:  # the schema reader would expand a name such as a[1].parquet
                names = list(pl.read_parquet_schema(file))
            wanted = check_names(path, names, columns)
            frame = pl.read_parquet(path, columns=wanted, glob=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path} is no readable Parquet file: {first_line(error)}") from None
        table = Table(path, frame, lambda row: f"row {row + 1}")
    else:
        table = read_text(path, columns, separator_of(path, separator))
    if table.frame.height == 0:
        raise DataError(f"{path} is empty: it has a header but no rows")
    return table


def read_text(path: Path, columns: Sequence[str] | None, separator: str) -> Table:
    """Read columns of a text file with a header; see `read_table`."""
    try:
        names = next((record for _, record in records(path, separator)), None)
    except UnicodeDecodeError as error:
        explain_text(path, separator, 0, error)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is no complete gzip file: {first_line(error)}") from None
    if names is None:
        raise DataError(f"{path} is empty: it has no header")
    wanted = check_names(path, names, columns)
    try:
        scan = pl.scan_csv(path, separator=separator, infer_schema=False, glob=False)  # a name such as a[1].csv means itself
        # All columns go into the mark of empty rows: the reader notices surplus fields only if it reads every column.
        frame = scan.select(*wanted, pl.all_horizontal(pl.all().is_null()).alias(EMPTY_ROW)).collect()
        empty = frame.drop_in_place(EMPTY_ROW)
        rows = None
        if empty.any():
            rows = (~empty).arg_true()
            frame = frame.filter(~empty)
    except (pl.exceptions.PolarsError, OSError) as error:
        explain_text(path, separator, len(names), error)
    return Table(path, frame, lambda row: f"line {line_of_row(path, separator, row if rows is None else rows[row])}")


def read_typed(path: Path, columns: Mapping[str, pl.DataType], gaps: Mapping[str, pl.DataType]) -> Table:
    """Read columns of a large CSV file in types that are known, in a fraction of the memory that texts take.

    Where a value does not fit its type, or a line is broken, the file is read as texts, so that the error can name the place.

    Args:
        path: The file, with a header.
        columns: Columns without missing values and their types.
        gaps: Further columns, which may have missing values.
    """
    require_file(path)
    types = {**columns, **gaps}
    with contextlib.suppress(pl.exceptions.PolarsError):
        scan = pl.scan_csv(path, infer_schema=False, schema_overrides=types, glob=False)
        frame = scan.select(*types, pl.all_horizontal(pl.all().is_null()).alias(EMPTY_ROW)).collect()  # reads every column, as read_text
        if frame.height and not frame.drop_in_place(EMPTY_ROW).any() and not any(frame[name].null_count() for name in columns):
            return Table(path, frame, lambda row: f"line {line_of_row(path, ',', row)}")
    return read_table(path, list(types), ",")


def read_fields(path: Path, delimiter: str, columns: Sequence[str], encoding: str = "utf8") -> Table:
    """Read a text file without header whose fields lie between delimiters, also of several characters, such as `1::2::3`.

    Args:
        path: The file.
        delimiter: What stands between two fields.
        columns: Names for the fields of a line, in order.
        encoding: Of the text, such as `latin-1`.

    Raises:
        DataError: No such file, an empty one, or a line with another number of fields.
    """
    whole = read_lines(path, encoding)
    lines = whole.frame
    allowed = f"{len(columns)} fields separated by {delimiter!r}: {delimiter.join(columns)}"
    whole.refuse("line", lines["line"].str.count_matches(delimiter, literal=True) != len(columns) - 1, allowed)
    fields = lines["line"].str.split_exact(delimiter, len(columns) - 1).struct.rename_fields(list(columns)).struct.unnest()
    return Table(path, fields.select(pl.all().replace("", None)), whole.place)


def read_lines(path: Path, encoding: str = "utf8") -> Table:
    """Read a text file as one column `line`, without empty lines.

    Args:
        path: The file.
        encoding: Of the text, such as `latin-1`.

    Raises:
        DataError: No such file or an empty one.
    """
    require_file(path)
    try:
        lines = pl.read_csv(
            path,
            separator=UNUSED_SEPARATOR,
            has_header=False,
            quote_char=None,
            infer_schema=False,
            new_columns=["line"],
            glob=False,
            encoding=encoding,
        ).with_row_index("row")
    except pl.exceptions.NoDataError:
        raise DataError(f"{path} is empty") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        explain_text(path, UNUSED_SEPARATOR, 1, error)
    lines = lines.drop_nulls("line")
    rows = lines["row"]
    return Table(path, lines.select("line"), lambda row: f"line {rows[row] + 1}")


def require_file(path: Path) -> None:
    """Refuse a path that is no file.

    Raises:
        DataError: It is missing or a folder.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if not path.is_file():
        raise DataError(f"{path} is a folder, must be a file")


def is_parquet(path: Path) -> bool:
    """Whether the file name says Parquet."""
    return path.suffix.lower() in PARQUET_SUFFIXES


def separator_of(path: Path, separator: str | None) -> str:
    """The given separator, or the one that the file name stands for."""
    if separator is not None:
        return separator
    return "\t" if TAB_SUFFIXES & {suffix.lower() for suffix in path.suffixes} else ","


def check_names(path: Path, names: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    """The columns to read, each once, after a look at the header.

    Raises:
        DataError: A name stands twice in the header, or a wanted one is not there.
    """
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        places = ", ".join(str(index) for index, name in enumerate(names, start=1) if name == repeated)
        raise DataError(f"{path}: the header has the column {repeated!r} twice (as columns {places}); each name must be there once")
    for column in columns or ():
        if column not in names:
            raise DataError(f"{path} has no column {column!r}; {did_you_mean(column, names)}")
    return list(names) if columns is None else list(dict.fromkeys(columns))
