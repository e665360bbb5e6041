"""A source reads one dataset into canonical form."""

from collections.abc import Mapping
from typing import Any, Protocol

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


SOURCES: Registry[Source] = Registry("dataset source", provided=("data_folder",))
"""`data_folder` is where fetched files are kept; sources that fetch nothing do not name it."""


def build_source(config: Mapping[str, Any]) -> Source:
    """The source that a checked config asks for, told where fetched files are kept."""
    return SOURCES.build(config["dataset"], data_folder=config["paths"].get("data"))  # configs of older runs have no such path
