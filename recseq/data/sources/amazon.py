"""Amazon product reviews of 2014, 2018 and 2023, one category at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from recseq.data.fetching import RemoteDataset, RemoteFile
from recseq.data.interactions import Dataset
from recseq.data.sources.base import SOURCES
from recseq.data.sources.descriptions import Descriptions, prices
from recseq.data.sources.files import Table, require_file
from recseq.data.sources.ratings import Weight, rated_interactions
from recseq.data.sources.records import read_records
from recseq.data.sources.text_errors import explain_text
from recseq.errors import DataError
from recseq.options import NonNegativeFloat

Reviews = Literal["all", "5core", "ratings"]
MCAULEY = "https://mcauleylab.ucsd.edu/public_datasets/data"
SNAP = "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles"


@dataclass(frozen=True, kw_only=True)
class Edition:
    """How one edition names its files and fields.

    Args:
        homepage: Page about it.
        citation: What to cite.
        urls: For each kind of reviews the file, with `{}` for the category.
        metadata: File of items, likewise.
        user: Field of users in JSON lines; likewise `item`, `rating`, `time`.
        unit: Unit of times.
        columns: Columns of ratings as CSV, in order.
        header: Whether the CSV begins with their names.
        category: Field of categories in the metadata, and its type.
        brand: Fields that say the brand, and their types.
    """

    homepage: str
    citation: str
    urls: dict[Reviews, str]
    metadata: str
    user: str
    item: str
    rating: str
    time: str
    unit: Literal["unix_s", "unix_ms"]
    columns: tuple[str, ...]
    header: bool
    category: tuple[str, pl.DataType]
    brand: dict[str, pl.DataType]


EDITIONS = {
    2014: Edition(
        homepage="https://jmcauley.ucsd.edu/data/amazon/index_2014.html",
        citation="He, McAuley 2016, WWW; McAuley, Targett, Shi, van den Hengel 2015, SIGIR",
        urls={"all": f"{SNAP}/reviews_{{}}.json.gz", "5core": f"{SNAP}/reviews_{{}}_5.json.gz", "ratings": f"{SNAP}/ratings_{{}}.csv"},
        metadata=f"{SNAP}/meta_{{}}.json.gz",
        user="reviewerID",
        item="asin",
        rating="overall",
        time="unixReviewTime",
        unit="unix_s",
        columns=("reviewerID", "asin", "overall", "unixReviewTime"),
        header=False,
        category=("categories", pl.List(pl.List(pl.String))),
        brand={"brand": pl.String()},
    ),
    2018: Edition(
        homepage="https://nijianmo.github.io/amazon/index.html",
        citation="Ni, Li, McAuley 2019, EMNLP",
        urls={
            "all": f"{MCAULEY}/amazon_v2/categoryFiles/{{}}.json.gz",
            "5core": f"{MCAULEY}/amazon_v2/categoryFilesSmall/{{}}_5.json.gz",
            "ratings": f"{MCAULEY}/amazon_v2/categoryFilesSmall/{{}}.csv",
        },
        metadata=f"{MCAULEY}/amazon_v2/metaFiles2/meta_{{}}.json.gz",
        user="reviewerID",
        item="asin",
        rating="overall",
        time="unixReviewTime",
        unit="unix_s",
        columns=("asin", "reviewerID", "overall", "unixReviewTime"),
        header=False,
        category=("category", pl.List(pl.String)),
        brand={"brand": pl.String()},
    ),
    2023: Edition(
        homepage="https://amazon-reviews-2023.github.io/",
        citation="Hou, Li, He, Yan, Chen, McAuley 2024, arXiv:2403.03952",
        urls={
            "all": f"{MCAULEY}/amazon_2023/raw/review_categories/{{}}.jsonl.gz",
            "5core": f"{MCAULEY}/amazon_2023/benchmark/5core/rating_only/{{}}.csv.gz",
            "ratings": f"{MCAULEY}/amazon_2023/benchmark/0core/rating_only/{{}}.csv.gz",
        },
        metadata=f"{MCAULEY}/amazon_2023/raw/meta_categories/meta_{{}}.jsonl.gz",
        user="user_id",
        item="parent_asin",
        rating="rating",
        time="timestamp",
        unit="unix_ms",
        columns=("user_id", "parent_asin", "rating", "timestamp"),
        header=True,
        category=("categories", pl.List(pl.String)),
        brand={"details": pl.Struct({"Brand": pl.String()}), "store": pl.String()},
    ),
}


@SOURCES.register("amazon")
class Amazon(RemoteDataset):
    """Reads the reviews of one category; a review is an interaction, its rating from 1 to 5.

    | edition | reviews, users, items in all | time | reviews as |
    | --- | --- | --- | --- |
    | 2014 | 82.83 M, 21.13 M, 9.86 M; 24 categories, May 1996 to July 2014 | day | JSON lines; CSV `user,item,rating,time` |
    | 2018 | 233.10 M, 43.53 M, 15.17 M; 29 categories, May 1996 to October 2018 | day | JSON lines; CSV `item,user,rating,time` |
    | 2023 | 571.54 M, 54.51 M, 48.19 M; 33 categories, May 1996 to September 2023 | ms | JSON lines; CSV with header |

    (Figures: table "Compared to Previous Versions" of the 2023 edition's page, which also counts each category; the 2018 edition's page
    counts its own. CSV columns: these pages, and for 2014 the files as quoted in public code.) Times of 2014 and 2018 are days in Unix
    seconds, so many rows of a user tie; their order in the file then stands. In 2023 the item is `parent_asin`, as its page demands.

    Item metadata are JSON lines, in 2014 Python literals, which are parsed and never executed. Categories of all levels are values of the
    feature `category`; `brand` is the field `brand`, in 2023 `details.Brand`, else `store`; `price` is a number of dollars (for item-net
    block `numeric`), none where it is a range or a text. Only items with reviews are described. The 2018 edition's page gives the
    metadata and the complete reviews out through a form; their addresses here are those of its other files.

    No page publishes hashes of these files, so the first download is recorded and marked unverified. No licence is stated; the pages
    ask for citation.

    Args:
        edition: 2014, 2018 or 2023.
        category: Name of the category in the files' names: `Beauty`, `All_Beauty`, `Sports_and_Outdoors`.
        reviews: `all` reviews (with texts, large), their `5core`, or the `ratings` alone. In 2023 the last two are CSV without repeated
            pairs.
        features: Any of `category`, `brand`, `price`; empty reads no metadata, so there are no titles either.
        min_rating: Reviews with a lower rating are dropped; None keeps all.
        weight: Weight of an interaction: `one` or its `rating`.
        path: Folder with the files as published (their names are in messages); None fetches them.
        data_folder: Where fetched files are kept.

    References:
        He, McAuley 2016, "Ups and Downs: Modeling the Visual Evolution of Fashion Trends with One-Class Collaborative Filtering", WWW;
        McAuley, Targett, Shi, van den Hengel 2015, "Image-based Recommendations on Styles and Substitutes", SIGIR (edition 2014);
        Ni, Li, McAuley 2019, "Justifying Recommendations using Distantly-Labeled Reviews and Fine-grained Aspects", EMNLP (2018);
        Hou, Li, He, Yan, Chen, McAuley 2024, "Bridging Language and Items for Retrieval and Recommendation", arXiv:2403.03952 (2023).
    """

    name = "amazon"
    licence = "none stated; citation asked for"
    citation = "; ".join(f"{year}: {edition.citation}" for year, edition in EDITIONS.items())
    homepage = EDITIONS[2023].homepage

    def __init__(
        self,
        *,
        edition: Literal[2014, 2018, 2023],
        category: str,
        reviews: Reviews,
        features: list[Literal["category", "brand", "price"]],
        min_rating: NonNegativeFloat | None,
        weight: Weight,
        path: str | None,
        data_folder: str | None = None,
    ) -> None:
        super().__init__(path=path, data_folder=data_folder)
        self.edition = EDITIONS[edition]
        self.name = f"amazon_{edition}"
        self.homepage, self.citation = self.edition.homepage, self.edition.citation
        self.category = category
        self.reviews: Reviews = reviews
        self.features = features
        self.min_rating = min_rating
        self.weight: Weight = weight

    def remote_files(self) -> list[RemoteFile]:
        """The file of reviews, and the one of items where features are asked for."""
        urls = [self.edition.urls[self.reviews], *([self.edition.metadata] if self.features else [])]
        return [remote_file(url.format(self.category)) for url in urls]

    def read(self) -> Dataset:
        """Read the one or two files.

        Raises:
            DataError: A file is missing or a line is broken; the message names file, line, field and value.
        """
        paths = self.files()
        edition = self.edition
        interactions, notes = rated_interactions(
            self.read_reviews(paths[0]),
            *(edition.user, edition.item, edition.rating, edition.time, edition.unit),
            min_rating=self.min_rating,
            weight=self.weight,
        )
        name = f"{self.name}:{self.category}"
        if not self.features:
            return Dataset(name=name, interactions=interactions, notes=tuple(notes))
        described = self.read_items(paths[1], interactions.frame["item_id"])
        return Dataset(name, interactions, described.features, described.titles, notes=(*notes, *described.notes))

    def read_reviews(self, path: Path) -> Table:
        """The columns of the reviews that are used."""
        edition = self.edition
        if ".csv" in path.suffixes:
            return read_ratings(path, edition.columns, header=edition.header)
        return read_records(path, dict.fromkeys([edition.user, edition.item, edition.rating, edition.time], pl.String()))

    def read_items(self, path: Path, taken: pl.Series) -> Descriptions:
        """Features and titles of the items that were taken."""
        edition = self.edition
        category, kind = edition.category
        fields = {edition.item: pl.String(), "title": pl.String(), "price": pl.String(), category: kind, **edition.brand}
        table = read_records(path, fields)
        frame = table.frame
        table.refuse(edition.item, frame[edition.item].is_null(), "the id of an item")
        if "details" in edition.brand:
            frame = frame.with_columns(brand=pl.col("details").struct.field("Brand").replace("", None).fill_null(pl.col("store")))
        columns: dict[str, pl.Series] = {"category": frame[category], "brand": frame["brand"]}
        price = {"price": prices(frame["price"])} if "price" in self.features else {}
        categorical: dict[str, pl.Series] = {name: column for name, column in columns.items() if name in self.features}
        return Descriptions.of(taken, frame[edition.item], frame["title"], categorical, price)


def remote_file(url: str) -> RemoteFile:
    """A file without a published hash or size, read as it comes."""
    return RemoteFile(name=url.rpartition("/")[2], url=url, digest=None, published=None, size=None, unpack=None)


def read_ratings(path: Path, columns: tuple[str, ...], *, header: bool) -> Table:
    """Read ratings as CSV, gzipped or not, as texts.

    Args:
        path: The file.
        columns: Its columns, in order; where it has a header further ones may follow.
        header: Whether it begins with names.

    Raises:
        DataError: No such file, an empty one, or a line with more fields.
    """
    require_file(path)
    try:
        frame = pl.read_csv(path, has_header=header, infer_schema=False, glob=False, new_columns=None if header else list(columns))
        if frame.columns[: len(columns)] != list(columns):
            raise DataError(f"{path} has the columns {', '.join(frame.columns)}, must have {', '.join(columns)}")
    except pl.exceptions.NoDataError:
        raise DataError(f"{path} is empty") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        explain_text(path, ",", len(columns), error)
    return Table(path, frame.select(columns), lambda row: f"line {row + 1 + header}")
