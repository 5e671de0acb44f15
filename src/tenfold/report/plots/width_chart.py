"""The PNG chart of the width study: training speed against the width of the network, for one or more devices.

A row holds `width`, `parameters`, `<device>_per_second` for each device, and `<device>_speedup` for each device except
the baseline.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from tenfold.report.plots.axes import add_legend, add_panel, add_title, legend_width, set_number_axis
from tenfold.report.plots.canvas import BLUE, DARK, GRAY, GREEN, ORANGE, chart
from tenfold.report.tables.bench_tables import three_digits

Row = Mapping[str, float | int]

_COLORS = (BLUE, ORANGE, GREEN, DARK)
_MARKERS = "osD^"
_MIN_LOG_RATIO = 4.0
_PANEL_WIDTH, _LEFT, _BOTTOM, _TOP, _GAP = 4.4, 0.65, 0.5, 0.98, 0.75  # inches
_HEIGHT = 4.0
_MAX_NUMBERED = 8


def plot_widths(rows: Sequence[Row], devices: Mapping[str, str], baseline: str, batch_size: int, path: Path) -> None:
    """Draws images/s against width, and beside it the speed-up if there are several devices.

    An axis is logarithmic if its values differ by a factor of 4 or more.

    Args:
        rows: see the module docstring; at least one.
        devices: description of each device, such as `cpu, 2 threads, bfloat16`, in the order of the colors.
        baseline: the device that the others are compared with.
        batch_size: images per step.
        path: of the PNG.

    Raises:
        StorageError: when the file cannot be written.
    """
    rows = sorted(rows, key=lambda row: row["width"])
    styles = dict(zip(devices, cycle(zip(_COLORS, _MARKERS, strict=True)), strict=False))
    others = [device for device in devices if device != baseline]
    right = legend_width(list(devices)) if others else 0.25
    total = _LEFT + _PANEL_WIDTH + (_GAP + _PANEL_WIDTH if others else 0.0) + right
    with chart(path, total, _HEIGHT) as figure:
        add_title(figure, f"Training speed at batch size {batch_size}", " · ".join(devices.values()), _LEFT)
        axes = add_panel(figure, _LEFT, _BOTTOM, total - _LEFT - _PANEL_WIDTH, _TOP)
        _draw_columns(axes, rows, {f"{device}_per_second": styles[device] for device in devices}, "images/s")
        if others:
            lines = list(axes.lines)
            axes = add_panel(figure, _LEFT + _PANEL_WIDTH + _GAP, _BOTTOM, right, _TOP)
            columns = {f"{device}_speedup": styles[device] for device in others}
            _draw_columns(axes, rows, columns, f"speed-up over {baseline}", unit="×")
            axes.axhline(1, color=GRAY, linewidth=1, linestyle=(0, (4, 2)), zorder=1.5)
            add_legend(axes, lines, list(devices))


def _draw_columns(
    axes: Axes, rows: Sequence[Row], columns: Mapping[str, tuple[str, str]], title: str, unit: str = ""
) -> None:
    """Draws columns of the rows, each in its color and with its marker."""
    widths = [float(row["width"]) for row in rows]
    _set_axes(axes, widths, [float(row[column]) for row in rows for column in columns] + [1.0] * bool(unit), unit)
    has_numbers = len(columns) <= 2 and len(rows) <= _MAX_NUMBERED  # otherwise there is no room
    for column, (color, marker) in columns.items():
        values = [float(row[column]) for row in rows]
        axes.plot(widths, values, color=color, marker=marker, markersize=5, linewidth=1.6)
        for row, width, value in zip(rows, widths, values, strict=True) if has_numbers else ():
            is_highest = value >= max(row[name] for name in columns)
            axes.annotate(
                f"{three_digits(value):,}{unit}",
                (width, value),
                (0, 7 if is_highest else -7),
                textcoords="offset points",
                ha="center",
                va="bottom" if is_highest else "top",
                size=8,
                color=color,
            )
    axes.set_title(title, color=GRAY, size=9, weight="normal", pad=8)
    axes.set_xlabel("width: channels of the first convolution")


def _set_axes(axes: Axes, widths: Sequence[float], values: Sequence[float], unit: str) -> None:
    """Sets both axes, the vertical one with room for numbers above and below the points."""
    log_x, log_y = (max(numbers) >= _MIN_LOG_RATIO * min(numbers) for numbers in (widths, values))
    set_number_axis(axes, widths, log_scale=log_x, inches=_PANEL_WIDTH, ticks_at_values=True)
    shown = values if log_y else [0.0, *values]
    set_number_axis(axes, shown, log_scale=log_y, inches=_HEIGHT, ticks_at_values=False, vertical=True)
    low, high = axes.get_ylim()
    axes.set_ylim(low * 0.85 if log_y else 0, high * (1.18 if log_y else 1.05))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}{unit}"))
    axes.grid(axis="y")
