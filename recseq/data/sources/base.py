"""A source reads one dataset into canonical form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from recseq.data.interactions import Dataset
from recseq.registry import Registry


class Source(Protocol):
    """Reads a dataset; options come from `conf/dataset/<name>.yaml`."""

    def read(self) -> Dataset:
        """Read everything.

        Raises:
            DataError: The data is missing or broken; the message names file, column, row and an example value.
        """
        ...


@runtime_checkable
class KnowsFiles(Protocol):
    """A source whose data may be kept in the cache, since it says which files the data hangs on."""

    def files(self) -> list[Path]:
        """All files that `read` reads, fetched where they have to be; none for data that hangs on the options alone."""
        ...


SOURCES: Registry[Source] = Registry("dataset source", provided=("data_folder",), of_flow={"cache": bool})
"""`data_folder` is where fetched files are kept; sources that fetch nothing do not name it."""


def build_source(config: Mapping[str, Any]) -> Source:
    """The source that a checked config asks for, told where fetched files are kept."""
    return SOURCES.build(config["dataset"], data_folder=config["paths"]["data"])
