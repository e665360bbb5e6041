"""Steam: reviews of games, as crawled for SASRec."""

from typing import Literal

import polars as pl

from recseq.data.fetching import RemoteDataset, RemoteFile
from recseq.data.interactions import Dataset, Interactions
from recseq.data.sources.base import SOURCES
from recseq.data.sources.columns import datetimes, numbers
from recseq.data.sources.descriptions import Descriptions, prices
from recseq.data.sources.files import Table
from recseq.data.sources.records import read_records
from recseq.errors import DataError

HOST = "https://cseweb.ucsd.edu/~wckang"
REVIEWS = "steam_reviews.json.gz"
GAMES = "steam_games.json.gz"
LISTS: dict[str, str] = {"genre": "genres", "tag": "tags", "spec": "specs"}
TEXTS: dict[str, str] = {"developer": "developer", "publisher": "publisher"}


@SOURCES.register("steam")
class Steam(RemoteDataset):
    """Reads 7,793,069 reviews by 2,567,538 users, and what is known of 32,135 games.

    (Figures and addresses: README of GitHub kang205/SASRec, which also shows a game's record.) Both files hold a Python dict literal a
    line, which is parsed and never executed; the reviews are 1.3 GB packed and take minutes.

    A review is an interaction of `username` with `product_id` on a `date` (a day, so rows of a user tie; their order in the file then
    stands). `hours` played are a possible weight. Reviews without a username, product or date cannot be used: they are counted and left
    out. Features of games: `genre`, `tag`, `spec`, `developer`, `publisher`, and the number `price`. Field names of the reviews: public
    code that reads them (`username`, `product_id`, `date` as 2017-12-17, `hours`).

    No page publishes hashes, so the first download is recorded and marked unverified. No licence is stated; the authors ask for citation.

    Args:
        features: Any of `genre`, `tag`, `spec`, `developer`, `publisher`, `price`; empty reads no games, so there are no titles either.
        weight: Weight of an interaction: `one`, or the `hours` played (0 where they are missing).
        path: Folder with `steam_reviews.json.gz` and `steam_games.json.gz`; None fetches them.
        data_folder: Where fetched files are kept.

    References:
        Kang, McAuley 2018, "Self-Attentive Sequential Recommendation", ICDM, arXiv:1808.09781; Wan, McAuley 2018, "Item Recommendation on
        Monotonic Behavior Chains", RecSys; Pathak, Gupta, McAuley 2017, "Generating and Personalizing Bundle Recommendations on Steam",
        SIGIR.
    """

    name = "steam"
    licence = "none stated; citation asked for"
    citation = "Kang, McAuley 2018, Self-Attentive Sequential Recommendation, ICDM; Wan, McAuley 2018, RecSys; Pathak et al. 2017, SIGIR"
    homepage = "https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data"

    def __init__(
        self,
        *,
        features: list[Literal["genre", "tag", "spec", "developer", "publisher", "price"]],
        weight: Literal["one", "hours"],
        path: str | None,
        data_folder: str | None = None,
    ) -> None:
        super().__init__(path=path, data_folder=data_folder)
        self.features = features
        self.weight = weight

    def remote_files(self) -> list[RemoteFile]:
        """The reviews, and the games where features are asked for."""
        sizes = {REVIEWS: 1_300_000_000, GAMES: 2_700_000}
        return [
            RemoteFile(name=name, url=f"{HOST}/{name}", digest=None, published=None, size=sizes[name], unpack=None)
            for name in (REVIEWS, *([GAMES] if self.features else []))
        ]

    def read(self) -> Dataset:
        """Read the one or two files.

        Raises:
            DataError: A file is missing or a line is broken; the message names file, line, field and value.
        """
        reviews, *games_file = self.files()
        interactions, notes = self.interactions(read_records(reviews, dict.fromkeys(self.fields, pl.String())))
        if not self.features:
            return Dataset(name=self.name, interactions=interactions, notes=tuple(notes))
        lists = {field: pl.List(pl.String()) for field in LISTS.values()}
        texts = dict.fromkeys(("id", "app_name", "title", "price", *TEXTS.values()), pl.String())
        games = read_records(games_file[0], {**texts, **lists}).frame
        columns: dict[str, pl.Series] = {name: games[field] for name, field in (LISTS | TEXTS).items() if name in self.features}
        price = {"price": prices(games["price"])} if "price" in self.features else {}
        titles = games["title"].fill_null(games["app_name"])
        described = Descriptions.of(interactions.frame["item_id"], games["id"], titles, columns, price)
        return Dataset(self.name, interactions, described.features, described.titles, notes=(*notes, *described.notes))

    @property
    def fields(self) -> list[str]:
        """Fields of a review that are read."""
        return ["username", "product_id", "date", *(["hours"] if self.weight == "hours" else [])]

    def interactions(self, table: Table) -> tuple[Interactions, list[str]]:
        """Interactions of the reviews that say who, what and when."""
        frame = table.frame
        whole = frame.select(pl.all_horizontal(pl.col(*self.fields[:3]).fill_null("") != "")).to_series()
        rows = whole.arg_true()
        if rows.is_empty():
            raise DataError(f"{table.path} has no review with a username, a product_id and a date")
        kept = Table(table.path, frame.filter(whole), lambda row: table.place(rows[row]))
        weight = pl.lit(1.0, pl.Float32)
        notes = [f"{frame.height - len(rows):,} of {frame.height:,} reviews lack a username, product_id or date and are left out"]
        times = datetimes(kept, "date", None)
        columns = kept.frame.select(user_id="username", item_id="product_id").with_columns(datetime=times)
        if self.weight == "hours":
            filled = Table(kept.path, kept.frame.with_columns(pl.col("hours").fill_null("0")), kept.place)
            notes.append(f"{kept.frame['hours'].null_count():,} reviews say no hours and weigh 0")
            return Interactions(columns.with_columns(weight=numbers(filled, "hours"))), notes
        return Interactions(columns.with_columns(weight=weight)), notes
