"""Files with one record a line, JSON or Python literals, as tables of the wanted fields.

JSON is scanned by polars. Python literals are read in blocks, decompressed on one thread and parsed on others, and only the wanted fields
of a block are kept: such files hold gigabytes of review texts. Nothing of a file is ever executed.
"""

import contextlib
import gzip
import json
import os
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from recseq.data.sources.files import Table, require_file
from recseq.data.sources.python_literals import is_literal, literals_to_json, parse_literal
from recseq.data.sources.text_errors import first_line
from recseq.errors import DataError

BLOCK = 16 * 2**20
"""Bytes of text that are parsed at once."""
SHOWN = 80
"""So many characters of a broken line stand in the message."""

Fields = Mapping[str, pl.DataType]


def read_records(path: Path, fields: Fields, block: int = BLOCK) -> Table:
    """Read fields of a file with one JSON object, or one Python dict literal, a line (`.gz` or not).

    Which of the two it is goes by the first line. A field that a record lacks is null. Numbers in a String field become texts (as does, in
    JSON, a list), a single value in a List field becomes a list of one; anything else in the wrong type is an error. Blank lines are
    skipped.

    Args:
        path: The file, UTF-8.
        fields: Names and types of the wanted fields: String, List or Struct of such. Convert texts with `columns`.
        block: Bytes of text that are parsed at once.

    Raises:
        DataError: No such file, an empty or broken one, or a line that is no record; the message names file, line and its beginning.
    """
    require_file(path)
    literal = first_is_literal(path)
    if not literal and not set("*?[") & set(str(path)):  # the scanner would expand such a name
        # the scanner's errors do not say which line; the blocks below do, and take some liberties that it does not
        with contextlib.suppress(pl.exceptions.PolarsError, OSError):
            frame = pl.scan_ndjson(path, schema=dict(fields)).collect(engine="streaming")
            if frame.height:
                return Table(path, frame, lambda row: f"line {line_of_record(path, row)}")
    return read_blocks(path, fields, block, literal)


def read_blocks(path: Path, fields: Fields, block: int, literal: bool) -> Table:
    """Read block by block; see `read_records`."""
    workers = os.cpu_count() or 1
    frames: list[pl.DataFrame] = []
    waiting: deque[Any] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for first, lines in blocks_of_lines(path, block):
            waiting.append(pool.submit(parse_block, path, first, lines, fields, literal))
            if len(waiting) > workers:
                frames.append(waiting.popleft().result())
        frames += [job.result() for job in waiting]
    table = pl.concat(frames)
    places = table["line"]
    return Table(path, table.drop("line"), lambda row: f"line {places[row]}")


def first_is_literal(path: Path) -> bool:
    """Whether the first line that is not blank is a Python literal, and no JSON.

    Raises:
        DataError: It is neither, or the file is broken or empty.
    """
    for first, lines in blocks_of_lines(path, 2**16):
        text = lines["text"][0]
        if not text.startswith("{"):
            raise refusal(path, first + int(lines["line"][0]), text, "a JSON object or a Python dict literal")
        return is_literal(text)
    raise DataError(f"{path} is empty")


def line_of_record(path: Path, record: int) -> int:
    """Line of a record, counted from 0; for messages."""
    for first, lines in blocks_of_lines(path, BLOCK):
        if record < lines.height:
            return first + int(lines["line"][record])
        record -= lines.height
    return record + 1


def blocks_of_lines(path: Path, block: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Blocks of whole lines.

    Yields:
        Number of lines before the block, and the block's lines that are not blank: columns `line` (from 1 in the block), `text`.

    Raises:
        DataError: The file is broken or not UTF-8.
    """
    before = 0
    try:
        with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as file:
            for data in whole_lines(file, block):
                try:
                    text = data.decode("utf-8-sig" if before == 0 else "utf-8")
                except UnicodeDecodeError as error:
                    line = before + data.count(b"\n", 0, error.start) + 1
                    raise DataError(f"{path}, line {line} is not UTF-8 text; convert the file to UTF-8") from None
                lines = pl.DataFrame({"text": text.removesuffix("\n").split("\n")}).with_row_index("line", offset=1)
                filled = lines.with_columns(pl.col("text").str.strip_chars()).filter(pl.col("text") != "")
                if filled.height:
                    yield before, filled
                before += lines.height
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is no complete gzip file: {first_line(error)}") from None


def whole_lines(file: BinaryIO | gzip.GzipFile, block: int) -> Iterator[bytes]:
    """The file in pieces of about `block` bytes that end where a line ends."""
    while data := file.read(block):
        yield data + file.readline()


def parse_block(path: Path, first: int, lines: pl.DataFrame, fields: Fields, literal: bool) -> pl.DataFrame:
    """Fields of the lines of a block.

    Args:
        path: The file, for messages.
        first: Lines before the block.
        lines: Columns `line`, `text`.
        fields: Names and types.
        literal: The lines are Python literals, else JSON.

    Returns:
        Columns `line` (in the file, from 1) and the fields.
    """
    number = (lines["line"] + first).cast(pl.UInt32)
    texts, hard = literals_to_json(lines["text"]) if literal else (lines["text"], None)
    struct = pl.Struct(dict(fields))
    try:
        parsed = texts.str.json_decode(struct).struct.unnest()
        slow = [] if hard is None else hard.arg_true().to_list()
    except pl.exceptions.PolarsError:  # says neither which line nor why: look at each
        parsed = pl.DataFrame(schema=dict(fields))
        slow = list(range(lines.height))
    if slow:
        found = [fields_of_line(path, int(number[row]), lines["text"][row], fields, literal) for row in slow]
        rows = pl.DataFrame(found, schema=dict(fields), orient="row").with_columns(row=pl.Series(slow, dtype=pl.UInt32))
        kept = pl.int_range(lines.height, dtype=pl.UInt32, eager=True)
        kept = kept.filter(~kept.is_in(rows["row"].implode()))
        fast = parsed[kept] if parsed.height else parsed
        parsed = pl.concat([fast.with_columns(row=kept), rows]).sort("row").drop("row")
    return parsed.with_columns(line=number)


def fields_of_line(path: Path, number: int, text: str, fields: Fields, literal: bool) -> list[Any]:
    """Fields of one line, parsed by Python.

    Raises:
        DataError: The line is no record, or a field has another type.
    """
    try:
        record = parse_literal(text) if literal else json.loads(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        what = "a Python dict of literals (nothing in it is executed)" if literal else "a JSON object"
        raise refusal(path, number, text, what, first_line(error)) from None
    if not isinstance(record, dict):
        raise refusal(path, number, text, "a Python dict of literals" if literal else "a JSON object")
    values = []
    for name, kind in fields.items():
        try:
            values.append(as_type(record.get(name), kind))
        except TypeError:
            shown = shorten(repr(record[name]))
            raise DataError(f"{path}, line {number}, field {name!r}: the value is {shown}, must be {describe(kind)}") from None
    return values


def as_type(value: Any, kind: pl.DataType) -> Any:
    """A parsed value as the type says, with the liberties of `read_records`.

    Raises:
        TypeError: It is of another type.
    """
    if value is None:
        return None
    if isinstance(kind, pl.List):
        elements = value if isinstance(value, (list, tuple)) else [value]
        return [as_type(element, kind.inner) for element in elements]  # type: ignore[arg-type]
    if isinstance(kind, pl.Struct):
        if not isinstance(value, dict):
            raise TypeError
        return {field.name: as_type(value.get(field.name), field.dtype) for field in kind.fields}  # type: ignore[arg-type]
    if isinstance(value, str):
        # Halves of one character, as old Pythons write it, become that character.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise TypeError


def describe(kind: pl.DataType) -> str:
    """A type for people."""
    if isinstance(kind, pl.List):
        return "a list of lists" if isinstance(kind.inner, pl.List) else "a list"
    return "a mapping" if isinstance(kind, pl.Struct) else "a text or a number"


def refusal(path: Path, number: int, text: str, allowed: str, why: str | None = None) -> DataError:
    """The error for a line that is no record."""
    return DataError(f"{path}, line {number} is {shorten(repr(text))}, must be {allowed}" + (f": {why}" if why else ""))


def shorten(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
