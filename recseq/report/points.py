"""What a picture shows: a point a model, and the Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass

from recseq.errors import ConfigError
from recseq.options import did_you_mean
from recseq.report.direction import lower_is_better
from recseq.report.pivot import Folds, spread_text
from recseq.report.rows import Row, Spread, colour_of, metric_columns

SECONDS = ("fit_seconds", "recommend_seconds")


@dataclass(frozen=True)
class Point:
    """A model in the picture.

    Args:
        label: The model.
        group: What it is coloured by.
        x: Place across.
        y: Place up.
        on_front: No other model is at least as good in both and better in one.
        details: What the tooltip says: name and text of each number.
    """

    label: str
    group: str
    x: Spread
    y: Spread
    on_front: bool
    details: list[tuple[str, str]]


@dataclass(frozen=True)
class Picture:
    """All of a picture but its drawing.

    Args:
        x: Column across.
        y: Column up.
        color: What points are coloured by, as the config says it.
        points: The models.
        subtitle: Data, folds, seeds.
        compared: Whether all points come from the same folds; else there is no front.
    """

    x: str
    y: str
    color: str
    points: list[Point]
    subtitle: str
    compared: bool

    @property
    def title(self) -> str:
        """What is against what."""
        return f"{self.x} against {self.y}" + ("" if self.color == "model" else f", by {self.color}")

    @property
    def groups(self) -> dict[str, list[Point]]:
        """Points by colour, in order; by model every point is a group of its own."""
        found: dict[str, list[Point]] = {}
        for point in self.points:
            found.setdefault(point.group, []).append(point)
        return found

    @property
    def front(self) -> list[Point]:
        """The Pareto front, from left to right."""
        return sorted((point for point in self.points if point.on_front), key=lambda point: point.x.mean)

    def staircase(self) -> tuple[list[float], list[float]]:
        """The front as a line of level and upright pieces: on its one side lies what some model of the front is at least as good as."""
        xs: list[float] = []
        ys: list[float] = []
        up_first = lower_is_better(self.x)  # from left to right: high x good, the level piece is the right point's
        for point in self.front:
            if xs:
                xs.append(xs[-1] if not up_first else point.x.mean)
                ys.append(point.y.mean if not up_first else ys[-1])
            xs.append(point.x.mean)
            ys.append(point.y.mean)
        return xs, ys


def axis_label(column: str) -> str:
    """Column and which way is good."""
    return f"{column.replace('_seconds', ', seconds')} ({'lower' if lower_is_better(column) else 'higher'} is better)"


def pareto_front(points: Sequence[tuple[float, float]], lower_x: bool, lower_y: bool) -> list[bool]:
    """Which points no other dominates: at least as good in both, better in one. Equal points are on the front together.

    Args:
        points: Places.
        lower_x: Low x is good.
        lower_y: Low y is good.
    """
    good = [(-x if lower_x else x, -y if lower_y else y) for x, y in points]
    return [not any(other != point and other[0] >= point[0] and other[1] >= point[1] for other in good) for point in good]


def make_picture(rows: Sequence[Row], folds: Folds, axes: tuple[str, str], color: str, subtitle: str) -> Picture:
    """Place the rows that have both columns."""
    x, y = axes
    placed = [
        (row, here, there) for row in rows if (here := row.spread(x, folds)) is not None and (there := row.spread(y, folds)) is not None
    ]
    compared = len({row.split_hash for row in rows}) == 1
    front = pareto_front([(here.mean, there.mean) for _, here, there in placed], lower_is_better(x), lower_is_better(y))
    points = []
    for (row, here, there), on_front in zip(placed, front, strict=True):
        details = [(column, spread_text(row.spread(column, folds))) for column in [*metric_columns(rows), *SECONDS]]
        details += [("item net", row.item_net), ("seeds", ", ".join(str(run.seed) for run in row.runs))]
        points.append(Point(row.label, colour_of(row, color), here, there, on_front and compared, [pair for pair in details if pair[1]]))
    if any(point.x.std is not None or point.y.std is not None for point in points):
        subtitle += "; bars: standard deviation over seeds"
    return Picture(x, y, color, points, subtitle, compared)


def choose_axes(rows: Sequence[Row], folds: Folds, x: str, y: str, strict: bool) -> tuple[tuple[str, str], list[str]]:
    """The columns of the picture.

    Args:
        rows: The models.
        folds: Selected folds.
        x: Column asked for across.
        y: Column asked for up.
        strict: Refuse what is not there; else take the nearest thing and say so.

    Returns:
        The columns, and notes.

    Raises:
        ConfigError: A column that no row has, when strict.
    """
    there = [column for column in [*metric_columns(rows), *SECONDS] if any(row.spread(column, folds) for row in rows)]
    chosen: list[str] = []
    notes = []
    for name, wanted in (("x", x), ("y", y)):
        if wanted in there:
            chosen.append(wanted)
            continue
        if strict:
            raise ConfigError(f"report.{name} is {wanted!r}, which the runs do not have; {did_you_mean(wanted, there)}")
        same = [column for column in there if column.partition("@")[0] == wanted.partition("@")[0]]
        taken = (same[-1:] or [column for column in there if column not in (x, y, *chosen)] or there)[0]
        notes.append(f"report.{name} is {wanted}, which the runs do not have; the picture shows {taken} instead")
        chosen.append(taken)
    return (chosen[0], chosen[1]), notes
