"""Users of the simulated streaming service and what they watch when."""

import numpy as np
import polars as pl

from recseq.data.sources.simulated_catalogue import DAYS_A_WEEK, Catalogue, Shelves, most_views_a_user

SECONDS_A_DAY = 86_400

ACTIVITY_SPREAD = float(np.sqrt(2 * np.log(2)))
"""Log standard deviation of views a user: makes the mean of a log-normal twice its median, as KION's (mean 5.7, median 3)."""

STAY_DAYS = 25.0
"""Mean stay in days is this times the square root of the views: who watches more is there for longer."""
VIEWS_A_BURST = 4.0
"""Views come in bursts of a few days, so many on average."""
BURST_DAYS = 1.5
"""Mean distance in days of a view from the start of its burst."""
FAVOURITE_HOUR = 20.5
"""Hour with most views; they thin out towards both ends of the day (triangular)."""

FAVOURITES = 3
"""Favourite genres of a user, possibly the same one twice: few people like everything."""
FAVOURITE_EXPONENT = 0.5
"""Popularity of genres among users: flatter than among items, so small genres have their public."""
TREND = 0.3
"""Share of views that follow what everybody watches rather than a favourite genre."""
CONTINUE = 0.3
"""Probability that a view continues the franchise that the user is in, once the next part is out."""
SAME_DIRECTOR = 0.1
"""Probability that a view is another item by the director of the view before."""

TASTE_ROUNDS = 4
"""Items seen already are redrawn so often by taste; who is still without has seen what the own genres offer."""
REDRAW_ROUNDS = 12
"""Redraws in all, the later ones from the whole catalogue, before any unseen item will do."""


def simulate_views(
    rng: np.random.Generator, catalogue: Catalogue, *, n_users: int, n_views: int, n_days: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Let users watch.

    Args:
        rng: Source of chance.
        catalogue: What there is to watch.
        n_users: Number of users.
        n_views: Number of views.
        n_days: Length of the period in days.

    Returns:
        User, item and second since the start of each view, by user and time; (n_views,) each. No pair of user and item repeats.
    """
    n_own = views_a_user(rng, n_users, n_views, most_views_a_user(len(catalogue.part), n_days))
    user, second = view_times(rng, n_own, n_days)
    audience = Audience(rng, catalogue, user, second // (SECONDS_A_DAY * DAYS_A_WEEK), n_own)
    return user, audience.watch(), second


def views_a_user(rng: np.random.Generator, n_users: int, n_views: int, most: int) -> np.ndarray:
    """Log-normal numbers of views, at least one each where possible, at most `most`, descending, `n_views` in all; (n_users,)."""
    if n_views <= n_users:
        return (np.arange(n_users) < n_views).astype(np.int64)
    activity = np.sort(np.exp(ACTIVITY_SPREAD * rng.standard_normal(n_users)))[::-1]

    def scaled(scale: float) -> np.ndarray:
        return np.clip(np.rint(activity * scale), 1, most).astype(np.int64)

    low, high = 0.0, (most + 1) / activity[-1]
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if scaled(middle).sum() <= n_views else (low, middle)
    n_own = scaled(low)
    # What rounding left over is spread over random users with room.
    while (left := n_views - n_own.sum()) > 0:
        room = np.flatnonzero(n_own < most)
        n_own[rng.choice(room, size=min(left, len(room)), replace=False)] += 1
    return np.sort(n_own)[::-1]


def view_times(rng: np.random.Generator, n_own: np.ndarray, n_days: int) -> tuple[np.ndarray, np.ndarray]:
    """User and second of each view, by user and time.

    Args:
        rng: Source of chance.
        n_own: Views of each user; (n_users,).
        n_days: Length of the period in days.
    """
    n_users, n_views = len(n_own), int(n_own.sum())
    user = np.repeat(np.arange(n_users), n_own)
    joined = rng.uniform(0, n_days, n_users)
    stay = np.clip(rng.exponential(STAY_DAYS * np.sqrt(n_own)), 1, n_days)
    n_bursts = 1 + rng.poisson(n_own / VIEWS_A_BURST)
    burst_user = np.repeat(np.arange(n_users), n_bursts)
    # A stay that reaches past the end goes on at the beginning, as of someone who was away in between: so no week is fuller by design.
    burst_day = (joined[burst_user] + stay[burst_user] * rng.random(len(burst_user))) % n_days
    burst = (np.cumsum(n_bursts) - n_bursts)[user] + (rng.random(n_views) * n_bursts[user]).astype(np.int64)
    day = burst_day[burst] + rng.exponential(BURST_DAYS, n_views)
    # A burst that would run past the end is folded back.
    day = np.clip(np.where(day < n_days, day, 2 * n_days - day), 0, None)
    second = np.minimum(day.astype(np.int64), n_days - 1) * SECONDS_A_DAY
    second += (rng.triangular(0, FAVOURITE_HOUR / 24, 1, n_views) * (SECONDS_A_DAY - 1)).astype(np.int64)
    # One sort of one integer is far faster than a sort by two columns.
    span = n_days * SECONDS_A_DAY
    return user, np.sort(user * span + second) - user * span


class Audience:
    """Fills views with items.

    Args:
        rng: Source of chance.
        catalogue: What there is to watch.
        user: User of each view, views by user and time; (n_views,).
        week: Week of each view; (n_views,).
        n_own: Views of each user, descending; (n_users,).
    """

    def __init__(self, rng: np.random.Generator, catalogue: Catalogue, user: np.ndarray, week: np.ndarray, n_own: np.ndarray) -> None:
        self.rng = rng
        self.catalogue = catalogue
        self.user = user
        self.week = week
        self.n_own = n_own
        self.everything = catalogue.n_genres
        self.first_director = catalogue.n_genres + 1
        self.shelves = make_shelves(catalogue)
        n_users = len(n_own)
        liked = np.arange(1, catalogue.n_genres + 1) ** -FAVOURITE_EXPONENT
        # A Dirichlet process cut after a few sticks: each breaks a uniform share off what is left.
        self.favourites = rng.choice(catalogue.n_genres, size=(n_users, FAVOURITES), p=liked / liked.sum())
        left_over = np.cumprod(rng.random((n_users, FAVOURITES - 1)), axis=1)
        self.favourite_until = 1 - left_over

    def watch(self) -> np.ndarray:
        """Items of all views; (n_views,)."""
        item = self.by_taste(np.arange(len(self.user)))
        self.follow(item)
        self.replace_repeats(item)
        return item

    def by_taste(self, views: np.ndarray) -> np.ndarray:
        """Draw items for views from a favourite genre or from what is popular; (n,)."""
        user = self.user[views]
        pick = self.rng.random(len(views))
        slot = (pick[:, None] >= self.favourite_until[user]).sum(axis=1)
        shelf = np.where(self.rng.random(len(views)) < TREND, self.everything, self.favourites[user, slot])
        return self.from_shelf(views, shelf)

    def from_shelf(self, views: np.ndarray, shelf: np.ndarray) -> np.ndarray:
        """Draw items for views from shelves, from the whole catalogue where a shelf is empty this week; (n,)."""
        week = self.week[views]
        shelf = np.where(self.shelves.stocked[week, shelf], shelf, self.everything)
        return self.shelves.draw(week, shelf, self.rng.random(len(views)))

    def follow(self, item: np.ndarray) -> None:
        """Overwrite, view after view, what follows from the views before: next parts and items by the same director.

        Args:
            item: Items by taste, changed in place; (n_views,).
        """
        start = np.cumsum(self.n_own) - self.n_own
        next_part, release_week = self.catalogue.next_part, self.catalogue.release_week
        director = self.catalogue.directors[:, 0]
        pending = np.full(len(self.n_own), -1)
        chance = self.rng.random(len(item))
        # Users are sorted by number of views, so those with a view left are the first ones.
        n_active = np.searchsorted(-self.n_own, -np.arange(1, self.n_own[0] + 1), side="right")
        for nth, n_users in enumerate(n_active):
            views = start[:n_users] + nth
            if nth:
                waiting = pending[:n_users]
                goes_on = (chance[views] < CONTINUE) & (waiting >= 0)
                goes_on &= release_week[waiting] <= self.week[views]
                item[views[goes_on]] = waiting[goes_on]
                last_director = director[item[views - 1]]
                returns = np.flatnonzero((chance[views] >= 1 - SAME_DIRECTOR) & (last_director >= 0))
                item[views[returns]] = self.from_shelf(views[returns], self.first_director + last_director[returns])
            following = next_part[item[views]]
            pending[:n_users] = np.where(following >= 0, following, np.where(item[views] == pending[:n_users], -1, pending[:n_users]))

    def replace_repeats(self, item: np.ndarray) -> None:
        """Replace every item that its user has in an earlier view.

        Args:
            item: Items, changed in place; (n_views,).
        """
        n_items = len(self.catalogue.part)
        repeated = ~first_distinct(self.user * n_items + item)
        for attempt in range(REDRAW_ROUNDS + n_items):
            views = np.flatnonzero(repeated)
            if not len(views):
                return
            if attempt < TASTE_ROUNDS:
                drawn = self.by_taste(views)
            elif attempt < REDRAW_ROUNDS:
                drawn = self.from_shelf(views, np.full(len(views), self.everything))
            else:
                # Walks through all that is out. It ends: a user has fewer views than items are there at the start.
                if attempt == REDRAW_ROUNDS:
                    by_release = np.argsort(self.catalogue.release_week, kind="stable")
                    n_out = np.searchsorted(self.catalogue.release_week[by_release], self.week, side="right")
                    position = self.rng.integers(0, n_out)
                drawn = by_release[(position[views] + attempt) % n_out[views]]
            item[views] = drawn
            concerned = np.zeros(len(self.n_own), dtype=bool)
            concerned[self.user[views]] = True
            kept = np.flatnonzero(concerned[self.user] & ~repeated)
            order = np.append(kept, views)
            repeated[views] = ~first_distinct(self.user[order] * n_items + item[order])[len(kept) :]


def make_shelves(catalogue: Catalogue) -> Shelves:
    """One shelf for each genre, one for everything, one for each director."""
    n_items = len(catalogue.part)
    genre_item, slot = np.nonzero(catalogue.genres >= 0)
    genre = catalogue.genres[genre_item, slot]
    director_item, slot = np.nonzero(catalogue.directors >= 0)
    director = catalogue.directors[director_item, slot] + catalogue.n_genres + 1
    items = np.concatenate([genre_item, np.arange(n_items), director_item])
    shelves = np.concatenate([genre, np.full(n_items, catalogue.n_genres), director])
    return Shelves(items, shelves, catalogue.n_genres + 1 + catalogue.n_directors, catalogue.popularity)


def first_distinct(keys: np.ndarray) -> np.ndarray:
    """Whether each key is the first of its value."""
    return pl.Series(keys).is_first_distinct().to_numpy()
