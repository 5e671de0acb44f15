"""The width exercise as a table and a chart, from nothing but its rows.

A row holds `width` and `parameters`, `<device>_per_second` for each device, and `<device>_speedup` for each that is
compared with the baseline.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from rich.table import Table

from tenfold.report.plots.axes import heading, legend_beside, legend_room, number_axis, panel
from tenfold.report.plots.canvas import BLUE, GREEN, INK, QUIET, WARM, chart
from tenfold.report.tables.run_tables import listing

Row = Mapping[str, float | int]

_COLOURS = (BLUE, WARM, GREEN, INK)
_MARKERS = "osD^"
_FACTOR = 4.0  # between the least and the greatest of values that are better seen by factors
_PANEL, _LEFT, _BELOW, _ABOVE, _GAP = 4.4, 0.65, 0.5, 0.98, 0.75  # inches
_HEIGHT = 4.0
_MOST_NUMBERED = 8


def width_table(rows: Sequence[Row], devices: Sequence[str], baseline: str) -> Table:
    """Returns a line for each width: parameters, pictures a second on each device, and speed-ups.

    Args:
        rows: see the top of this file.
        devices: in the order of the columns.
        baseline: the one that the others are compared with.
    """
    others = [device for device in devices if device != baseline]
    headings = ["width", "parameters", *(f"{device}, pictures/s" for device in devices)]
    cells = [
        [
            int(row["width"]),
            int(row["parameters"]),
            *(three_digits(row[f"{device}_per_second"]) for device in devices),
            *(three_digits(row[f"{device}_speedup"]) for device in others),
        ]
        for row in rows
    ]
    return listing([*headings, *(f"{device} ÷ {baseline}" for device in others)], cells)


def plot_widths(rows: Sequence[Row], devices: Mapping[str, str], baseline: str, batch_size: int, path: Path) -> None:
    """Draws pictures a second against the width, and beside it the speed-up where there is one.

    Axes are logarithmic where the values differ by factors.

    Args:
        rows: see the top of this file, at least one.
        devices: how each was used, e.g. `cpu, 2 threads, bfloat16`, in the order of the colours.
        baseline: the one that the others are compared with.
        batch_size: pictures in a step.
        path: of the PNG.

    Raises:
        StorageError: when the disk refuses.
    """
    rows = sorted(rows, key=lambda row: row["width"])
    looks = dict(zip(devices, cycle(zip(_COLOURS, _MARKERS, strict=True)), strict=False))
    others = [device for device in devices if device != baseline]
    right = legend_room(list(devices)) if others else 0.25
    total = _LEFT + _PANEL + (_GAP + _PANEL if others else 0.0) + right
    with chart(path, total, _HEIGHT) as figure:
        heading(figure, f"Training speed in batches of {batch_size}", " · ".join(devices.values()), _LEFT)
        axes = panel(figure, _LEFT, _BELOW, total - _LEFT - _PANEL, _ABOVE)
        _draw(axes, rows, {f"{device}_per_second": looks[device] for device in devices}, "pictures a second")
        if others:
            lines = list(axes.lines)
            axes = panel(figure, _LEFT + _PANEL + _GAP, _BELOW, right, _ABOVE)
            columns = {f"{device}_speedup": looks[device] for device in others}
            _draw(axes, rows, columns, f"speed-up over {baseline}", unit="×")
            axes.axhline(1, color=QUIET, linewidth=1, linestyle=(0, (4, 2)), zorder=1.5)
            legend_beside(axes, lines, list(devices))


def _draw(
    axes: Axes, rows: Sequence[Row], columns: Mapping[str, tuple[str, str]], measure: str, unit: str = ""
) -> None:
    """Draws columns of the rows, each in its colour and with its marker."""
    widths = [float(row["width"]) for row in rows]
    _set_up(axes, widths, [float(row[column]) for row in rows for column in columns] + [1.0] * bool(unit), unit)
    for column, (colour, marker) in columns.items():
        values = [float(row[column]) for row in rows]
        axes.plot(widths, values, color=colour, marker=marker, markersize=5, linewidth=1.6)
        if len(columns) > 2 or len(rows) > _MOST_NUMBERED:
            continue  # no room for numbers
        for row, width, value in zip(rows, widths, values, strict=True):
            highest = value >= max(row[name] for name in columns)
            axes.annotate(
                f"{three_digits(value):,}{unit}",
                (width, value),
                (0, 7 if highest else -7),
                textcoords="offset points",
                ha="center",
                va="bottom" if highest else "top",
                size=8,
                color=colour,
            )
    axes.set_title(measure, color=QUIET, size=9, weight="normal", pad=8)
    axes.set_xlabel("channels of the first convolution")


def _set_up(axes: Axes, widths: Sequence[float], values: Sequence[float], unit: str) -> None:
    """Sets up both axes, the upright one with room for numbers above and below the points."""
    number_axis(axes, widths, logarithmic=max(widths) >= _FACTOR * min(widths), inches=_PANEL, marked=True)
    by_factors = max(values) >= _FACTOR * min(values)
    shown = values if by_factors else [0.0, *values]
    number_axis(axes, shown, logarithmic=by_factors, inches=_HEIGHT, marked=False, upright=True)
    low, high = axes.get_ylim()
    axes.set_ylim(low * 0.85 if by_factors else 0, high * (1.18 if by_factors else 1.05))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}{unit}"))
    axes.grid(axis="y")


def three_digits(value: float) -> float | int:
    """Returns a number to three digits, or to the whole.

    Example:
        >>> three_digits(12345.6), three_digits(12.345), three_digits(0.98765)
        (12346, 12.3, 0.988)
    """
    return round(value) if value >= 100 else float(f"{value:.3g}")
