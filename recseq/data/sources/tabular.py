"""Any CSV, TSV or Parquet file or folder of Parquet files of interactions, with an optional file of item features."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from recseq.data.interactions import Dataset, Interactions
from recseq.data.sources.base import SOURCES
from recseq.data.sources.columns import datetimes, ids, numbers, one_sided_items
from recseq.data.sources.files import Table, is_parquet, read_table
from recseq.data.sources.folder import parquet_files, read_pieces
from recseq.data.sources.item_table import ItemTable
from recseq.errors import ConfigError
from recseq.registry import check_options

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class InteractionColumns:
    """Names of the columns of the interactions' file.

    Args:
        user_id: Who.
        item_id: What.
        datetime: When.
        weight: How much, a finite number >= 0; `None` weighs every row 1.
    """

    user_id: str
    item_id: str
    datetime: str
    weight: str | None


@SOURCES.register("tabular")
class Tabular:
    """Reads interactions from a table whose columns the config maps.

    An id column becomes integers only if every value is written as one and nothing is lost by reading it so ("007" makes the column
    texts). Item ids are integers only if they are so in both files. Features of items without interactions are kept, counted and warned
    of.

    Args:
        path: CSV or TSV (UTF-8, with header, gzipped or not) or Parquet file of interactions, or a folder of Parquet files, one below the
            other in the order of their paths. A folder may be Hive-partitioned, with its keys among the columns, and larger than memory:
            only what becomes interactions stays (28 bytes a row with integer ids).
        separator: Field separator of text files, one character; `None` goes by the file name: tab for `.tsv` and `.tab`, else comma.
        columns: Options of `InteractionColumns`.
        datetime_format: `None` for ISO 8601 texts and Parquet datetimes; `unix_s` or `unix_ms` for numbers; else a pattern of `strptime`.
            Times with a zone are converted to UTC, times without are taken as UTC.
        items: Options of `ItemTable`.

    Raises:
        ConfigError: Options of `columns` or `items` are unknown, missing or of the wrong type, or `separator` cannot be.
    """

    def __init__(
        self,
        *,
        path: str,
        separator: str | None,
        columns: dict[str, str | None],
        datetime_format: str | None,
        items: dict[str, Any],
    ) -> None:
        self.path = Path(path).expanduser()
        self.columns = build_nested(InteractionColumns, columns, "dataset.columns")
        self.items = build_nested(ItemTable, items, "dataset.items")
        self.items_path = None if self.items.path is None else Path(self.items.path).expanduser()
        self.datetime_format = datetime_format
        # A shell hands over backslash and t where a tab was meant.
        self.separator = "\t" if separator == "\\t" else separator
        paths = [path for path in (self.path, self.items_path) if path is not None]
        problems = []
        if self.separator is not None and len(self.separator.encode()) != 1:
            problems.append(f"dataset.separator is {separator!r}, must be one (ASCII) character")
        if self.separator is not None and all(is_parquet(path) or path.is_dir() for path in paths):
            problems.append(f"dataset.separator is {separator!r}, but no text file is read; leave it empty (null)")
        if self.items.value_separator == "":
            problems.append("dataset.items.value_separator is '', must be a text or empty (null)")
        if problems:
            raise ConfigError.from_problems(problems)

    def files(self) -> list[Path]:
        """All files, those of a folder one by one."""
        interactions = parquet_files(self.path) if self.path.is_dir() else [self.path]
        return [*interactions, *([] if self.items_path is None else [self.items_path])]

    def read(self) -> Dataset:
        """Read the one or two files.

        Raises:
            DataError: The data is missing or broken; the message names file, line or row, column and value.
        """
        frame = self.read_interactions()
        name = f"tabular:{self.path.name.partition('.')[0]}"
        if self.items_path is None:
            return Dataset(name=name, interactions=Interactions(frame))

        items = self.items.read(self.items_path, self.separator)
        both_integer = frame.schema["item_id"] == items.item_id.dtype == pl.Int64
        id_type = pl.Int64() if both_integer else pl.String()
        frame = frame.with_columns(pl.col("item_id").cast(id_type))
        features = items.features(id_type)
        described = pl.concat([features.categorical["item_id"], features.numeric["item_id"]])
        idle, bare = one_sided_items(frame["item_id"], described)
        notes = []
        if idle:
            notes.append(f"{idle:,} items of {self.items_path} have features but no interactions")
            log.warning(notes[-1])
        if bare:
            notes.append(f"{bare:,} items have interactions but no features in {self.items_path}")
        return Dataset(
            name=name,
            interactions=Interactions(frame),
            item_features=features if len(described) else None,
            titles=items.titles(id_type),
            notes=tuple(notes),
        )

    def read_interactions(self) -> pl.DataFrame:
        """The interactions in canonical columns."""
        names = self.columns
        wanted = [names.user_id, names.item_id, names.datetime, *([] if names.weight is None else [names.weight])]
        if not self.path.is_dir():
            return self.canonical(read_table(self.path, wanted, self.separator))
        pieces = [self.canonical(piece) for piece in read_pieces(self.path, wanted)]
        for column in ("user_id", "item_id"):  # texts of one piece may all look like integers
            if len({piece.schema[column] for piece in pieces}) > 1:
                pieces = [piece.with_columns(pl.col(column).cast(pl.String)) for piece in pieces]
        return pl.concat(pieces)

    def canonical(self, table: Table) -> pl.DataFrame:
        """A table's columns as interactions have them."""
        names = self.columns
        return pl.DataFrame(
            {
                "user_id": ids(table, names.user_id),
                "item_id": ids(table, names.item_id),
                "datetime": datetimes(table, names.datetime, self.datetime_format),
            }
        ).with_columns(weight=pl.lit(1.0, pl.Float32) if names.weight is None else numbers(table, names.weight))


Options = TypeVar("Options")


def build_nested(part: type[Options], options: Mapping[str, Any], where: str) -> Options:
    """Build the dataclass of a nested config node.

    Raises:
        ConfigError: Lists every option that is unknown, missing or of the wrong type.
    """
    problems = check_options(part, options, where)
    if problems:
        raise ConfigError.from_problems(problems)
    return part(**options)
