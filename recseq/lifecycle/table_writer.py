"""A table that is written chunk by chunk, whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import polars as pl

from recseq.errors import ConfigError, RecseqError
from recseq.files import written_aside

Format = Literal["parquet", "csv"]
Write = Callable[[pl.DataFrame], None]
SUFFIXES: dict[str, Format] = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}


def place_of(path: str | None, kind: Format | None, folder: Path, where: str) -> tuple[Path, Format]:
    """Where a table goes, and as what.

    Args:
        path: As the user gives it; None is a file in the folder, named after the group.
        kind: Format; None goes by the path's name, Parquet without one.
        folder: The run's folder.
        where: The config group of both.

    Raises:
        ConfigError: Name and format say different things, or there is a folder of that name.
    """
    if path is None:
        kind = kind or "parquet"
        return folder / f"{'recommendations' if where == 'recommend' else where}.{kind}", kind
    place = Path(path).expanduser()
    by_name = SUFFIXES.get(place.suffix.lower())
    if kind is None and by_name is None:
        raise ConfigError(f"{where}.path is {path!r}, whose name says no format: {where}.format=parquet or {where}.format=csv")
    if None not in (kind, by_name) and kind != by_name:
        raise ConfigError(
            f"{where}.path is {path!r}, {where}.format is {kind!r}: leave {where}.format empty (null), or choose another name"
        )
    if place.is_dir():
        raise ConfigError(f"{where}.path is {path!r}, which is a folder; it takes the name of a file")
    found = kind or by_name
    assert found is not None
    return place, found


@contextmanager
def table_writer(path: Path, kind: Format) -> Iterator[Write]:
    """Yield what takes the chunks; the file is in its place when the block ends well, one of before is replaced then.

    Args:
        path: The file.
        kind: Its format.

    Raises:
        RecseqError: It cannot be written.
    """
    try:
        with written_aside(path) as aside, _parquet(aside) if kind == "parquet" else _csv(aside) as write:
            yield write
    except OSError as error:
        raise RecseqError(f"{path} cannot be written: {error}") from None


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow.parquet as pq  # here: a second that other modes need not wait for

    writers: list[pq.ParquetWriter] = []

    def write(chunk: pl.DataFrame) -> None:
        arrow = chunk.to_arrow(compat_level=pl.CompatLevel.oldest())
        if not writers:
            writers.append(pq.ParquetWriter(path, arrow.schema, compression="zstd"))
        writers[0].write_table(arrow)

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("wb") as file:

        def write(chunk: pl.DataFrame) -> None:
            chunk.write_csv(file, include_header=file.tell() == 0)

        yield write
