"""Signed distance functions of the ten shapes.

Each takes coordinates x and y, [B, S, S], and a variation, [B, 1, 1] in [0, 1), that sets its proportions. The center
is at 0 and the tips are at about 1; x points to the right and y down. Each returns the distance to the outline,
[B, S, S]: 0 on it, negative inside.

Only additions, multiplications, divisions, square roots and comparisons are used. IEEE 754 defines their rounding, but
not that of sines, so a seed gives the same images on every machine.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Outline = Callable[[Array, Array, Array], Array]
Lines = tuple[tuple[float, float, float], ...]


def _union(first: Array, second: Array) -> Array:
    union: Array = np.minimum(first, second)
    return union


def _intersection(first: Array, second: Array) -> Array:
    intersection: Array = np.maximum(first, second)
    return intersection


def _radius(x: Array, y: Array) -> Array:
    radius: Array = np.sqrt(x * x + y * y)
    return radius


def _within(x: Array, y: Array, lines: Lines) -> Array:
    """Returns the distance to the convex region where a·x + b·y ≤ c for each line (a, b, c)."""
    a, b, c = lines[0]
    distance: Array = a * x + b * y - c
    for a, b, c in lines[1:]:
        distance = _intersection(distance, a * x + b * y - c)
    return distance


def _arrow(x: Array, y: Array, variation: Array) -> Array:
    y = np.abs(y)
    head = _intersection(-x, 0.6 * x + 0.8 * y - 0.6)
    shaft = _intersection(np.abs(x + 0.45) - 0.55, y - (0.16 + 0.12 * variation))
    return _union(head, shaft)


_BOLT: Lines = ((-0.7162, 0.6980, 0.3757), (0.9860, -0.1671, 0.2766), (0.0, -1.0, 0.18))


def _bolt(x: Array, y: Array, variation: Array) -> Array:
    x = x * (0.9 + 0.25 * variation)
    return _union(_within(x, y, _BOLT), _within(-x, -y, _BOLT))


def _circle(x: Array, y: Array, variation: Array) -> Array:
    return _radius(x, y) - (0.8 + 0.1 * variation)


def _crescent(x: Array, y: Array, variation: Array) -> Array:
    return _intersection(_radius(x, y) - 0.95, 0.8 - _radius(x - (0.4 + 0.2 * variation), y))


def _cross(x: Array, y: Array, variation: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return _intersection(_intersection(x, y) - 0.92, _union(x, y) - (0.2 + 0.12 * variation))


def _heart(x: Array, y: Array, variation: Array) -> Array:
    x, y = np.abs(x) * (0.95 + 0.15 * variation), y - 0.08
    tip = (x + np.abs(y) - 0.8) * 0.7071
    return _union(tip, _radius(x - 0.4, y + 0.4) - 0.5657)


def _ring(x: Array, y: Array, variation: Array) -> Array:
    width = 0.14 + 0.1 * variation
    distance: Array = np.abs(_radius(x, y) - (0.95 - width)) - width
    return distance


def _square(x: Array, y: Array, variation: Array) -> Array:
    return _intersection(np.abs(x), np.abs(y)) - (0.68 + 0.08 * variation)


_STAR = ((0.0, 1.0), (0.9511, 0.3090), (0.5878, -0.8090), (-0.5878, -0.8090), (-0.9511, 0.3090))


def _star(x: Array, y: Array, variation: Array) -> Array:
    # A point inside a pentagram is outside at most one of five half-planes: the second largest distance decides.
    largest = np.full_like(x, -4)
    second = np.full_like(x, -4)
    for a, b in _STAR:
        distance = a * x + b * y
        second = _intersection(second, _union(largest, distance))
        largest = _intersection(largest, distance)
    return second - (0.31 + 0.06 * variation)


def _triangle(x: Array, y: Array, variation: Array) -> Array:
    return _within(x * (0.9 + 0.25 * variation), y, ((0.0, 1.0, 0.55), (0.8660, -0.5, 0.5), (-0.8660, -0.5, 0.5)))


OUTLINES: dict[str, Outline] = {
    "arrow": _arrow,
    "bolt": _bolt,
    "circle": _circle,
    "crescent": _crescent,
    "cross": _cross,
    "heart": _heart,
    "ring": _ring,
    "square": _square,
    "star": _star,
    "triangle": _triangle,
}
