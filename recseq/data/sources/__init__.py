"""Dataset sources, one file each; importing this package registers them."""

from recseq.data.sources import complete_journey, demo, movietweetings, tabular
from recseq.data.sources.base import SOURCES, KnowsFiles, Source

__all__ = ["SOURCES", "KnowsFiles", "Source", "complete_journey", "demo", "movietweetings", "tabular"]
