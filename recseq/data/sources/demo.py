"""The default data: a simulated streaming service, shaped like KION in small, made from a seed."""

from datetime import date, datetime, time
from pathlib import Path

import numpy as np
import polars as pl

from recseq.data.interactions import DATETIME, Dataset, Interactions, ItemFeatures
from recseq.data.sources.base import SOURCES
from recseq.data.sources.simulated_catalogue import Catalogue, make_catalogue, most_views_a_user
from recseq.data.sources.simulated_viewing import simulate_views
from recseq.errors import ConfigError
from recseq.options import NonNegativeInt, PositiveInt

GENRES = (
    *("Drama", "Comedy", "Thriller", "Action", "Melodrama", "Crime", "Adventure", "Fantasy", "Horror", "Family", "Animation", "Mystery"),
    *("Documentary", "History", "War", "Biography", "Sport", "Music", "Western", "Noir"),
)
"""Names of the genres, most common first; further ones are numbered."""


@SOURCES.register("demo")
class Demo:
    """Simulates the views of a streaming service; nothing in it is real, and every report says so.

    The story, fixed before any model was trained on it and never tuned to a result (the numbers with their reasons stand as constants
    in `simulated_catalogue` and `simulated_viewing`):

    - *Items* have one to three genres and none to two directors. Directors keep to a genre and differ in quality, which their items
      share. Appeal falls with an item's rank like Zipf's law and wanders from week to week. A part of the catalogue comes out during the
      period, one batch a week, with a boost at launch that decays over weeks. Some items are parts of a franchise: they share genres and
      directors and come out in order.
    - *Users* differ in activity by orders of magnitude (log-normal), join at any time, stay for some weeks and watch in bursts. Each has a
      few favourite genres (a Dirichlet process over the genres).
    - *A view* is one of four: the next part of the franchise that the user is in, another item by the director of the last one, what
      everybody watches this week, or, mostly, an item of a favourite genre; within each, items are drawn by this week's
      popularity. Nobody watches an item twice.

    So a model can learn from popularity of the day, from who watched what (genres), from order (parts, directors) and from
    features (genres and directors of items with few views). How much each is worth is for the experiment to find out.

    Args:
        n_users: Users; each has at least one view if there are enough views.
        n_items: Items in the catalogue; those that nobody watched have features but no interactions.
        n_interactions: Views, exactly.
        n_days: Length of the period in days.
        n_genres: Genres.
        n_directors: Directors; some may have no item.
        seed: Seed of the data, apart from the experiment's. Equal options give equal data on the same versions of numpy and polars.
        start: First day, ISO date.

    Raises:
        ConfigError: More views than the users can have without a repetition, or `start` is no date.
    """

    def __init__(
        self,
        *,
        n_users: PositiveInt,
        n_items: PositiveInt,
        n_interactions: PositiveInt,
        n_days: PositiveInt,
        n_genres: PositiveInt,
        n_directors: PositiveInt,
        seed: NonNegativeInt,
        start: str,
    ) -> None:
        problems = []
        try:
            self.start = datetime.combine(date.fromisoformat(start), time())
        except ValueError:
            problems.append(f"dataset.start is {start!r}, must be a date like 2024-01-01")
        most = n_users * most_views_a_user(n_items, n_days)
        if n_interactions > most:
            problems.append(f"dataset.n_interactions is {n_interactions}, must be <= {most} for {n_users} users and {n_items} items")
        if problems:
            raise ConfigError.from_problems(problems)
        self.n_users = n_users
        self.n_items = n_items
        self.n_interactions = n_interactions
        self.n_days = n_days
        self.n_genres = n_genres
        self.n_directors = n_directors
        self.seed = seed

    def files(self) -> list[Path]:
        """None: the options say it all."""
        return []

    def read(self) -> Dataset:
        """Run the simulation."""
        rng = np.random.default_rng(self.seed)
        catalogue = make_catalogue(rng, n_items=self.n_items, n_genres=self.n_genres, n_directors=self.n_directors, n_days=self.n_days)
        user, item, second = simulate_views(rng, catalogue, n_users=self.n_users, n_views=self.n_interactions, n_days=self.n_days)
        # Ids in random order, so that they tell neither activity nor appeal.
        user_ids = 1 + rng.permutation(self.n_users)
        item_ids = 1 + rng.permutation(self.n_items)
        views = pl.DataFrame({"user_id": user_ids[user], "item_id": item_ids[item], "second": second}).sort("second", maintain_order=True)
        frame = views.select(
            "user_id",
            "item_id",
            datetime=pl.lit(self.start).cast(DATETIME) + pl.duration(seconds="second", time_unit="us"),
            weight=pl.lit(1.0, pl.Float32),
        )
        return Dataset(
            name="demo",
            interactions=Interactions(frame),
            item_features=ItemFeatures.from_long(features(catalogue, item_ids)),
            titles=titles(catalogue, item_ids),
            simulated=True,
            notes=("simulated data: nothing in it is real",),
        )


def genre_name(index: int) -> str:
    """Name of a genre."""
    return GENRES[index] if index < len(GENRES) else f"Genre {index + 1}"


def features(catalogue: Catalogue, item_ids: np.ndarray) -> pl.DataFrame:
    """Long table of genres and directors, in the order of ids."""
    names = {
        "genre": np.array([genre_name(index) for index in range(catalogue.n_genres)]),
        "director": np.array([f"Director {index + 1}" for index in range(catalogue.n_directors)]),
    }
    parts = []
    for feature, values in (("genre", catalogue.genres), ("director", catalogue.directors)):
        item, slot = np.nonzero(values >= 0)
        value = pl.Series(names[feature]).gather(values[item, slot])
        parts.append(pl.DataFrame({"item_id": item_ids[item], "feature": feature, "value": value}))
    return pl.concat(parts).sort("item_id", maintain_order=True)


def titles(catalogue: Catalogue, item_ids: np.ndarray) -> pl.DataFrame:
    """Titles such as "Drama 12" or "Drama 12, part 2", in the order of ids."""
    first_part = np.arange(len(item_ids)) - np.maximum(catalogue.part - 1, 0)
    table = pl.DataFrame({"item_id": item_ids, "genre": catalogue.genres[:, 0], "part": catalogue.part, "first": first_part})
    # Works of a genre are numbered by the id of their first part.
    works = pl.DataFrame({"first": np.arange(len(item_ids)), "work": item_ids}).filter(catalogue.part <= 1)
    number = pl.col("work").rank("dense").over("genre")
    ending = pl.when(pl.col("part") > 0).then(pl.format(", part {}", "part")).otherwise(pl.lit(""))
    genre = pl.col("genre").replace_strict(range(catalogue.n_genres), [genre_name(index) for index in range(catalogue.n_genres)])
    table = table.join(works, on="first", how="left", maintain_order="left")
    return table.select("item_id", title=pl.format("{} {}{}", genre, number, ending)).sort("item_id")
