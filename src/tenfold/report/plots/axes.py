"""Axes, headings and labels that the charts of a sweep share. Lengths are in inches, text in points."""

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from tenfold.report.outcomes import value_text
from tenfold.report.plots.canvas import INK, QUIET

SIGN = 0.6 / 72  # width of a letter, per point of its size
_SIZE = 9.0
_NARROWEST_SPAN = 0.02  # of an accuracy axis, so that tiny differences do not look large
_DECADES = 100.0
_SMALLEST = 1e-12  # that a logarithmic axis begins with


def heading(figure: Figure, title: str, subtitle: str, left: float) -> None:
    """Writes a title and a quieter line below it at the top of a figure."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - 0.3 / height, title, weight="bold", size=10)
    figure.text(left / width, 1 - 0.52 / height, subtitle, color=QUIET, size=8)


def panel(figure: Figure, left: float, below: float, right: float, above: float) -> Axes:
    """Returns axes with these margins."""
    width, height = figure.get_size_inches()
    box = (left / width, below / height, (width - left - right) / width, (height - below - above) / height)
    return figure.add_axes(box)


def caption(axes: Axes, text: str) -> None:
    """Writes above axes what part of the scale they show."""
    axes.set_title(text, size=8, weight="normal", color=QUIET, pad=6)


def nothing_measured(axes: Axes) -> None:
    """Says on empty axes that there is nothing to see yet."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.text(0.5, 0.5, "no trial has finished", ha="center", va="center", color=QUIET, transform=axes.transAxes)


def accuracy_limits(shares: Sequence[float]) -> tuple[float, float]:
    """Returns ends of an accuracy axis that shows all shares with some room, at least two points apart."""
    low, high = min(shares), max(shares)
    room = max(0.1 * (high - low), (_NARROWEST_SPAN - (high - low)) / 2)
    return max(-0.01, low - room), min(1.01, high + room)


def accuracy_ticks(axes: Axes, *, upright: bool, most: int | None = 6) -> None:
    """Marks an accuracy axis in percent, with a grid and at most so many ticks; None leaves the ticks as they are."""
    axis = axes.yaxis if upright else axes.xaxis
    if most is not None:
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{round(share * 100, 6):g} %"))
    axes.grid(axis="y" if upright else "x")


def suits_logarithm(values: Sequence[float], *, asked_for: bool = False) -> bool:
    """Returns whether numbers suit a logarithmic axis: positive, and over two decades or growing by factors.

    Args:
        values: to be shown.
        asked_for: whether to use one whenever all values are positive.

    Example:
        >>> suits_logarithm([1e-4, 1e-1]), suits_logarithm([16, 32, 64, 128]), suits_logarithm([30, 50, 70])
        (True, True, False)
    """
    ordered = sorted(set(values))
    if len(ordered) < 2 or ordered[0] < _SMALLEST:
        return False
    if asked_for or ordered[-1] / ordered[0] >= _DECADES:
        return True
    ratios = [b / a for a, b in pairwise(ordered)]
    return len(ordered) > 3 and max(ratios) <= 1.3 * min(ratios) and min(ratios) > 1.5


def number_axis(
    axes: Axes, values: Sequence[float], *, logarithmic: bool, inches: float, marked: bool, upright: bool = False
) -> None:
    """Sets up an axis of numbers.

    Args:
        axes: to set up.
        values: to be shown, at least one.
        logarithmic: whether to use a logarithmic scale.
        inches: length of the axis.
        marked: whether to put the ticks at the values themselves, as many as have room.
        upright: whether it is the vertical one.
    """
    axis = axes.yaxis if upright else axes.xaxis
    ordered = sorted(set(values))
    low, high = _widened(ordered[0], ordered[-1], logarithmic)
    if logarithmic:
        (axes.set_yscale if upright else axes.set_xscale)("log")
    (axes.set_ylim if upright else axes.set_xlim)(low, high)
    ticks = ordered if marked else _round_numbers(low, high, logarithmic)
    ticks = [tick for tick in ticks if low <= tick <= high]
    span = math.log(high / low) if logarithmic else high - low
    offsets = [(math.log(tick / low) if logarithmic else tick - low) / span * inches for tick in ticks]
    kept = [ticks[place] for place in _apart(offsets, ["" if upright else compact(tick) for tick in ticks])]
    axis.set_major_locator(FixedLocator(kept))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))


def compact(value: float) -> str:
    """Returns a number in few signs, thousands and millions by letter.

    Example:
        >>> [compact(value) for value in (90.0, 0.0015, 62_006, 1.25e6, 0.00001)]
        ['90', '0.0015', '62k', '1.25M', '1e-5']
    """
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if unit <= abs(value) < 1e12:
            return f"{value / (1e3 if letter == 'k' else unit):.3g}{letter}"
    return value_text(float(value))


def legend_room(labels: Sequence[str]) -> float:
    """Returns the width of a legend at the right of the axes, 0.2 for none."""
    return 0.55 + max(map(len, labels)) * 8 * SIGN if labels else 0.2


def legend_beside(axes: Axes, marks: Sequence[Artist], labels: Sequence[str], title: str | None = None) -> None:
    """Puts a legend at the right of the axes."""
    legend = axes.legend(
        marks,
        labels,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        borderaxespad=0,
        fontsize=8,
        labelcolor=INK,
        handlelength=1.2,
        title=title,
        title_fontsize=8,
        alignment="left",
    )
    legend.get_title().set_color(QUIET)


def _widened(low: float, high: float, logarithmic: bool) -> tuple[float, float]:
    """Returns limits with room at both sides, also around a single value."""
    if logarithmic:
        factor = (high / low) ** 0.06 if high > low else 2.0
        return low / factor, high * factor
    room = 0.06 * (high - low) or max(abs(low) * 0.5, 0.5)
    return low - room, high + room


def _round_numbers(low: float, high: float, logarithmic: bool) -> list[float]:
    """Returns round numbers between two; on a logarithmic axis powers of ten, and their double and half if few."""
    if not logarithmic:
        return list(MaxNLocator(6).tick_values(low, high))
    digits = (1, 2, 5) if high / low < _DECADES else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [digit * 10.0**power for power in powers for digit in digits]


def _apart(offsets: Sequence[float], labels: Sequence[str]) -> list[int]:
    """Returns places of labels that can be written side by side without touching."""
    kept: list[int] = []
    for place, (offset, label) in enumerate(zip(offsets, labels, strict=True)):
        half = (len(label) + 1) * _SIZE * SIGN / 2
        if not kept or offset - half > offsets[kept[-1]] + (len(labels[kept[-1]]) + 1) * _SIZE * SIGN / 2:
            kept.append(place)
    return kept
