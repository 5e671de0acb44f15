"""Charts for HTML pages: matplotlib axes turned into compact SVG, with the points that a pointer can find.

The SVG uses the fonts and colors of the page. It holds no ids, as two charts of one page must not clash: markers
become circles, and clip paths are dropped, since every chart is drawn within its axes.
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

from tenfold.report.plots.canvas import BLUE, DARK, GRAY, GREEN, GRID, ORANGE, WHITE, style

WIDTH, HEIGHT = 360.0, 220.0  # points, which are about as many pixels on a page
MAX_POINTS = 400  # of one series: about one per pixel
COLORS = {"blue": BLUE, "orange": ORANGE, "green": GREEN, "text": DARK, "muted": GRAY}
"""Colors of a series, by the CSS variable that replaces each."""

_CSS_VARIABLES = {color.lower(): name for name, color in {**COLORS, "background": WHITE, "grid": GRID}.items()}
_POINTS_PER_INCH = 72
_LEFT, _RIGHT, _BOTTOM, _TOP = 46.0, 12.0, 40.0, 10.0  # margins in points
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tenfold",
    "font.size": 12,
    "axes.spines.left": False,
    "axes.edgecolor": GRAY,
    "xtick.major.size": 0,
    "xtick.major.pad": 6,
    "axes.labelpad": 4,
    "lines.solid_capstyle": "round",
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))

_DROPPED_TAGS = {"metadata", "defs", "style", "clipPath"}
_KEPT_ATTRIBUTES = ("d", "x", "y", "transform")
_KEPT_STYLES = {
    *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "opacity"),
    *("font-weight", "text-anchor"),
}
_LINK = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_AROUND_COMMANDS = re.compile(r" ?([MLCQz]) ?")


@dataclass(frozen=True)
class Series:
    """The points of one line or one set of dots, for tooltips.

    Args:
        name: name of the series.
        color: key of `COLORS`.
        points: x and y in SVG coordinates, and the tooltip text of each point.
    """

    name: str
    color: str
    points: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Chart:
    """A chart of a page; `templates/chart.html` renders it.

    Args:
        title: a few words.
        svg: the SVG element; it holds the description for screen readers.
        description: summary of the chart with its main numbers.
        series: series with tooltips; two or more make a legend.
        legend: whether the series are few enough for colors to tell them apart.
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
def chart_axes(
    width: float = WIDTH, height: float = HEIGHT, *, left: float = _LEFT, bottom: float = _BOTTOM
) -> Iterator[Axes]:
    """Yields empty axes; call `finished_chart` within the block.

    Args:
        width: width of the chart in points.
        height: height of the chart in points.
        left: margin for the labels of the y axis, in points.
        bottom: margin for the labels of the x axis, in points.
    """
    with matplotlib.rc_context({**style(), **_STYLE}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the page's own font may have it
        figure = Figure(figsize=(width / _POINTS_PER_INCH, height / _POINTS_PER_INCH), dpi=_POINTS_PER_INCH)
        FigureCanvasSVG(figure)
        bounds = (left / width, bottom / height, (width - left - _RIGHT) / width, (height - bottom - _TOP) / height)
        axes = figure.add_axes(bounds)
        for background in (figure.patch, axes.patch):
            background.set_visible(False)
        yield axes


def hover_series(
    axes: Axes, name: str, color: str, x: Sequence[float], y: Sequence[float], texts: Sequence[str]
) -> Series:
    """Returns points with their tooltip texts, converted to SVG coordinates.

    Args:
        axes: axes of `chart_axes`, whose limits are final.
        name: name of the series.
        color: key of `COLORS`.
        x: N numbers, in data coordinates.
        y: N numbers, in data coordinates.
        texts: N tooltip texts.

    Raises:
        ValueError: when the lengths differ.
    """
    axes.autoscale_view()  # matplotlib delays it until it draws
    height = axes.figure.bbox.height
    points = axes.transData.transform(np.column_stack([x, y])).tolist() if len(x) else []
    located = zip(points, texts, strict=True)
    return Series(name, color, tuple((round(right, 1), round(height - up, 1), text) for (right, up), text in located))


def finished_chart(axes: Axes, title: str, description: str, series: Sequence[Series], *, legend: bool = True) -> Chart:
    """Returns the content of the axes as a chart."""
    buffer = io.StringIO()
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    width, height = figure.bbox.size
    svg = compact_svg(buffer.getvalue(), width, height, description)
    return Chart(title, svg, description, tuple(series), legend)


def thinned(values: Sequence[float], max_points: int = MAX_POINTS) -> list[int]:
    """Returns the indices of at most `max_points` values that draw the same line.

    The first and last value are kept, and the minimum and maximum of each section between them.

    Args:
        values: y values of a line, in order.
        max_points: at least 4.

    Example:
        >>> thinned([0, 1, 9, 1, 1, 1, -5, 0, 1, 2], 6)
        [0, 1, 2, 5, 6, 9]
    """
    if len(values) <= max_points:
        return list(range(len(values)))
    edges = np.linspace(1, len(values) - 1, (max_points - 2) // 2 + 1).astype(int).tolist()
    kept = {0, len(values) - 1}
    for start, end in pairwise(edges):
        section = np.asarray(values[start:end])
        kept |= {start + int(section.argmin()), start + int(section.argmax())}
    return sorted(kept)


def compact_svg(svg: str, width: float, height: float, description: str) -> Markup:
    """Returns an SVG element that scales to the width of its container.

    Args:
        svg: output of matplotlib's SVG backend with `svg.fonttype: none`; all its markers are round.
        width: width of the figure, in points.
        height: height of the figure, in points.
        description: text for screen readers.
    """
    root = ElementTree.fromstring(svg)
    shapes = {element.get("id"): element for element in root.iter() if element.get("id")}
    content = "".join(_markup(child, shapes) for child in root)
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" tabindex="0" aria-label="{escape(description)}">'
        f"{content}</svg>"
    )


def _markup(element: Element, shapes: Mapping[str | None, Element]) -> str:
    tag = element.tag.rpartition("}")[2]
    if tag in _DROPPED_TAGS:
        return ""
    if tag == "use":
        return _circle(element, shapes[element.get(_LINK, "")[1:]])
    content = escape((element.text or "").strip(), quote=False)
    content += "".join(_markup(child, shapes) for child in element)
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in _attributes(element))
    if tag == "g":
        return f"<g{attributes}>{content}</g>" if attributes and content else content
    return f"<{tag}{attributes}>{content}</{tag}>" if content else f"<{tag}{attributes}/>"


def _attributes(element: Element) -> Iterator[tuple[str, str]]:
    for name in _KEPT_ATTRIBUTES:
        value = element.get(name)
        if value is not None and not value.startswith("rotate(-0 "):
            yield name, _rounded(value)
    yield from _style_attributes(element)


def _style_attributes(element: Element) -> Iterator[tuple[str, str]]:
    """Yields the declarations of `style` as attributes, with the CSS variables of the page for colors."""
    for declaration in element.get("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name in _KEPT_STYLES:
            variable = _CSS_VARIABLES.get(value.lower())
            yield name, f"var(--{variable})" if variable else _rounded(value)


def _circle(use: Element, shape: Element) -> str:
    """Returns the circle of a round marker, whose outline starts at its lowest point; ticks have no curve and go."""
    outline = shape.get("d", "")
    if "C" not in outline:
        return ""
    geometry = {"cx": use.get("x", "0"), "cy": use.get("y", "0"), "r": outline.split()[2]}
    attributes = {**{name: _rounded(value) for name, value in geometry.items()}, **dict(_style_attributes(use))}
    return "<circle" + "".join(f' {name}="{escape(value)}"' for name, value in attributes.items()) + "/>"


def _rounded(text: str) -> str:
    """Returns a path or number with one decimal, which is finer than a pixel, and without redundant spaces."""
    short = _NUMBER.sub(lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), text)
    return _AROUND_COMMANDS.sub(r"\1", " ".join(short.split()))
