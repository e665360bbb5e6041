"""S3-Rec's form: one user a line with the items in order, and a JSON file of each item's attributes."""

import json
from pathlib import Path
from typing import Literal

import polars as pl

from recseq.data.fetching import RemoteDataset, RemoteFile
from recseq.data.interactions import Dataset, Interactions, ItemFeatures
from recseq.data.sources.base import SOURCES
from recseq.data.sources.columns import ids, one_sided_items
from recseq.data.sources.files import Table, read_lines, require_file
from recseq.errors import DataError

COMMIT = "2a81540ae18615d88ef88227b0c066e5b74781e5"
REPOSITORY = "RUCAIBox/CIKM2020-S3Rec"
BLOBS = {
    "Beauty.txt": ("a29773026846d857ec8176cb25f37b23ecf20155", 1_090_094),
    "Beauty_item2attributes.json": ("805189e7a6dd1005ef38344f5d556f27b8dc240f", 305_674),
    "Sports_and_Outdoors.txt": ("50a7023ca502b42eb0e840c603abda6e851b2018", 1_707_483),
    "Sports_and_Outdoors_item2attributes.json": ("7c2e9a40c6534163fd8d6d1e3abfbfb860f137b6", 653_780),
    "Toys_and_Games.txt": ("5459307b30f65949605b34d350bfad37586a1b97", 922_166),
    "Toys_and_Games_item2attributes.json": ("d13b361c07f57fc032014b86a0723461bbc8e30d", 327_536),
    "LastFM.txt": ("3c46bd58d4c8582d0496fe42570af06d977b58db", 239_312),
    "LastFM_item2attributes.json": ("468fb72c2fc155ad6df7feda7077901ff79c7870", 524_368),
    "Yelp.txt": ("d0f642c11487b3bcb515249d676aa1e37a1bb99e", 1_814_224),
    "Yelp_item2attributes.json": ("0fa737fd1add345f852c5b789ebcbd57b8fb0282", 600_360),
}
"""Git's names of the files at that commit, and their bytes."""


@SOURCES.register("s3rec")
class S3Rec(RemoteDataset):
    """Reads `user item item ...` a line, items in the order of time, and `*_item2attributes.json`, `{"item": [attribute, ...], ...}`.

    There are no times: each user's items get the steps 0, 1, 2, ... (`Interactions.with_steps`), and what compares times of different
    users refuses the data. Use `splitter=last_n` (the paper tests the last item of each user and validates on the one before). Attributes
    (for Amazon brand and categories, as numbers without names) become the feature `attribute`.

    | subset | users | items | rows | attributes |
    | --- | ---: | ---: | ---: | ---: |
    | Beauty | 22,363 | 12,101 | 198,502 | 637 |
    | Sports_and_Outdoors | 35,598 | 18,357 | 296,337 | 2,277 |
    | Toys_and_Games | 19,412 | 11,924 | 167,597 | 1,027 |
    | LastFM | 1,090 | 3,646 | 52,551 | 388 |
    | Yelp | 30,431 | 20,033 | 316,354 | 1,001 |

    (Counted in the files; users and items with fewer than five interactions are left out.) Beauty, Sports and Toys are the files that most
    papers since use: Amazon reviews of 2014, 5-core. They are fetched as single files at a commit and verified by git's own SHA-1 of
    them. The repository states no licence; the data come from Amazon, Last.fm and Yelp.

    Args:
        subset: Which files of the repository.
        path: Folder with the two files; None fetches them.
        data_folder: Where fetched files are kept.

    References:
        Zhou et al. 2020, "S3-Rec: Self-Supervised Learning for Sequential Recommendation with Mutual Information Maximization", CIKM,
        arXiv:2008.07873; GitHub RUCAIBox/CIKM2020-S3Rec.
    """

    name = "s3rec"
    licence = "none stated"
    citation = "Zhou et al. 2020, S3-Rec, CIKM, arXiv:2008.07873"
    homepage = f"https://github.com/{REPOSITORY}"

    def __init__(
        self,
        *,
        subset: Literal["Beauty", "Sports_and_Outdoors", "Toys_and_Games", "LastFM", "Yelp"],
        path: str | None,
        data_folder: str | None = None,
    ) -> None:
        super().__init__(path=path, data_folder=data_folder)
        self.subset = subset

    def remote_files(self) -> list[RemoteFile]:
        """The sequences and the attributes."""
        names = (f"{self.subset}.txt", f"{self.subset}_item2attributes.json")
        return [RemoteFile.at_commit(REPOSITORY, COMMIT, f"data/{name}", *BLOBS[name]) for name in names]

    def read(self) -> Dataset:
        """Read both files.

        Raises:
            DataError: A file is missing or broken; the message names file, line or item, and value.
        """
        sequences, attributes = self.files()
        interactions = read_sequences(sequences)
        taken = interactions.frame["item_id"]
        table = read_attributes(attributes).with_columns(pl.col("item_id").cast(taken.dtype, strict=False))
        unknown, bare = one_sided_items(taken, table["item_id"])
        notes = []
        if unknown:
            notes.append(f"{unknown:,} items of {attributes} have attributes but no interactions")
        if bare:
            notes.append(f"{bare:,} items have interactions but no attributes in {attributes}")
        return Dataset(
            name=f"s3rec:{self.subset}",
            interactions=interactions,
            item_features=ItemFeatures.from_long(table.drop_nulls("item_id")),
            notes=tuple(notes),
        )


def read_sequences(path: Path) -> Interactions:
    """Interactions of a file with `user item item ...` a line.

    Raises:
        DataError: A line has no item, or a user has two lines.
    """
    lines = read_lines(path)
    words = lines.frame["line"].str.extract_all(r"\S+")
    lines.refuse("line", words.list.len() < 2, "a user and at least one item, separated by spaces")
    frame = pl.DataFrame({"user": words.list.first(), "item": words.list.slice(1)})
    users = Table(path, frame, lines.place)
    users.refuse("user", ~frame["user"].is_first_distinct(), "on one line only; this is a second one")
    rows = pl.int_range(frame.height, eager=True).repeat_by(frame["item"].list.len()).explode()
    table = Table(path, frame.explode("item"), lambda row: lines.place(rows[row]))
    known = pl.DataFrame({"user_id": ids(table, "user"), "item_id": ids(table, "item")})
    return Interactions.with_steps(known.with_columns(weight=pl.lit(1.0, pl.Float32)))


def read_attributes(path: Path) -> pl.DataFrame:
    """The long table of a file `{"item": [attribute, ...], ...}`; ids are texts.

    Returns:
        Columns `item_id`, `feature`, `value`.

    Raises:
        DataError: The file is no such JSON.
    """
    require_file(path)
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} must be a mapping of items to lists of attributes, is a {type(found).__name__}")
    for item, values in found.items():
        if not isinstance(values, list) or not all(isinstance(value, (int, str)) for value in values):
            raise DataError(f"{path}, item {item!r}: the value is {values!r}, must be a list of attributes (numbers or texts)")
    long = {"item_id": list(found), "value": [[str(value) for value in values] for values in found.values()]}
    table = pl.DataFrame(long, schema={"item_id": pl.String, "value": pl.List(pl.String)})
    return table.explode("value").drop_nulls().select("item_id", pl.lit("attribute").alias("feature"), "value")
