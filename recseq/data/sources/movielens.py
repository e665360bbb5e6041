"""MovieLens: the movie ratings that GroupLens has collected since 1995, in the six versions that papers use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from recseq.data.fetching import RemoteDataset, RemoteFile, Zip
from recseq.data.interactions import Dataset, Interactions, ItemFeatures
from recseq.data.sources.base import SOURCES
from recseq.data.sources.columns import datetimes, ids, numbers
from recseq.data.sources.files import Table, read_fields, read_table, read_typed

HOST = "https://files.grouplens.org/datasets/movielens"
NO_GENRES = "(no genres listed)"
GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
"""The flags of `u.item` in their order (`u.genre`); unknown is no genre."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """One version.

    Args:
        archive: Name of the zip file without `.zip`, also the folder in it.
        md5: What GroupLens publishes beside it; None where no value is known.
        size: Bytes of the zip file.
        ratings: File of ratings.
        movies: File of movies.
        may_redistribute: Whether the licence lets the data be passed on (under the same conditions).
    """

    archive: str
    md5: str | None
    size: int
    ratings: str
    movies: str
    may_redistribute: bool


# Each MD5 is the content of <archive>.zip.md5 on GroupLens' server, as public code quotes it: 100K, 1M, 20M and 25M in
# eli-osherovich/papers_with_code (datasets/movielens/dl_config.py), 32M in several projects that name the .md5 file. latest-small
# is a development set that "may change over time": its digest is taken on first use.
RELEASES = {
    "100k": Release(
        archive="ml-100k",
        md5="0e33842e24a9c977be4e0107933c0723",
        size=4_924_029,
        ratings="u.data",
        movies="u.item",
        may_redistribute=False,
    ),
    "1m": Release(
        archive="ml-1m",
        md5="c4d9eecfca2ab87c1945afe126590906",
        size=5_917_549,
        ratings="ratings.dat",
        movies="movies.dat",
        may_redistribute=False,
    ),
    "20m": Release(
        archive="ml-20m",
        md5="cd245b17a1ae2cc31bb14903e1204af3",
        size=198_702_078,
        ratings="ratings.csv",
        movies="movies.csv",
        may_redistribute=True,
    ),
    "25m": Release(
        archive="ml-25m",
        md5="6b51fb2759a8657d3bfcbfc42b592ada",
        size=261_978_986,
        ratings="ratings.csv",
        movies="movies.csv",
        may_redistribute=True,
    ),
    "32m": Release(
        archive="ml-32m",
        md5="d472be332d4daa821edc399621853b57",
        size=238_950_008,
        ratings="ratings.csv",
        movies="movies.csv",
        may_redistribute=True,
    ),
    "latest_small": Release(
        archive="ml-latest-small",
        md5=None,
        size=978_202,
        ratings="ratings.csv",
        movies="movies.csv",
        may_redistribute=True,
    ),
}


@SOURCES.register("movielens")
class MovieLens(RemoteDataset):
    """Reads a version of MovieLens. Movies without a rating are in no count below.

    | version | ratings | users | movies | from | to | stars | files |
    | --- | ---: | ---: | ---: | --- | --- | --- | --- |
    | 100k | 100,000 | 943 | 1,682 | 1997-09 | 1998-04 | 1-5 | `u.data` (tabs), `u.item` (`|`, a flag a genre, Latin-1) |
    | 1m | 1,000,209 | 6,040 | 3,706 | 2000-04 | 2003-02 | 1-5 | `ratings.dat`, `movies.dat` (`::`, genres `A|B`, Latin-1) |
    | 20m | 20,000,263 | 138,493 | 26,744 | 1995-01 | 2015-03 | 0.5-5 | `ratings.csv`, `movies.csv` (UTF-8, genres `A|B`) |
    | 25m | 25,000,095 | 162,541 | 59,047 | 1995-01 | 2019-11 | 0.5-5 | the same |
    | 32m | 32,000,204 | 200,948 | 84,432 | 1995-01 | 2023-10 | 0.5-5 | the same |
    | latest_small | 100,836 | 610 | 9,724 | 1996-03 | 2018-09 | 0.5-5 | the same |

    A rating is an interaction; users have rated at least 20 movies, many in one sitting, so that times tie. Genres become the feature
    `genre`; "(no genres listed)" and "unknown" are none. Licence: research, no commercial use without permission, no claim of
    endorsement, the paper is to be cited; 100K and 1M may not be passed on, the others under the same conditions.

    Args:
        version: Which.
        path: Folder with the two files; None fetches them.
        min_rating: Lowest rating that counts as an interaction; None takes all.
        weight: Weight of an interaction: `one`, or its `rating`.
        data_folder: Where fetched files are kept.

    References:
        Harper, Konstan 2015, "The MovieLens Datasets: History and Context", ACM TiiS 5(4):19, doi:10.1145/2827872.
    """

    citation = "Harper, Konstan 2015, The MovieLens Datasets: History and Context, ACM TiiS 5(4):19, doi:10.1145/2827872"
    homepage = "https://grouplens.org/datasets/movielens/"

    def __init__(
        self,
        *,
        version: Literal["100k", "1m", "20m", "25m", "32m", "latest_small"],
        path: str | None,
        min_rating: float | None,
        weight: Literal["one", "rating"],
        data_folder: str | None = None,
    ) -> None:
        super().__init__(path=path, data_folder=data_folder)
        self.release = RELEASES[version]
        self.name = f"movielens_{version}"
        passing_on = "passed on under the same terms only" if self.release.may_redistribute else "not to be passed on"
        self.licence = f"GroupLens: research, not commercial, {passing_on}"
        self.min_rating = min_rating
        self.weight = weight

    def remote_files(self) -> list[RemoteFile]:
        """The archive."""
        release = self.release
        url = f"{HOST}/{release.archive}.zip"
        return [
            RemoteFile(
                name=f"{release.archive}.zip",
                url=url,
                digest=release.md5 and f"md5:{release.md5}",
                published=release.md5 and f"{url}.md5",
                size=release.size,
                unpack=Zip(
                    members={f"{release.archive}/{name}": name for name in (release.ratings, release.movies)},
                    max_bytes=20 * release.size,
                ),
            )
        ]

    def read(self) -> Dataset:
        """Read ratings and movies.

        Raises:
            DataError: A file is missing or broken, or could not be fetched.
        """
        folder = self.folder()
        ratings = read_ratings(folder / self.release.ratings)
        frame = pl.DataFrame(
            {
                "user_id": ids(ratings, "userId"),
                "item_id": ids(ratings, "movieId"),
                "datetime": datetimes(ratings, "timestamp", "unix_s"),
                "weight": numbers(ratings, "rating"),
            }
        )
        notes = []
        if self.min_rating is not None:
            n_rows = frame.height
            frame = frame.filter(pl.col("weight") >= self.min_rating)
            notes.append(f"{n_rows - frame.height:,} ratings below {self.min_rating:g} are left out")
        if self.weight == "one":
            frame = frame.with_columns(weight=pl.lit(1.0, pl.Float32))
        movies = read_movies(folder / self.release.movies, frame.schema["item_id"])
        genres = movies.select("item_id", feature=pl.lit("genre"), value="genres").explode("value")
        features = ItemFeatures.from_long(genres.filter(~pl.col("value").is_in(["", NO_GENRES, "unknown"])))
        without = frame.select("item_id").unique().join(features.categorical, on="item_id", how="anti").height
        if without:
            notes.append(f"{without:,} movies with ratings have no genre")
        return Dataset(
            name=self.name,
            interactions=Interactions(frame),
            item_features=features,
            titles=movies.select("item_id", "title").drop_nulls().unique("item_id", keep="first", maintain_order=True),
            notes=tuple(notes),
        )


def read_ratings(path: Path) -> Table:
    """Columns `userId`, `movieId`, `rating`, `timestamp` of any version's file."""
    types = {"userId": pl.Int64(), "movieId": pl.Int64(), "rating": pl.Float32(), "timestamp": pl.Int64()}
    if path.suffix == ".csv":
        return read_typed(path, types, {})
    return read_fields(path, "::" if path.suffix == ".dat" else "\t", list(types))


def read_movies(path: Path, id_type: pl.DataType) -> pl.DataFrame:
    """Columns `item_id`, `title`, `genres` (a list) of any version's file."""
    if path.suffix == ".csv":
        table = read_table(path, ["movieId", "title", "genres"], ",")
        genres = pl.col("genres").str.split("|")
    elif path.suffix == ".dat":
        table = read_fields(path, "::", ["movieId", "title", "genres"], encoding="latin-1")
        genres = pl.col("genres").str.split("|")
    else:
        facts = ["movieId", "title", "release", "video_release", "url"]
        table = read_fields(path, "|", [*facts, *GENRES_100K], encoding="latin-1")
        genres = pl.concat_list(pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in GENRES_100K).list.drop_nulls()
    return table.frame.select(ids(table, "movieId").cast(id_type).alias("item_id"), "title", genres.alias("genres"))
