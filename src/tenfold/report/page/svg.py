"""Matplotlib's SVG made fit for a page: small, in the page's own letters and colours, without ids.

What a page holds twice must not clash, so nothing is referred to: marks become circles where they stand, and
clip paths go, since every chart is drawn within its axes.
"""

import re
from collections.abc import Iterator, Mapping
from html import escape
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markupsafe import Markup

from tenfold.report.canvas import BLUE, GREEN, GRID, INK, PAPER, QUIET, WARM

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
