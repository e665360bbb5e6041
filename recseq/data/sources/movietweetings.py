"""MovieTweetings: movie ratings that people tweeted from IMDb apps."""

from pathlib import Path
from typing import Literal

import polars as pl

from recseq.data.interactions import Dataset, Interactions, ItemFeatures
from recseq.data.sources.base import SOURCES
from recseq.data.sources.columns import datetimes, ids, numbers
from recseq.data.sources.files import Table, read_fields
from recseq.errors import DataError

RATINGS = "ratings.dat"
MOVIES = "movies.dat"


@SOURCES.register("movietweetings")
class MovieTweetings:
    """Reads a folder of MovieTweetings: `ratings.dat` and `movies.dat`.

    `ratings.dat` holds `user::movie::rating::unix seconds`, ratings from 0 to 10; `movies.dat` holds `movie::title (year)::genre|genre`.
    A rating is an interaction. Movie ids are IMDb numbers with leading zeros, so they stay texts. Genres become the feature `genre`;
    a movie without genre has none.

    Args:
        path: Folder with the two files.
        weight: Weight of an interaction: `one`, or its `rating` (a rating of 0 then weighs nothing).

    References:
        Dooms, De Pessemier, Martens 2013, "MovieTweetings: a movie rating dataset collected from Twitter", CrowdRec at RecSys 2013;
        GitHub sidooms/MovieTweetings (MIT).
    """

    def __init__(self, *, path: str, weight: Literal["one", "rating"]) -> None:
        self.path = Path(path).expanduser()
        self.weight = weight

    def files(self) -> list[Path]:
        """The two files."""
        return [self.path / RATINGS, self.path / MOVIES]

    def read(self) -> Dataset:
        """Read both files.

        Raises:
            DataError: A file is missing or a line is broken; the message names file, line and value.
        """
        missing = [name for name in (RATINGS, MOVIES) if not (self.path / name).is_file()]
        if missing:
            raise DataError(
                f"dataset.path is {str(self.path)!r}, which lacks {' and '.join(missing)}; it must be a folder with {RATINGS} and {MOVIES}"
            )
        ratings = read_fields(self.path / RATINGS, "::", ["user", "movie", "rating", "timestamp"])
        movies = read_fields(self.path / MOVIES, "::", ["movie", "title", "genres"])
        frame = pl.DataFrame(
            {
                "user_id": ids(ratings, "user"),
                "item_id": movie_ids(ratings),
                "datetime": datetimes(ratings, "timestamp", "unix_s"),
                "weight": numbers(ratings, "rating"),
            }
        )
        if self.weight == "one":
            frame = frame.with_columns(weight=pl.lit(1.0, pl.Float32))
        described = movies.frame.select(pl.col("title", "genres")).insert_column(0, movie_ids(movies).alias("item_id"))
        genres = described.select("item_id", feature=pl.lit("genre"), value=pl.col("genres").str.split("|"))
        features = ItemFeatures.from_long(genres.explode("value").filter(pl.col("value") != ""))
        without = frame.select("item_id").unique().join(features.categorical, on="item_id", how="anti").height
        return Dataset(
            name="movietweetings",
            interactions=Interactions(frame),
            item_features=features,
            titles=described.select("item_id", "title").drop_nulls().unique("item_id", keep="first", maintain_order=True),
            notes=(f"{without:,} movies with ratings have no genre",) if without else (),
        )


def movie_ids(table: Table) -> pl.Series:
    """The movies of a file as texts, even where none has a leading zero."""
    return ids(table, "movie").cast(pl.String)
