"""KION: views of a streaming service with users' demographics and films' facts, the field's usual dataset for time-based evaluation."""

from typing import Literal

import polars as pl

from recseq.data.fetching import RemoteDataset, RemoteFile, Zip
from recseq.data.interactions import Dataset, Interactions, ItemFeatures
from recseq.data.sources.base import SOURCES
from recseq.data.sources.columns import datetimes, ids, one_sided_items
from recseq.data.sources.files import read_table, read_typed

REPOSITORY = "irsafilo/KION_DATASET"
COMMIT = "f69775be31fa5779907cf0a92ddedb70037fb5ae"
BLOB = "e17ce7994b5e5cc12d3bae5c56eff1eb7bb01d5c"
"""Git's name of the archive at that commit."""
INTERACTIONS, ITEMS, USERS = "interactions.csv", "items_en.csv", "users_en.csv"
COLUMNS = {
    "genre": "genres",
    "director": "transliterated",
    "content_type": "content_type",
    "countries": "countries",
    "age_rating": "age_rating",
    "release_year": "release_year",
}
"""Column of each feature. `transliterated` holds the directors' names in Latin letters."""
NUMERIC = ("release_year",)
MUCH_WATCHED = 10
MUCH_WATCHED_WEIGHT = 3.0


@SOURCES.register("kion")
class Kion(RemoteDataset):
    """Reads KION in its English version: 5,476,251 views of 962,179 users, 15,706 films and series, 2021-03-13 to 2021-08-22.

    `interactions.csv` holds `user_id, item_id, last_watch_dt` (a day), `total_dur` (seconds) and `watched_pct`; `items_en.csv` an
    index, `item_id` and facts in machine translation; `users_en.csv` an index, `user_id`, `age` and `income` (bands), `sex` and
    `kids_flg`. The authors have added noise, and say 2022 where the files say 2021. Days tie: the order inside a day is the file's.

    Features are the tutorial's of RecTools: `genre` and `director` are lower-cased and split at ", ", of items with interactions
    alone. The others are made the same way; `release_year` is a number. A missing value is no category (RecTools makes it one). The
    user table is kept as `users`, so that results can be looked at by groups of users.

    The repository states no licence; it asks for citation of the paper.

    Args:
        path: Folder with the three CSV files; None fetches them.
        features: Item features to take.
        weight: Weight of a view: `one`, or by `watched_pct`: 3 where more than 10 % were watched, else 1, a missing one included.
        data_folder: Where fetched files are kept.

    References:
        Petrov, Safilo, Tikhonovich, Ignatov 2022, "MTS Kion Implicit Contextualised Sequential Dataset for Movie Recommendation",
        CARS workshop at RecSys 2022.
    """

    name = "kion"
    licence = "none stated by its authors; published for research"
    citation = "Petrov, Safilo, Tikhonovich, Ignatov 2022, MTS Kion Implicit Contextualised Sequential Dataset, CARS at RecSys"
    homepage = f"https://github.com/{REPOSITORY}"

    def __init__(
        self,
        *,
        path: str | None,
        features: list[Literal["genre", "director", "content_type", "countries", "age_rating", "release_year"]],
        weight: Literal["one", "watched_pct"],
        data_folder: str | None = None,
    ) -> None:
        super().__init__(path=path, data_folder=data_folder)
        self.features = features
        self.weight = weight

    def remote_files(self) -> list[RemoteFile]:
        """The archive at a commit; git's name of it is its digest."""
        unpack = Zip(members={f"data_en/{name}": name for name in (INTERACTIONS, ITEMS, USERS)}, max_bytes=2 * 10**9)
        return [RemoteFile.at_commit(REPOSITORY, COMMIT, "data_en.zip", BLOB, size=80_000_000, unpack=unpack)]

    def read(self) -> Dataset:
        """Read the three files.

        Raises:
            DataError: A file is missing or broken, or could not be fetched.
        """
        folder = self.folder()
        measure = {} if self.weight == "one" else {"watched_pct": pl.Float32()}
        types = {"user_id": pl.Int64(), "item_id": pl.Int64(), "last_watch_dt": pl.Date()}
        views = read_typed(folder / INTERACTIONS, types, measure)
        watched_much = pl.col("watched_pct").cast(pl.Float32, strict=False) > MUCH_WATCHED
        frame = pl.DataFrame(
            {
                "user_id": ids(views, "user_id"),
                "item_id": ids(views, "item_id"),
                "datetime": datetimes(views, "last_watch_dt", None),
                "weight": views.frame.select(
                    pl.when(watched_much).then(MUCH_WATCHED_WEIGHT).otherwise(1.0).cast(pl.Float32)
                    if measure
                    else pl.repeat(1.0, pl.len(), dtype=pl.Float32)
                ).to_series(),
            }
        )
        columns = [COLUMNS[name] for name in self.features]
        items = read_table(folder / ITEMS, list(dict.fromkeys(["item_id", "title", *columns])), ",")
        described = items.frame.with_columns(item_id=ids(items, "item_id").cast(frame.schema["item_id"]))
        unseen, unknown = one_sided_items(frame["item_id"], described["item_id"])
        described = described.join(frame.select("item_id").unique(), on="item_id", how="semi", maintain_order="left")
        users = read_table(folder / USERS, None, ",")
        return Dataset(
            name=self.name,
            interactions=Interactions(frame),
            item_features=self.item_features(described) if self.features else None,
            titles=described.select("item_id", "title").drop_nulls().unique("item_id", keep="first", maintain_order=True),
            users=users.frame.select(ids(users, "user_id").cast(frame.schema["user_id"]), pl.exclude("user_id", "", "Unnamed: 0")).unique(
                "user_id", keep="first", maintain_order=True
            ),
            notes=(
                f"{unseen:,} items have facts but no views and are left out",
                f"{unknown:,} items have views but no facts",
            ),
        )

    def item_features(self, items: pl.DataFrame) -> ItemFeatures:
        """Features of items in canonical form, one after the other."""
        categorical = [
            items.select("item_id", feature=pl.lit(name), value=values(name)).explode("value").filter(pl.col("value") != "")
            for name in self.features
            if name not in NUMERIC
        ]
        numeric = [
            items.select("item_id", feature=pl.lit(name), value=pl.col(COLUMNS[name]).cast(pl.Float64, strict=False))
            for name in self.features
            if name in NUMERIC
        ]
        empty = pl.DataFrame(schema={"item_id": items.schema["item_id"], "feature": pl.String, "value": pl.String})
        return ItemFeatures.from_long(pl.concat([empty, *categorical]), pl.concat(numeric) if numeric else None)


def values(feature: str) -> pl.Expr:
    """The values of a feature as a list."""
    text = pl.col(COLUMNS[feature]).str.to_lowercase()
    if feature == "age_rating":
        text = text.str.strip_suffix(".0")  # pandas wrote whole numbers so
    return text.str.split(", ")
