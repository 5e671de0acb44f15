"""Titles, axes, tick labels and legends that several charts share. Lengths are in inches, font sizes in points."""

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from tenfold.report.plots.canvas import DARK, GRAY
from tenfold.report.study import value_text

CHARACTER = 0.6 / 72
"""Width of a character in inches, per point of font size."""

_TICK_FONT_SIZE = 9.0
_MIN_ACCURACY_SPAN = 0.02  # so that tiny differences do not look large
_MIN_LOG_RATIO = 100.0
_MIN_LOG_VALUE = 1e-12


def add_title(figure: Figure, title: str, subtitle: str, left: float) -> None:
    """Writes a bold title and a gray line below it at the top of a figure."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - 0.3 / height, title, weight="bold", size=10)
    figure.text(left / width, 1 - 0.52 / height, subtitle, color=GRAY, size=8)


def add_panel(figure: Figure, left: float, bottom: float, right: float, top: float) -> Axes:
    """Returns new axes with these margins."""
    width, height = figure.get_size_inches()
    box = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    return figure.add_axes(box)


def set_panel_title(axes: Axes, text: str) -> None:
    """Writes a small gray title above axes."""
    axes.set_title(text, size=8, weight="normal", color=GRAY, pad=6)


def show_no_results(axes: Axes) -> None:
    """Writes on empty axes that no trial is finished."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.text(0.5, 0.5, "no finished trial", ha="center", va="center", color=GRAY, transform=axes.transAxes)


def accuracy_limits(accuracies: Sequence[float]) -> tuple[float, float]:
    """Returns axis limits that show all accuracies with a margin, at least two points apart."""
    low, high = min(accuracies), max(accuracies)
    margin = max(0.1 * (high - low), (_MIN_ACCURACY_SPAN - (high - low)) / 2)
    return max(-0.01, low - margin), min(1.01, high + margin)


def percent_tick(value: float, _: object) -> str:
    """Formats a fraction as a percentage, for `FuncFormatter`."""
    return f"{round(value * 100, 6):g} %"


def set_accuracy_axis(axes: Axes, *, vertical: bool, max_ticks: int | None = 6) -> None:
    """Labels an accuracy axis in percent and draws its grid; `max_ticks=None` keeps the ticks as they are."""
    axis = axes.yaxis if vertical else axes.xaxis
    if max_ticks is not None:
        axis.set_major_locator(MaxNLocator(max_ticks, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(percent_tick))
    axes.grid(axis="y" if vertical else "x")


def needs_log_scale(values: Sequence[float], *, requested: bool = False) -> bool:
    """Returns whether to use a logarithmic axis: for positive numbers over two decades or in a geometric series.

    Args:
        values: to be shown.
        requested: whether any positive numbers are enough.

    Example:
        >>> needs_log_scale([1e-4, 1e-1]), needs_log_scale([0.1, 0.3, 1]), needs_log_scale([30, 50, 70])
        (True, True, False)
    """
    ordered = sorted(set(values))
    if len(ordered) < 2 or ordered[0] < _MIN_LOG_VALUE:
        return False
    if requested or ordered[-1] / ordered[0] >= _MIN_LOG_RATIO:
        return True
    ratios = [b / a for a, b in pairwise(ordered)]
    is_geometric = len(ordered) > 2 and max(ratios) <= 1.3 * min(ratios)
    return is_geometric and (ordered[-1] >= 10 * ordered[0] or (len(ordered) > 3 and min(ratios) > 1.5))


def set_number_axis(
    axes: Axes,
    values: Sequence[float],
    *,
    log_scale: bool,
    inches: float,
    ticks_at_values: bool,
    vertical: bool = False,
) -> None:
    """Sets scale, limits and ticks of an axis of numbers.

    Args:
        axes: to set up.
        values: to be shown, at least one.
        log_scale: whether to use a logarithmic scale.
        inches: length of the axis.
        ticks_at_values: whether to put ticks at the values, as many as fit, instead of at round numbers.
        vertical: whether it is the vertical axis.
    """
    axis = axes.yaxis if vertical else axes.xaxis
    ordered = sorted(set(values))
    low, high = _limits_with_margin(ordered[0], ordered[-1], log_scale)
    if log_scale:
        (axes.set_yscale if vertical else axes.set_xscale)("log")
    (axes.set_ylim if vertical else axes.set_xlim)(low, high)
    ticks = ordered if ticks_at_values else _round_numbers(low, high, log_scale)
    ticks = [tick for tick in ticks if low <= tick <= high]
    span = math.log(high / low) if log_scale else high - low
    offsets = [(math.log(tick / low) if log_scale else tick - low) / span * inches for tick in ticks]
    labels = ["" if vertical else compact_number(tick) for tick in ticks]
    axis.set_major_locator(FixedLocator([ticks[index] for index in _fitting_labels(offsets, labels)]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: compact_number(value)))


def compact_number(value: float) -> str:
    """Returns a number in few characters, with k, M or G for large ones.

    Example:
        >>> [compact_number(value) for value in (90.0, 0.0015, 62_006, 1.25e6, 0.00001)]
        ['90', '0.0015', '62k', '1.25M', '1e-5']
    """
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if unit <= abs(value) < 1e12:
            return f"{value / (1e3 if letter == 'k' else unit):.3g}{letter}"
    return value_text(float(value))


def name_width(names: Sequence[str], size: float = 8.0) -> float:
    """Returns the width of the longest name with a margin.

    Args:
        names: to be written beside axes.
        size: of the font.
    """
    return max((len(name) for name in names), default=0) * size * 0.62 / 72 + 0.1


def legend_width(labels: Sequence[str], title: str | None = None) -> float:
    """Returns the width of a legend to the right of the axes, or a margin if there are no labels."""
    if not labels:
        return 0.2
    return max(0.55 + max(map(len, labels)) * 8 * CHARACTER, 0.25 + len(title or "") * 8 * CHARACTER)


def add_legend(axes: Axes, handles: Sequence[Artist], labels: Sequence[str], title: str | None = None) -> None:
    """Puts a legend to the right of the axes."""
    legend = axes.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        borderaxespad=0,
        fontsize=8,
        labelcolor=DARK,
        handlelength=1.2,
        title=title,
        title_fontsize=8,
        alignment="left",
    )
    legend.get_title().set_color(GRAY)


def _limits_with_margin(low: float, high: float, log_scale: bool) -> tuple[float, float]:
    if log_scale:
        factor = (high / low) ** 0.06 if high > low else 2.0
        return low / factor, high * factor
    margin = 0.06 * (high - low) or max(abs(low) * 0.5, 0.5)
    return low - margin, high + margin


def _round_numbers(low: float, high: float, log_scale: bool) -> list[float]:
    """Returns round numbers in a range; on a logarithmic axis powers of ten, and 2 and 5 times them if few."""
    if not log_scale:
        return list(MaxNLocator(6).tick_values(low, high))
    digits = (1, 2, 5) if high / low < _MIN_LOG_RATIO else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [digit * 10.0**power for power in powers for digit in digits]


def _fitting_labels(offsets: Sequence[float], labels: Sequence[str]) -> list[int]:
    """Returns the indices of labels that fit side by side without touching."""
    kept: list[int] = []
    for index, (offset, label) in enumerate(zip(offsets, labels, strict=True)):
        half = (len(label) + 1) * _TICK_FONT_SIZE * CHARACTER / 2
        end = offsets[kept[-1]] + (len(labels[kept[-1]]) + 1) * _TICK_FONT_SIZE * CHARACTER / 2 if kept else -math.inf
        if offset - half > end:
            kept.append(index)
    return kept
