"""Matplotlib's SVG made fit for a page: small, in the page's own letters and colours, without ids.

What a page holds twice must not clash, so nothing is referred to: marks become circles where they stand, and
clip paths go, since every chart is drawn within its axes.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tenfold.report.plots.canvas import BLUE, GREEN, GRID, INK, PAPER, QUIET, WARM, style

VARIABLES = {
    colour.lower(): name
    for colour, name in (
        *((PAPER, "paper"), (INK, "ink"), (QUIET, "quiet"), (GRID, "grid")),
        *((BLUE, "blue"), (WARM, "warm"), (GREEN, "green")),
    )
}
"""The page's CSS variable for each colour of a drawing."""

_DROPPED = {"metadata", "defs", "style", "clipPath"}
_KEPT = ("d", "x", "y", "transform")
_PROPERTIES = {
    *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "opacity"),
    *("font-weight", "text-anchor"),
}
_LINK = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_AROUND_COMMANDS = re.compile(r" ?([MLCQz]) ?")


def slim(svg: str, width: float, height: float, description: str) -> Markup:
    """Returns an SVG element that takes the width it is given.

    Args:
        svg: as matplotlib's SVG backend writes it with `svg.fonttype: none`; its marks are round.
        width: of the drawing, in points.
        height: of the drawing, in points.
        description: what a screen reader says in its place.
    """
    root = ElementTree.fromstring(svg)
    shapes = {element.get("id"): element for element in root.iter() if element.get("id")}
    content = "".join(_written(child, shapes) for child in root)
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" tabindex="0" aria-label="{escape(description)}">'
        f"{content}</svg>"
    )


def _written(element: Element, shapes: Mapping[str | None, Element]) -> str:
    tag = element.tag.rpartition("}")[2]
    if tag in _DROPPED:
        return ""
    if tag == "use":
        return _dot(element, shapes[element.get(_LINK, "")[1:]])
    inside = escape((element.text or "").strip(), quote=False)
    inside += "".join(_written(child, shapes) for child in element)
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in _attributes(element))
    if tag == "g":
        return f"<g{attributes}>{inside}</g>" if attributes and inside else inside
    return f"<{tag}{attributes}>{inside}</{tag}>" if inside else f"<{tag}{attributes}/>"


def _attributes(element: Element) -> Iterator[tuple[str, str]]:
    for name in _KEPT:
        value = element.get(name)
        if value is not None and not value.startswith("rotate(-0 "):
            yield name, _rounded(value)
    yield from _styled(element)


def _styled(element: Element) -> Iterator[tuple[str, str]]:
    """Yields what `style` says as attributes, with the page's colours in the place of the drawing's."""
    for entry in element.get("style", "").split(";"):
        name, _, value = (part.strip() for part in entry.partition(":"))
        if name in _PROPERTIES:
            variable = VARIABLES.get(value.lower())
            yield name, f"var(--{variable})" if variable else _rounded(value)


def _dot(use: Element, shape: Element) -> str:
    """Returns the circle of a round mark, whose outline starts at its lowest point; ticks have no curve and go."""
    outline = shape.get("d", "")
    if "C" not in outline:
        return ""
    place = {"cx": use.get("x", "0"), "cy": use.get("y", "0"), "r": outline.split()[2]}
    attributes = {**{name: _rounded(value) for name, value in place.items()}, **dict(_styled(use))}
    return "<circle" + "".join(f' {name}="{escape(value)}"' for name, value in attributes.items()) + "/>"


def _rounded(text: str) -> str:
    """Returns a path or a number with one decimal, less than a pixel of a screen, and without needless blanks."""
    short = _NUMBER.sub(lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), text)
    return _AROUND_COMMANDS.sub(r"\1", " ".join(short.split()))


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
