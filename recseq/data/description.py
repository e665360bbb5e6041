"""What a dataset is, in numbers: sizes, histories, popularity, features, and what folds leave of it."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recseq.data.interactions import DATETIME, Dataset, Interactions, ItemFeatures

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
TOP_ITEMS = 10


@dataclass(frozen=True)
class Description:
    """Numbers about a dataset.

    Args:
        label: The dataset's name for people.
        notes: What its source said of it.
        dropped: Rows that each step of preprocessing dropped.
        n_rows: Interactions.
        n_users: Distinct users.
        n_items: Distinct items.
        first: Earliest time; None where the data has only an order.
        last: Latest time, likewise.
        density: Share of all pairs of a user and an item that are there.
        mean_length: Rows a user.
        length_quantiles: Quantiles of rows a user by level: the smallest length that at least this share of users does not exceed.
        single_row_users: Share of users with one row.
        tied_share: Share of rows with user and time of another row.
        repeat_share: Share of rows whose pair of user and item was there before.
        consecutive_share: Share of rows with the item of the same user's row before.
        top_share: Share of rows of the ten most popular items (by rows; of all items where there are fewer).
        top_percent_share: The same of the most popular hundredth of the items, at least one.
        gini: Gini coefficient of rows an item: 0 when all are equally popular, near 1 when one has all.
        features: One row a feature: `feature`, `kind`, `n_values` (distinct values), `n_items` with a value, `values_per_item` (mean over
            those), `item_coverage` and `row_coverage` (shares of the items with interactions, and of the rows, whose item has one).
        lengths: Rows a user and number of users with so many: `length`, `n_users`, by length.
        popularity: Rows of each item, descending, (I,).
        rows_over_time: `start` of a range of time and its `n_rows`; ranges without rows are there too, none for data without times.
        every: Length of those ranges: `1h`, `1d` or `1w`.
    """

    label: str
    notes: tuple[str, ...]
    dropped: dict[str, int]
    n_rows: int
    n_users: int
    n_items: int
    first: datetime | None
    last: datetime | None
    density: float
    mean_length: float
    length_quantiles: dict[float, int]
    single_row_users: float
    tied_share: float
    repeat_share: float
    consecutive_share: float
    top_share: float
    top_percent_share: float
    gini: float
    features: pl.DataFrame
    lengths: pl.DataFrame
    popularity: NDArray[np.int64]
    rows_over_time: pl.DataFrame
    every: str


def describe_dataset(dataset: Dataset) -> Description:
    """Count it all."""
    interactions = dataset.interactions
    frame, n_rows = interactions.frame, len(interactions)
    first, last = interactions.range or (None, None)
    per_user = frame.group_by("user_id").len(name="length")["length"].sort()
    n_pairs = frame.select(pl.struct("user_id", "item_id").n_unique()).item()
    popularity = frame.group_by("item_id").len(name="n_rows")["n_rows"].sort(descending=True).to_numpy().astype(np.int64)
    every, rows_over_time = count_over_time(interactions)
    return Description(
        label=dataset.label,
        notes=dataset.notes,
        dropped=dataset.dropped,
        n_rows=n_rows,
        n_users=interactions.n_users,
        n_items=interactions.n_items,
        first=first,
        last=last,
        density=n_pairs / (interactions.n_users * interactions.n_items),
        mean_length=n_rows / interactions.n_users,
        length_quantiles={level: quantile(per_user, level) for level in QUANTILES},
        single_row_users=int((per_user == 1).sum()) / per_user.len(),
        tied_share=interactions.tied_rows / n_rows,
        repeat_share=(n_rows - n_pairs) / n_rows,
        consecutive_share=consecutive_rows(frame) / n_rows,
        top_share=float(popularity[:TOP_ITEMS].sum() / n_rows),
        top_percent_share=float(popularity[: max(1, len(popularity) // 100)].sum() / n_rows),
        gini=gini(popularity),
        features=describe_features(interactions, dataset.item_features),
        lengths=per_user.rle().struct.unnest().select(length="value", n_users="len"),
        popularity=popularity,
        rows_over_time=rows_over_time,
        every=every,
    )


def quantile(ordered: pl.Series, level: float) -> int:
    """The smallest value that at least this share of the values does not exceed."""
    return int(ordered[max(0, int(np.ceil(level * ordered.len())) - 1)])


def gini(counts: NDArray[np.int64]) -> float:
    """Gini coefficient of counts.

    `sum_i (2i - n - 1) x_i / (n * sum x)` over ascending `x_1..x_n`: half the mean absolute difference over the mean.
    """
    ascending = np.sort(counts).astype(np.float64)
    n = len(ascending)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ascending).sum() / (n * ascending.sum()))


def consecutive_rows(frame: pl.DataFrame) -> int:
    """Rows with the item of the same user's row before; rows of the same time in their order."""
    ordered = frame.select("user_id", "item_id", "datetime").sort("user_id", "datetime", maintain_order=True)
    same = (pl.col("user_id") == pl.col("user_id").shift()) & (pl.col("item_id") == pl.col("item_id").shift())
    return int(ordered.select(same.sum()).item())


def describe_features(interactions: Interactions, features: ItemFeatures | None) -> pl.DataFrame:
    """Cardinality and coverage of each feature, categorical ones first, by name."""
    schema = {
        **{"feature": pl.String, "kind": pl.String, "n_values": pl.Int64, "values_per_item": pl.Float64, "n_items": pl.Int64},
        **{"item_coverage": pl.Float64, "row_coverage": pl.Float64},
    }
    if features is None:
        return pl.DataFrame(schema=schema)
    rows_of = interactions.frame.group_by("item_id").len(name="rows")
    parts = []
    for kind, table in (("categorical", features.categorical), ("numeric", features.numeric)):
        if table.is_empty():
            continue
        all_items = table.group_by("feature").agg(
            n_values=pl.col("value").n_unique(), n_items=pl.col("item_id").n_unique(), values_per_item=pl.len()
        )
        taken = table.select("feature", "item_id").unique().join(rows_of, on="item_id", how="inner")
        covered = taken.group_by("feature").agg(
            item_coverage=pl.len() / rows_of.height, row_coverage=pl.col("rows").sum() / len(interactions)
        )
        found = all_items.join(covered, on="feature", how="left").with_columns(
            pl.lit(kind).alias("kind"),
            pl.col("values_per_item") / pl.col("n_items"),
            pl.col("item_coverage", "row_coverage").fill_null(0.0),
        )
        parts.append(found.sort("feature").select(pl.col(name).cast(dtype) for name, dtype in schema.items()))
    return pl.concat([pl.DataFrame(schema=schema), *parts])


def count_over_time(interactions: Interactions) -> tuple[str, pl.DataFrame]:
    """Rows an hour, a day or a week, whatever gives a picture of some dozens to some hundreds of points."""
    if interactions.range is None:
        return "1d", pl.DataFrame(schema={"start": DATETIME, "n_rows": pl.Int64})
    first, last = interactions.range
    days = (last - first).total_seconds() / 86400
    every = "1h" if days <= 4 else "1d" if days <= 400 else "1w"
    starts = interactions.frame["datetime"].dt.truncate(every)
    counts = pl.DataFrame([starts.alias("start")]).group_by("start").len(name="n_rows")
    whole = counts.select(pl.datetime_range(pl.col("start").min(), pl.col("start").max(), every, time_unit="us").alias("start"))
    filled = whole.join(counts, on="start", how="left", maintain_order="left")
    return every, filled.with_columns(pl.col("n_rows").fill_null(0).cast(pl.Int64))
