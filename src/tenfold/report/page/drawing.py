"""A chart for a page: matplotlib draws it, Python says where a pointer finds which figure."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tenfold.report.canvas import BLUE, GREEN, INK, QUIET, WARM, style
from tenfold.report.page.svg import slim

WIDTH, HEIGHT = 360.0, 220.0  # points, which are about as many pixels on a page
MOST_POINTS = 400  # of one series: about one for each pixel
COLOURS = {"blue": BLUE, "warm": WARM, "green": GREEN, "ink": INK}
"""What a series may be drawn in, by the CSS variable that takes its place."""

_POINTS_PER_INCH = 72
_LEFT, _RIGHT, _BELOW, _ABOVE = 46.0, 12.0, 40.0, 10.0
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tenfold",
    "font.size": 12,
    "axes.spines.left": False,
    "axes.edgecolor": QUIET,
    "xtick.major.size": 0,
    "xtick.major.pad": 6,
    "axes.labelpad": 4,
    "lines.solid_capstyle": "round",
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@dataclass(frozen=True)
class Series:
    """What a pointer can find of one line or one set of dots.

    Args:
        name: of the series.
        colour: one of `COLOURS`.
        points: x and y in the coordinates of the SVG, and what to say there.
    """

    name: str
    colour: str
    points: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Chart:
    """A chart that a page holds; `templates/chart.html` writes it.

    Args:
        title: of a few words.
        svg: the drawing, with its description for screen readers.
        description: what there is to see, with the essential figures.
        series: what a pointer or the arrow keys find; several of them make a legend.
        legend: whether the series are few enough to be told apart by colour.
    """

    title: str
    svg: Markup
    description: str
    series: tuple[Series, ...]
    legend: bool = True

    @property
    def hover(self) -> list[dict[str, object]]:
        """The series as `charts.js` reads them."""
        return [vars(series) for series in self.series]


@contextmanager
def drawing(
    width: float = WIDTH, height: float = HEIGHT, *, left: float = _LEFT, below: float = _BELOW
) -> Iterator[Axes]:
    """Yields empty axes, for `finished` within the block.

    Args:
        width: in points.
        height: in points.
        left: room for the labels of the vertical axis, in points.
        below: room for those of the horizontal one, in points.
    """
    with matplotlib.rc_context({**style(), **_STYLE}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the page's own font may have it
        figure = Figure(figsize=(width / _POINTS_PER_INCH, height / _POINTS_PER_INCH), dpi=_POINTS_PER_INCH)
        FigureCanvasSVG(figure)
        place = (left / width, below / height, (width - left - _RIGHT) / width, (height - below - _ABOVE) / height)
        axes = figure.add_axes(place)
        for background in (figure.patch, axes.patch):
            background.set_visible(False)
        yield axes


def finished(axes: Axes, title: str, description: str, series: Sequence[Series], *, legend: bool = True) -> Chart:
    """Returns what was drawn as a chart."""
    buffer = io.StringIO()
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    width, height = figure.bbox.size
    return Chart(title, slim(buffer.getvalue(), width, height, description), description, tuple(series), legend)


def hover(axes: Axes, name: str, colour: str, x: Sequence[float], y: Sequence[float], texts: Sequence[str]) -> Series:
    """Returns where points of axes, whose limits are final, lie in the SVG.

    Args:
        axes: of `drawing`.
        name: of the series.
        colour: one of `COLOURS`.
        x: N of them, in the axes' units.
        y: N of them, in the axes' units.
        texts: N of them.

    Raises:
        ValueError: when there are more of one than of another.
    """
    axes.autoscale_view()  # which matplotlib puts off until it draws
    height = axes.figure.bbox.height
    places = axes.transData.transform(np.column_stack([x, y])) if len(x) else np.empty((0, 2))
    points = zip(places.tolist(), texts, strict=True)
    return Series(name, colour, tuple((round(across, 1), round(height - up, 1), text) for (across, up), text in points))


def thinned(values: Sequence[float], most: int = MOST_POINTS) -> list[int]:
    """Returns places of at most `most` values that draw the same line: both ends, lows and highs of each stretch.

    Args:
        values: of a line, in order.
        most: at least 4.

    Example:
        >>> thinned([0, 1, 9, 1, 1, 1, -5, 0, 1, 2], 6)
        [0, 1, 2, 5, 6, 9]
    """
    if len(values) <= most:
        return list(range(len(values)))
    edges = np.linspace(1, len(values) - 1, (most - 2) // 2 + 1).astype(int).tolist()
    kept = {0, len(values) - 1}
    for start, end in pairwise(edges):
        stretch = np.asarray(values[start:end])
        kept |= {start + int(stretch.argmin()), start + int(stretch.argmax())}
    return sorted(kept)
