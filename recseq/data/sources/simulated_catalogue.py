"""Items of the simulated streaming service: genres, directors, releases, franchises, popularity week by week."""

from dataclasses import dataclass

import numpy as np

DAYS_A_WEEK = 7
"""The catalogue and its popularity change once a week, as release days do."""

NEW_SHARE = 0.15
"""Share of the catalogue that comes out during the period: about as much as a service adds in half a year."""
MEAN_AGE = 900.0
"""Mean age in days of what is there at the start: most of a catalogue is years old."""
LAUNCH_BOOST = 4.0
"""A fresh release draws five times its later audience."""
LAUNCH_DECAY = 21.0
"""Days in which the boost falls to 1/e: charts turn over within a month."""

APPEAL_EXPONENT = 1.0
"""Zipf's law in its classical form."""
APPEAL_OFFSET = 2.0
"""Flattens the very top (Zipf-Mandelbrot), so that no single item takes a tenth of all views; KION's first takes 4 %."""
DRIFT_MEMORY = 0.9
"""Share of an item's log popularity deviation that is left after a week: fashions last some months."""
DRIFT_STEP = 0.25
"""Standard deviation of the weekly change in log popularity; in the long run an item is up or down by a factor of 1.8."""

GENRE_EXPONENT = 0.8
"""A few genres hold most of a catalogue."""
GENRES_AN_ITEM = (0.4, 0.4, 0.2)
"""Probability of one, two and three genres."""

DIRECTORS_AN_ITEM = (0.1, 0.75, 0.15)
"""Probability of no, one and two directors: some records lack it, some films have two."""
PRODUCTIVITY_SPREAD = 1.0
"""Log standard deviation of how much directors make: many made one film, a few made dozens."""
DIRECTOR_LOYALTY = 0.8
"""Share of items whose director is one of the item's main genre."""
DIRECTOR_QUALITY = 0.4
"""Log standard deviation of the appeal that a director lends to an item."""

FRANCHISE_SHARE = 0.15
"""Share of items that are part of a franchise."""
FRANCHISE_PARTS = (0.5, 0.3, 0.15, 0.05)
"""Probability of a franchise of two, three, four and five parts."""
LATER_PART_APPEAL = 0.4
"""Appeal of a later part, as a share of the first one's, to people who do not come from the part before."""


@dataclass(frozen=True)
class Catalogue:
    """Items 0 .. n-1; parts of a franchise are neighbours in order.

    Args:
        genres: Genres of each item, the main one first, -1 for none; (n_items, 3).
        directors: Directors of each item, -1 for none; (n_items, 2).
        part: 1, 2, ... in a franchise, 0 outside; (n_items,).
        release_week: Week from which an item can be watched, 0 for what is there at the start; (n_items,).
        popularity: Weight of each item in each week, 0 before its release; (n_weeks, n_items).
        n_genres: Number of genres.
        n_directors: Number of directors.
    """

    genres: np.ndarray
    directors: np.ndarray
    part: np.ndarray
    release_week: np.ndarray
    popularity: np.ndarray
    n_genres: int
    n_directors: int

    @property
    def next_part(self) -> np.ndarray:
        """The item that continues each item, -1 for none; (n_items,)."""
        following = np.append(self.part[1:], 0)
        return np.where(following > 1, np.arange(1, len(self.part) + 1), -1)


class Shelves:
    """Groups of items from which one is drawn by this week's popularity.

    Item, week and shelf are looked up in one sorted array: the entry of an item is the number of its (week, shelf) plus the share of
    that shelf's popularity up to and with the item. A draw is one binary search for the number plus a uniform u.

    Args:
        items: Items, one entry for each shelf an item is on; (n_entries,).
        shelves: Shelf of each entry; (n_entries,).
        n_shelves: Number of shelves; some may be empty.
        popularity: Weight of each item in each week; (n_weeks, n_items).
    """

    def __init__(self, items: np.ndarray, shelves: np.ndarray, n_shelves: int, popularity: np.ndarray) -> None:
        order = np.argsort(shelves, kind="stable")
        self.items = items[order]
        self.n_shelves = n_shelves
        shelves = shelves[order]
        n_weeks = len(popularity)
        before = np.searchsorted(shelves, np.arange(n_shelves + 1))
        running = np.zeros((n_weeks, len(items) + 1))
        np.cumsum(popularity[:, self.items], axis=1, out=running[:, 1:])
        start, total = running[:, before[:-1]], np.diff(running[:, before], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = (running[:, 1:] - start[:, shelves]) / total[:, shelves]
        # Rounding must not leave a gap below the next shelf.
        last = np.append(shelves[1:] != shelves[:-1], True)
        share = np.where(last | ~(share < 1), 1.0, share)
        self.stocked = total > 0
        self.entries = (np.arange(n_weeks)[:, None] * n_shelves + shelves + share).ravel()

    def draw(self, week: np.ndarray, shelf: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Draw one item per row.

        Args:
            week: Week of each row; (n,).
            shelf: Shelf of each row, stocked in that week; (n,).
            uniform: Random numbers in [0, 1); (n,).

        Returns:
            Items; (n,).
        """
        # A u next to 1 would round up to the next shelf.
        wanted = week * self.n_shelves + shelf + uniform * (1 - 1e-9)
        return self.items[np.searchsorted(self.entries, wanted, side="right") % len(self.items)]


def n_new_items(n_items: int, n_days: int) -> int:
    """Number of items that come out during the period."""
    return int(n_items * NEW_SHARE) if n_days > DAYS_A_WEEK else 0


def most_views_a_user(n_items: int, n_days: int) -> int:
    """Most items that one user may watch: half of what is there at the start, so that there is always something left."""
    return max(1, (n_items - n_new_items(n_items, n_days)) // 2)


def make_catalogue(rng: np.random.Generator, *, n_items: int, n_genres: int, n_directors: int, n_days: int) -> Catalogue:
    """Make the items.

    Args:
        rng: Source of chance.
        n_items: Number of items.
        n_genres: Number of genres.
        n_directors: Number of directors.
        n_days: Length of the period in days.
    """
    n_weeks = -(-n_days // DAYS_A_WEEK)
    part = make_parts(rng, n_items)
    first_part = np.arange(n_items) - np.maximum(part - 1, 0)

    genre_weight = np.arange(1, n_genres + 1) ** -GENRE_EXPONENT
    genre_weight /= genre_weight.sum()
    # The largest of log weight + Gumbel noise are a weighted draw without replacement.
    n_most = min(len(GENRES_AN_ITEM), n_genres)
    genres = np.argsort(-(np.log(genre_weight) + rng.gumbel(size=(n_items, n_genres))), axis=1)[:, :n_most]
    n_own = rng.choice(len(GENRES_AN_ITEM), size=n_items, p=GENRES_AN_ITEM) + 1
    genres = np.where(np.arange(n_most) < n_own[:, None], genres, -1)[first_part]

    directors = make_directors(rng, genres[:, 0], genre_weight, n_directors)[first_part]
    quality = np.exp(DIRECTOR_QUALITY * rng.standard_normal(n_directors))
    appeal = (rng.permutation(n_items) + 1 + APPEAL_OFFSET) ** -APPEAL_EXPONENT
    appeal = appeal[first_part] * np.where(part > 1, LATER_PART_APPEAL, 1.0)
    appeal *= np.where(directors[:, 0] >= 0, quality[directors[:, 0]], 1.0)

    release_day = make_releases(rng, part, n_days, n_weeks)
    release_week = np.maximum(release_day, 0).astype(np.int64) // DAYS_A_WEEK
    weeks = np.arange(n_weeks)
    age = weeks[:, None] * DAYS_A_WEEK - release_day
    launch = 1 + LAUNCH_BOOST * np.exp(-np.maximum(age, 0) / LAUNCH_DECAY)
    drift = np.empty((n_weeks, n_items))
    drift[0] = rng.standard_normal(n_items) * DRIFT_STEP / np.sqrt(1 - DRIFT_MEMORY**2)
    for week in weeks[1:]:
        drift[week] = DRIFT_MEMORY * drift[week - 1] + DRIFT_STEP * rng.standard_normal(n_items)
    popularity = np.where(weeks[:, None] >= release_week, appeal * launch * np.exp(drift), 0.0)
    return Catalogue(genres, directors, part, release_week, popularity, n_genres, n_directors)


def make_parts(rng: np.random.Generator, n_items: int) -> np.ndarray:
    """Part numbers: franchises lie at the front, 1, 2, 1, 2, 3, ..., then zeros; (n_items,)."""
    n_parts = int(n_items * FRANCHISE_SHARE)
    sizes = 2 + rng.choice(len(FRANCHISE_PARTS), size=n_parts, p=FRANCHISE_PARTS)
    sizes = sizes[np.cumsum(sizes) <= n_parts]
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    part = np.zeros(n_items, dtype=np.int64)
    part[: len(starts)] = np.arange(len(starts)) - starts + 1
    return part


def make_directors(rng: np.random.Generator, main_genre: np.ndarray, genre_weight: np.ndarray, n_directors: int) -> np.ndarray:
    """Directors of items, -1 for none; (n_items, 2)."""
    n_items, n_genres = len(main_genre), len(genre_weight)
    home = rng.choice(n_genres, size=n_directors, p=genre_weight)
    productivity = np.exp(PRODUCTIVITY_SPREAD * rng.standard_normal(n_directors))
    everyone = np.arange(n_directors)
    # Shelf g holds the directors at home in genre g, the last one all.
    shelves = Shelves(np.tile(everyone, 2), np.append(home, np.full(n_directors, n_genres)), n_genres + 1, productivity[None])
    n_own = rng.choice(len(DIRECTORS_AN_ITEM), size=n_items, p=DIRECTORS_AN_ITEM)
    columns = []
    for _ in range(2):
        loyal = (rng.random(n_items) < DIRECTOR_LOYALTY) & shelves.stocked[0, main_genre]
        shelf = np.where(loyal, main_genre, n_genres)
        columns.append(shelves.draw(np.zeros(n_items, dtype=np.int64), shelf, rng.random(n_items)))
    directors = np.stack(columns, axis=1)
    directors[:, 1] = np.where(directors[:, 1] == directors[:, 0], -1, directors[:, 1])
    return np.where(np.arange(2) < n_own[:, None], directors, -1)


def make_releases(rng: np.random.Generator, part: np.ndarray, n_days: int, n_weeks: int) -> np.ndarray:
    """Release days, negative before the period, else the first day of a week; parts of a franchise in order; (n_items,)."""
    n_items = len(part)
    day = -rng.exponential(MEAN_AGE, n_items) - 1
    new = rng.permutation(n_items)[: n_new_items(n_items, n_days)]
    day[new] = DAYS_A_WEEK * rng.integers(1, max(n_weeks, 2), len(new))
    # A work is a franchise or a single item; sorting by work, then day, leaves works where they are and orders their parts.
    work = np.cumsum(part <= 1)
    return day[np.lexsort((day, work))]
