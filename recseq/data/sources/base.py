"""A source reads one dataset into canonical form."""

from typing import Protocol

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


SOURCES: Registry[Source] = Registry("dataset source")
