"""MovieTweetings: movie ratings that people tweeted from IMDb apps."""

from typing import Literal

import polars as pl

from recseq.data.fetching import RemoteDataset, RemoteFile
from recseq.data.interactions import Dataset, Interactions, ItemFeatures
from recseq.data.sources.base import SOURCES
from recseq.data.sources.columns import datetimes, ids, numbers
from recseq.data.sources.files import Table, read_fields

RATINGS, MOVIES = "ratings.dat", "movies.dat"
FORK = "RodolfoViana/MovieTweetings"
COMMIT = "8917fd3bf8b8e3c7ca3ae11cd1d1a8b946630e84"
FILES = {
    RATINGS: ("35e148c293fdaa6fb57b6a66acc43d25aec79803", 4_193_082),
    MOVIES: ("2b4e6f22812d1483b88cbd849654cfc3b203c9c3", 647_013),
}
"""Git's name of each file in the tree of that commit, and its bytes."""


@SOURCES.register("movietweetings")
class MovieTweetings(RemoteDataset):
    """Reads MovieTweetings of 2013-11-06: 141,695 ratings by 21,081 users of 12,611 movies, since 2013-02-28.

    `ratings.dat` holds `user::movie::rating::unix seconds`, ratings from 0 to 10; `movies.dat` holds `movie::title (year)::genre|genre`.
    A rating is an interaction. Movie ids are IMDb numbers with leading zeros, so they stay texts. Genres become the feature `genre`;
    a movie without genre has none. The dataset has grown since; this state is that of a fork's commit, whose files do not change.

    Args:
        path: Folder with the two files; None fetches them.
        weight: Weight of an interaction: `one`, or its `rating` (a rating of 0 then weighs nothing).
        data_folder: Where fetched files are kept.

    References:
        Dooms, De Pessemier, Martens 2013, "MovieTweetings: a movie rating dataset collected from Twitter", CrowdRec at RecSys 2013;
        GitHub sidooms/MovieTweetings (MIT).
    """

    name = "movietweetings"
    licence = "MIT"
    citation = "Dooms, De Pessemier, Martens 2013, MovieTweetings: a movie rating dataset collected from Twitter, CrowdRec at RecSys"
    homepage = "https://github.com/sidooms/MovieTweetings"

    def __init__(self, *, path: str | None, weight: Literal["one", "rating"], data_folder: str | None = None) -> None:
        super().__init__(path=path, data_folder=data_folder)
        self.weight = weight

    def remote_files(self) -> list[RemoteFile]:
        """Both files at the commit."""
        return [RemoteFile.at_commit(FORK, COMMIT, f"latest/{name}", blob, size) for name, (blob, size) in FILES.items()]

    def read(self) -> Dataset:
        """Read both files.

        Raises:
            DataError: A file is missing or could not be fetched, or a line is broken; the message names file, line and value.
        """
        folder = self.folder()
        ratings = read_fields(folder / RATINGS, "::", ["user", "movie", "rating", "timestamp"])
        movies = read_fields(folder / MOVIES, "::", ["movie", "title", "genres"])
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
            name=self.name,
            interactions=Interactions(frame),
            item_features=features,
            titles=described.select("item_id", "title").drop_nulls().unique("item_id", keep="first", maintain_order=True),
            notes=(f"{without:,} movies with ratings have no genre",) if without else (),
        )


def movie_ids(table: Table) -> pl.Series:
    """The movies of a file as texts, even where none has a leading zero."""
    return ids(table, "movie").cast(pl.String)
