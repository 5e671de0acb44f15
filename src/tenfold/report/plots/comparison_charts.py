"""The charts of a comparison of runs, as PNG files.

One colour stands for one run, or for one recipe with several seeds, and is the same in every chart.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tenfold.core.text import shortened
from tenfold.report.plots.canvas import BLUE, GREEN, INK, QUIET, WARM, chart
from tenfold.report.plots.run_charts import series
from tenfold.report.tables.comparison_tables import distinct

Row = Mapping[str, Any]

_COLOURS = (BLUE, WARM, GREEN, "#B5518E", "#D69A00", "#4FA3DB", "#7A4A2B", "#6B747D")
_NAME_WIDTH = 44
_LEGEND_MOST = 24
_POINTS_MOST = 100
_CLASSES_MOST = 30
_INTERVALS_MOST = 4  # runs whose intervals can be told apart within a class
_MEASURES = (("loss", "Loss"), ("accuracy", "Accuracy"))
_CLOCKS = (("step", "steps"), ("time_s", "seconds of training"))


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """Returns a colour for each different label; more than eight shade from violet to yellow.

    Args:
        labels: of runs or recipes, in order.
    """
    names = list(dict.fromkeys(labels))
    if len(names) <= len(_COLOURS):
        return dict(zip(names, _COLOURS, strict=False))
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(names)))
    return {name: to_hex(shade) for name, shade in zip(names, shades, strict=True)}


def plot_accuracies(names: Sequence[str], labels: Sequence[str], rows: Sequence[Row], path: Path) -> None:
    """Draws each run's test accuracy as a dot with its 95 % interval, and the first run's as a line.

    Args:
        names: of the runs, from the top.
        labels: one for each run; equal ones share a colour.
        rows: `test_accuracy`, `test_low` and `test_high` of each run.
        path: of the PNG.

    Raises:
        StorageError: when the disk refuses.
    """
    names, colours = distinct(names, _NAME_WIDTH), colours_of(labels)
    inches = min(max(0.3 * len(rows), 0.6), 24.0)
    left, below, above = _room(names) + 0.15, 0.6, 0.5
    width, height = left + 5.4, below + inches + above
    with chart(path, width, height) as figure:
        axes = figure.add_axes((left / width, below / height, 4.6 / width, inches / height))
        axes.axvline(rows[0]["test_accuracy"], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
            colour = colours[label]
            axes.hlines(place, row["test_low"], row["test_high"], color=colour, linewidth=2, alpha=0.55)
            axes.plot(row["test_accuracy"], place, "o", color=colour, markersize=6)
            value = f"{row['test_accuracy'] * 100:.1f} %"
            axes.text(1.02, place, value, transform=axes.get_yaxis_transform(), va="center_baseline")
        axes.set_yticks(range(len(rows)), names, color=INK, size=8 if len(rows) < 80 else 5)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.margins(x=0.06)
        axes.set_title("Test accuracy")
        axes.set_xlabel("recognised, with 95 % interval; dashed: the first run")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(_percent_tick))
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)


def plot_overlaid_curves(labels: Sequence[str], curves: Sequence[Sequence[Row]], path: Path) -> None:
    """Draws loss and accuracy of several runs over one another, against steps and against seconds.

    Args:
        labels: one for each run; equal ones share a colour and a line of the legend.
        curves: rows of `metrics.csv` for each run; what is missing, empty or not finite is left out.
        path: of the PNG.

    Raises:
        StorageError: when the disk refuses.
    """
    colours = colours_of(labels)
    shown = list(colours)[:_LEGEND_MOST]
    above = 0.95 + 0.19 * math.ceil(len(shown) / _legend_columns(shown))
    width, height = 9.6, 6.0 + above
    with chart(path, width, height) as figure:
        figure.subplots_adjust(0.065, 0.5 / height, 0.985, 1 - (above + 0.1) / height, wspace=0.15, hspace=0.42)
        for place, (measure, heading) in enumerate(_MEASURES):
            for side, (clock, unit) in enumerate(_CLOCKS):
                axes = figure.add_subplot(2, 2, 2 * place + side + 1)
                for rows, label in zip(curves, labels, strict=True):
                    _draw_curve(axes, rows, clock, measure, colours[label])
                _finish_curves(axes, f"{heading} against {unit}", unit, measure)
        validated = any(series(rows, f"val_{measure}")[0] for rows in curves for measure, _ in _MEASURES)
        _draw_legend(figure, colours, shown, validated)


def _draw_curve(axes: Axes, rows: Sequence[Row], clock: str, measure: str, colour: str) -> None:
    times, values = series(rows, f"train_{measure}", clock)
    if times:
        times, values = _averaged(times), _averaged(values)
        axes.plot(times, values, color=colour, linewidth=1.4, alpha=0.85, marker="o" if len(times) == 1 else "")
    times, values = series(rows, f"val_{measure}", clock)
    if times:
        axes.plot(times, values, color=colour, linewidth=1.2, linestyle=(0, (3, 2)), marker="o", markersize=4)


def _averaged(values: list[float]) -> list[float]:
    """Returns means of stretches, as many as can be seen: the noise of one run would hide the others."""
    stretches = np.array_split(np.array(values), min(len(values), _POINTS_MOST))
    return [float(stretch.mean()) for stretch in stretches]


def _finish_curves(axes: Axes, heading: str, unit: str, measure: str) -> None:
    axes.set_title(heading)
    axes.set_xlabel(unit)
    axes.grid(axis="y")
    axes.margins(x=0.02, y=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: f"{time:,g}"))
    if measure == "accuracy":
        axes.yaxis.set_major_formatter(FuncFormatter(_percent_tick))
        axes.set_ylim(max(0.0, axes.get_ylim()[0]), min(1.02, axes.get_ylim()[1]))
    if not axes.lines:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not measured", ha="center", color=QUIET, transform=axes.transAxes)


def _draw_legend(figure: Figure, colours: Mapping[str, str], shown: Sequence[str], validated: bool) -> None:
    """Names the colours in rows above the charts."""
    names = distinct(list(colours), _NAME_WIDTH)
    if len(names) > len(shown):
        names[len(shown) - 1] = f"… {len(names) - len(shown) + 1} more, in shades between"
    width, height = figure.get_size_inches()
    remark = "solid: training pictures as they are met, long curves as 100 means"
    remark += " · dashed with dots: validation" if validated else ""
    figure.text(0.3 / width, 1 - 0.3 / height, "Runs over one another", weight="bold", size=11)
    figure.text(0.3 / width, 1 - 0.5 / height, remark, color=QUIET, size=8)
    figure.legend(
        [Line2D([], [], color=colours[name], linewidth=2.4) for name in shown],
        names[: len(shown)],
        loc="upper left",
        bbox_to_anchor=(0.2 / width, 1 - 0.53 / height),
        ncols=_legend_columns(shown),
        fontsize=8,
        handlelength=1.4,
        columnspacing=1.6,
        labelspacing=0.35,
    )


def _legend_columns(shown: Sequence[str]) -> int:
    longest = max(map(len, distinct(shown, _NAME_WIDTH)), default=1)
    return max(1, min(len(shown), int(9.2 / (0.55 + 0.075 * longest))))


def plot_class_differences(runs: Sequence[str], labels: Sequence[str], rows: Sequence[Row], path: Path) -> None:
    """Draws gains and losses within each class against the first run, in points, largest first.

    Args:
        runs: names; the others are compared with the first.
        labels: one for each run; equal ones share a colour.
        rows: `run`, `name`, `difference` and `interval` of each class and run, largest difference first.
        path: of the PNG.

    Raises:
        StorageError: when the disk refuses.
    """
    every = list(dict.fromkeys(row["name"] for row in rows))
    names, shades = every[:_CLASSES_MOST], colours_of(labels)
    compared = {row["run"] for row in rows}
    colours = {run: shades[label] for run, label in zip(runs, labels, strict=True) if run in compared}
    legend = [label for label in shades if any(shades[label] == shade for shade in colours.values())][:_LEGEND_MOST]
    inches = max(0.9, len(names) * (0.2 + 0.08 * min(len(colours), 6)))
    ticks = distinct(names, 18)
    left, below, above = _room(ticks) + 0.15, 0.6, 0.7 + 0.17 * len(legend)
    width, height = left + 5.4, below + inches + above
    with chart(path, width, height) as figure:
        axes = figure.add_axes((left / width, below / height, 5.1 / width, inches / height))
        _draw_differences(axes, [row for row in rows if row["name"] in names], names, colours)
        axes.set_yticks(range(len(names)), ticks, color=INK)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("points gained or lost" + _interval_remark(len(colours)))
        of = f" ({len(names)} largest of {len(every)})" if len(every) > len(names) else ""
        figure.text(0.15 / width, 1 - 0.3 / height, f"Accuracy within each class{of}", weight="bold", size=10)
        figure.text(0.15 / width, 1 - 0.5 / height, f"against {shortened(runs[0], 60)}", color=QUIET, size=8)
        for place, (label, name) in enumerate(zip(legend, distinct(legend, 60), strict=True)):
            y = 1 - (0.69 + 0.17 * place) / height
            figure.text(0.15 / width, y, "●", color=shades[label], size=8)
            figure.text(0.32 / width, y, name, size=8)


def _draw_differences(axes: Axes, rows: Sequence[Row], names: Sequence[str], colours: Mapping[str, str]) -> None:
    runs, spread = list(colours), 0.6 if len(colours) > 1 else 0.0
    for row in rows:
        offset = spread * (runs.index(row["run"]) / max(len(runs) - 1, 1) - 0.5)
        y, colour = names.index(row["name"]) + offset, colours[row["run"]]
        if len(runs) <= _INTERVALS_MOST:
            axes.hlines(y, *row["interval"], color=colour, linewidth=1.6, alpha=0.5)
        axes.plot(row["difference"], y, "o", color=colour, markersize=5)
    axes.axvline(0, color=INK, linewidth=1)
    axes.xaxis.set_major_formatter(FuncFormatter(_points_tick))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def _interval_remark(runs: int) -> str:
    return ", with 95 % interval of the paired difference" if runs <= _INTERVALS_MOST else ""


def _percent_tick(share: float, _: object) -> str:
    return f"{share * 100:.4g} %"


def _points_tick(share: float, _: object) -> str:
    return "0" if abs(share) < 1e-9 else f"{share * 100:+.3g}".replace("-", "−")


def _room(names: Sequence[str]) -> float:
    """Returns how many inches the longest name takes at the size of ticks."""
    return max((len(name) for name in names), default=0) * 8 * 0.62 / 72 + 0.1
