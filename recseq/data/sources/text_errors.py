"""Where in a text file something is wrong: slow readers that know lines, for error messages after a fast one gave up."""

import contextlib
import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from recseq.errors import DataError


def records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Records of a text file from its header on, with the line each begins at; slow, for headers and error messages."""
    with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator)
        line, started = 1, False
        for record in reader:
            started = started or bool(record)
            if started:
                yield line, record
            line = reader.line_num + 1


def line_of_row(path: Path, separator: str, row: int) -> int:
    """Line at which the row begins; a quoted field may span lines, so lines have to be counted."""
    try:
        return next((line for index, (line, _) in enumerate(records(path, separator), start=-1) if index == row), row + 2)
    except csv.Error:
        return row + 2


def explain_text(path: Path, separator: str, n_fields: int, error: Exception) -> NoReturn:
    """Turn the reader's error into one that names the line.

    Raises:
        DataError: Always.
    """
    # where even this reader gives up, the first one's words have to do
    with contextlib.suppress(csv.Error, EOFError, zlib.error, gzip.BadGzipFile):
        try:
            for line, record in records(path, separator):
                if len(record) > n_fields:
                    raise DataError(
                        f"{path}, line {line} has {len(record)} fields, the header has {n_fields}; "
                        f"the first surplus one is {record[n_fields]!r}"
                    ) from None
        except UnicodeDecodeError:
            raise DataError(f"{path}, line {line_of_bad_text(path)} is not UTF-8 text; convert the file to UTF-8") from None
    raise DataError(f"{path} is no readable text table: {first_line(error)}") from None


def line_of_bad_text(path: Path) -> int:
    """First line that is not UTF-8."""
    with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as file:
        for line, text in enumerate(file, start=1):
            try:
                text.decode()
            except UnicodeDecodeError:
                return line
    return 1


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
