"""Labels beside points that do not touch one another."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from tenfold.report.canvas import INK, PAPER
from tenfold.report.names import shortened

_SIZE = 7.5  # points
_LONGEST = 44  # signs
_GAP = 9.0  # pixels between a point and its label
_POINT = 7.0  # half the width of a point, in pixels

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top, in pixels


def place_labels(
    axes: Axes, labels: Mapping[Point, str], points: Sequence[Point], lines: Sequence[tuple[Point, Point]] = ()
) -> None:
    """Writes labels beside their points where there is room, the first ones first; the rest are left out.

    Args:
        axes: with limits and scales set.
        labels: by point, in data coordinates.
        points: all that labels must not hide.
        lines: upright or level ones, which labels avoid where they can: lower left and upper right end.
    """
    pixels = [_pixel(axes, point) for point in points]
    taken = [(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in pixels]
    crossed = [(*_pixel(axes, start), *_pixel(axes, end)) for start, end in lines]
    for point, label in labels.items():
        text = axes.text(*point, shortened(label, _LONGEST), size=_SIZE, color=INK, ha="center", va="center")
        text.set_path_effects([withStroke(linewidth=2.5, foreground=PAPER)])
        extent = text.get_window_extent()
        boxes = _candidates(*_pixel(axes, point), extent.width, extent.height)
        free = [box for box in boxes if _inside(axes, box) and not any(_touch(box, other) for other in taken)]
        if not free:
            text.remove()
            continue
        clear = [box for box in free if not any(_touch(box, line) for line in crossed)]
        box = (clear or free)[0]
        taken.append(box)
        x, y = axes.transData.inverted().transform(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        text.set_position((float(x), float(y)))


def _pixel(axes: Axes, point: Point) -> Point:
    x, y = axes.transData.transform(point)
    return float(x), float(y)


def _candidates(x: float, y: float, width: float, height: float) -> list[Box]:
    """Returns boxes at the right, at the left, above, below, and at the four corners."""
    right, left, middle = x + _GAP, x - _GAP - width, x - width / 2
    above, below, level = y + _GAP, y - _GAP - height, y - height / 2
    corners = [(right, level), (left, level), (middle, above), (middle, below)]
    corners += [(right, above), (right, below), (left, above), (left, below)]
    return [(a, b, a + width, b + height) for a, b in corners]


def _inside(axes: Axes, box: Box) -> bool:
    frame = axes.get_window_extent()
    return bool(frame.x0 <= box[0] and box[2] <= frame.x1 + 15 and frame.y0 <= box[1] and box[3] <= frame.y1 + 10)


def _touch(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
