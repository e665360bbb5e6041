"""Yambda: ten months of listening on Yandex Music."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl

from recseq.data.fetching import RemoteDataset, RemoteFile
from recseq.data.interactions import Dataset, Interactions, ItemFeatures
from recseq.data.sources.base import SOURCES
from recseq.data.sources.columns import datetimes, ids
from recseq.data.sources.files import Table, check_names, require_file
from recseq.data.sources.text_errors import first_line
from recseq.errors import DataError
from recseq.options import PositiveInt

HOMEPAGE = "https://huggingface.co/datasets/yandex/yambda"
CHECKED = "the file's LFS id at its host, as public programs that read flat/50m check it"
COMMIT_5B = "353523f9bb7d629b0ff63b45c981ac761b8bbc2f"
"""Commit "Upload yambda-5b flat without multi_event"; its page shows ids and sizes of the files."""
KNOWN = {
    "flat/50m/listens.parquet": ("main", "eed9cbd094af1e189507d2f8132a0dc9653b90e65480125c7cdccd601e0592d1", CHECKED, 369_110_332),
    "flat/50m/likes.parquet": ("main", "694087077dbacfcc1d22a5ca85cc6bd8ab182361933406e60500624c6a422bc4", CHECKED, None),
    "flat/5b/listens.parquet": (
        *(COMMIT_5B, "5e4567009925e60fc21e692b1d733a049690d7d1caf838fd78f82e1eb172045b"),
        *(f"{HOMEPAGE}/commit/{COMMIT_5B}", 36_687_438_541),
    ),
    "flat/5b/likes.parquet": (
        *(COMMIT_5B, "c1778832ffc07e492fe82e4f7a763e896471d1a28a52619232c77f7ba35d26f0"),
        *(f"{HOMEPAGE}/commit/{COMMIT_5B}", 767_656_711),
    ),
}
"""Revision, SHA-256, where that is published, bytes. No hash of the other files was found."""


@SOURCES.register("yambda")
class Yambda(RemoteDataset):
    """Reads listens or likes of Yambda's flat Parquet files.

    | size | users | tracks | listens | likes |
    | --- | ---: | ---: | ---: | ---: |
    | 50m | 10,000 | 934,057 | 46,467,212 | 881,456 |
    | 5b | 1 M | 9.39 M | 4.79 G interactions of all kinds | |

    (Dataset card, and table 3 of the paper as quoted in public notes.) `listens.parquet` has `uid`, `timestamp`, `item_id`, `is_organic`,
    `played_ratio_pct` and `track_length_seconds`; `likes.parquet` the first four. A timestamp counts seconds, in steps of five, from an
    unpublished moment, the same for all users: differences and ranges mean what they say, dates do not (they begin at 1970-01-01 here).
    Many rows of a user tie; files are sorted by user and time, and that order stands.

    A track counts as listened to ("Listen+") if at least half of it was played: `min_played_pct: 50`, the paper's setting. Licence:
    Apache-2.0 (dataset card). 28 bytes of memory a row are needed, so 5b takes a machine for it.

    Args:
        size: `50m`, `500m` or `5b`: about so many interactions in all.
        event: `listens` or `likes`.
        min_played_pct: Listens with a smaller share played are dropped, in percent; None keeps all, and goes with likes.
        features: Any of `artist`, `album`: ids of those as categories; empty reads none.
        path: Folder with the Parquet files; None fetches them.
        data_folder: Where fetched files are kept.

    References:
        Ploshkin et al. 2025, "Yambda-5B: A Large-Scale Multi-modal Dataset for Ranking And Retrieval", arXiv:2505.22238;
        huggingface.co/datasets/yandex/yambda.
    """

    name = "yambda"
    licence = "Apache-2.0"
    citation = "Ploshkin et al. 2025, Yambda-5B, arXiv:2505.22238"
    homepage = HOMEPAGE

    def __init__(
        self,
        *,
        size: Literal["50m", "500m", "5b"],
        event: Literal["listens", "likes"],
        min_played_pct: PositiveInt | None,
        features: list[Literal["artist", "album"]],
        path: str | None,
        data_folder: str | None = None,
    ) -> None:
        super().__init__(path=path, data_folder=data_folder)
        self.name = f"yambda_{size}"
        self.size = size
        self.event = event
        self.min_played_pct = min_played_pct
        self.features = features

    @classmethod
    def conflicts(cls, options: Mapping[str, Any], where: str) -> list[str]:
        """Options that fit their types but not each other."""
        if options["event"] == "listens" or options["min_played_pct"] is None:
            return []
        return [f"{where}.min_played_pct is {options['min_played_pct']}, but likes say nothing of it: {where}.min_played_pct=null"]

    def remote_files(self) -> list[RemoteFile]:
        """The events, and a mapping for each feature."""
        paths = [f"flat/{self.size}/{self.event}.parquet", *(f"{feature}_item_mapping.parquet" for feature in self.features)]
        found = []
        for path in paths:
            revision, sha256, published, size = KNOWN.get(path, ("main", None, None, None))
            digest = None if sha256 is None else f"sha256:{sha256}"
            url = f"{HOMEPAGE}/resolve/{revision}/{path}"
            name = Path(path).name
            found.append(RemoteFile(name=name, url=url, digest=digest, published=published, size=size, unpack=None))
        return found

    def read(self) -> Dataset:
        """Read the files.

        Raises:
            DataError: A file is missing or broken, or lacks a column.
        """
        events, *mappings = self.files()
        interactions, notes = self.read_events(events)
        features = None
        if mappings:
            taken = interactions.frame.select("item_id").unique()
            tables = []
            for feature, path in zip(self.features, mappings, strict=True):
                table = scan(path, ["item_id", f"{feature}_id"], None)
                long = pl.DataFrame(
                    {"item_id": ids(table, "item_id"), "feature": feature, "value": table.frame[f"{feature}_id"].cast(pl.String)}
                )
                tables.append(long.join(taken, on="item_id", how="semi", maintain_order="left"))
            features = ItemFeatures.from_long(pl.concat(tables))
        return Dataset(name=f"{self.name}:{self.event}", interactions=interactions, item_features=features, notes=tuple(notes))

    def read_events(self, path: Path) -> tuple[Interactions, list[str]]:
        """Interactions of a file of events."""
        notes = ["dates count from an unpublished moment, shown as 1970-01-01"]
        least = self.min_played_pct
        if least is None:
            table = scan(path, ["uid", "item_id", "timestamp"], None)
        else:
            table = scan(path, ["uid", "item_id", "timestamp", "played_ratio_pct"], pl.col("played_ratio_pct") >= least)
            notes.append(f"listens of less than {least} % of a track are dropped")
        frame = pl.DataFrame(
            {"user_id": ids(table, "uid"), "item_id": ids(table, "item_id"), "datetime": datetimes(table, "timestamp", "unix_s")}
        )
        return Interactions(frame.with_columns(weight=pl.lit(1.0, pl.Float32))), notes


def scan(path: Path, columns: list[str], kept: pl.Expr | None) -> Table:
    """Columns of a Parquet file, rows in its order; rows that are not `kept` never come into memory.

    Raises:
        DataError: No such file, a broken one, or a missing column.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            names = list(pl.read_parquet_schema(file))
        check_names(path, names, columns)
        lazy = pl.scan_parquet(path, glob=False).select(columns)
        frame = (lazy if kept is None else lazy.filter(kept)).collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} is no readable Parquet file: {first_line(error)}") from None
    return Table(path, frame, lambda row: f"row {row + 1}" if kept is None else f"row {row + 1} of those that are kept")
