"""Numbers beside the points of a picture, placed so that none lies on a point or on another number."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

FONT = 7.5  # points, as all lengths here
CLEAR_OF_POINT = 6.0  # half the side of the square that a marker takes
RADII = (11.0, 16.0, 22.0, 29.0, 37.0, 46.0, 56.0)
ANGLES = tuple(math.pi / 8 * i for i in (1, 15, 7, 9, 3, 13, 5, 11, 0, 8, 4, 12, 2, 14, 6, 10))

Box = tuple[float, float, float, float]  # left, bottom, right, top


def number_points(axes: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Write a text beside each point, with a thin line to it where it lies farther off.

    Args:
        axes: With its limits final.
        points: Text and data coordinates.
    """
    scale = 72 / axes.figure.dpi
    places = [(float(x) * scale, float(y) * scale) for x, y in axes.transData.transform([(x, y) for _, x, y in points])]
    frame = axes.get_window_extent()
    inside = (frame.x0 * scale, frame.y0 * scale, frame.x1 * scale, frame.y1 * scale)
    taken = [_box(x, y, CLEAR_OF_POINT, CLEAR_OF_POINT) for x, y in places]
    for (text, x, y), place in zip(points, places, strict=True):
        half = (0.32 * FONT * len(text), 0.45 * FONT)
        dx, dy = find_place(place, half, taken, inside)
        middle = (place[0] + dx, place[1] + dy)
        taken.append(_box(*middle, *half))
        strange = math.dist(middle, place) > min(math.dist(middle, other) for other in places)  # nearer to another point
        line = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            text,
            (x, y),
            (dx, dy),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=FONT,
            color="#333333",
            arrowprops=line if strange or math.hypot(dx, dy) > RADII[0] + 0.01 else None,
            zorder=4,
        )


def find_place(point: tuple[float, float], half: tuple[float, float], taken: Sequence[Box], inside: Box) -> tuple[float, float]:
    """Offset of a text's middle from its point: the nearest free place, else the place that covers least.

    Args:
        point: Where the point is.
        half: Half width and half height of the text.
        taken: What must not be covered.
        inside: What must not be left.
    """
    best, least = (RADII[0], 0.0), math.inf
    for radius in RADII:
        for angle in ANGLES:
            dx, dy = radius * math.cos(angle), radius * math.sin(angle)
            box = _box(point[0] + dx, point[1] + dy, *half)
            outside = box[0] < inside[0] or box[1] < inside[1] or box[2] > inside[2] or box[3] > inside[3]
            covered = sum(overlap(box, other) for other in taken) + (1e6 if outside else 0)
            if covered == 0:
                return dx, dy
            if covered < least:
                best, least = (dx, dy), covered
    return best


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _box(x: float, y: float, half_width: float, half_height: float) -> Box:
    return x - half_width, y - half_height, x + half_width, y + half_height
