"""Dataset sources, one file each; importing this package registers them."""

from recseq.data.sources import complete_journey, demo, kion, movielens, movietweetings, tabular
from recseq.data.sources.base import SOURCES, Source, build_source

__all__ = ["SOURCES", "Source", "build_source", "complete_journey", "demo", "kion", "movielens", "movietweetings", "tabular"]
