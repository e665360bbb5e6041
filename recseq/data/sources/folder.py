"""A folder of Parquet files, Hive-partitioned or not, as one table that is read piece by piece."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import polars as pl

from recseq.data.sources.files import Table, check_names, is_parquet
from recseq.data.sources.text_errors import first_line
from recseq.errors import DataError

CHUNK_ROWS = 2_000_000
"""Rows a piece: what is in memory besides the result."""


def parquet_files(folder: Path) -> list[Path]:
    """Parquet files in a folder and below it, in the order of their paths; names that begin with a dot or an underscore are left out.

    Raises:
        DataError: There are none.
    """
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if is_parquet(path) and path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise DataError(f"{folder} is a folder without Parquet files (.parquet, .pq)")
    return found


def read_pieces(folder: Path, columns: Sequence[str]) -> Iterator[Table]:
    """Read columns of all files in their order, some rows at a time, by polars' streaming engine; other columns are not read.

    Folders named `key=value` are columns too, read as texts: an id `007` keeps its zeros.

    Args:
        folder: The folder.
        columns: Names of the columns.

    Yields:
        The columns of a piece; rows are named by file and place in it.

    Raises:
        DataError: No Parquet file, a broken one, a missing column, other types than in the first file, or no rows at all.
    """
    files = parquet_files(folder)
    keys = hive_keys(files[0].relative_to(folder))
    n_rows = 0
    try:
        with files[0].open("rb") as file:
            names = [name for name in pl.read_parquet_schema(file) if name not in keys]
        wanted = check_names(folder, [*names, *keys], columns)
        # polars takes keys from the whole path, above the folder too
        schema = dict.fromkeys(hive_keys(files[0]), pl.String()) if keys else None
        scan = pl.scan_parquet(files, glob=False, hive_partitioning=bool(keys), hive_schema=schema, extra_columns="ignore")
        for piece in scan.select(wanted).collect_batches(chunk_size=CHUNK_ROWS, maintain_order=True, engine="streaming"):
            yield Table(folder, piece, Place(folder, files, n_rows))
            n_rows += piece.height
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{folder} is no readable folder of Parquet files: {first_line(error)}") from None
    if n_rows == 0:
        raise DataError(f"{folder} is empty: its files have no rows")


def hive_keys(path: Path) -> list[str]:
    """Keys of the folders named `key=value` that a file lies in."""
    return [part.partition("=")[0] for part in path.parts[:-1] if "=" in part]


class Place:
    """Names rows of a piece for people: the file, and the row in it.

    Args:
        folder: The folder.
        files: Its files.
        first: Rows of all files before the piece.
    """

    def __init__(self, folder: Path, files: Sequence[Path], first: int) -> None:
        self.folder = folder
        self.files = files
        self.first = first

    def __call__(self, row: int) -> str:
        """The place of a row of the piece."""
        heights = [pl.scan_parquet(path, glob=False).select(pl.len()).collect().item() for path in self.files]
        wanted = self.first + row
        for path, height, end in zip(self.files, heights, accumulate(heights), strict=True):
            if wanted < end:
                return f"{path.relative_to(self.folder)}, row {wanted - end + height + 1}"
        raise AssertionError("the row is in no file")
