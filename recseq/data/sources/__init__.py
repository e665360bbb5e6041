"""Dataset sources, one file each; importing this package registers them."""

from recseq.data.sources import amazon, complete_journey, demo, kion, movielens, movietweetings, s3rec, sasrec, steam, tabular, yambda
from recseq.data.sources.base import SOURCES, KnowsFiles, Source, build_source

__all__ = [
    "SOURCES",
    "KnowsFiles",
    "Source",
    "amazon",
    "build_source",
    "complete_journey",
    "demo",
    "kion",
    "movielens",
    "movietweetings",
    "s3rec",
    "sasrec",
    "steam",
    "tabular",
    "yambda",
]
