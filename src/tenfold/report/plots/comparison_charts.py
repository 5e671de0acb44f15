"""The PNG charts of a comparison of runs.

One color stands for one run, or for one recipe with several seeds, and is the same in every chart.
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
from tenfold.report.plots.axes import name_width, percent_tick
from tenfold.report.plots.canvas import BLUE, DARK, GRAY, GREEN, ORANGE, chart
from tenfold.report.plots.run_charts import series
from tenfold.report.tables.comparison_tables import distinct

Row = Mapping[str, Any]

_COLORS = (BLUE, ORANGE, GREEN, "#B5518E", "#D69A00", "#4FA3DB", "#7A4A2B", "#6B747D")
_MAX_NAME_WIDTH = 44
_MAX_LEGEND_ENTRIES = 24
_MAX_POINTS = 100
_MAX_CLASSES = 30
_MAX_RUNS_WITH_INTERVALS = 4  # more intervals within a class would overlap
_METRICS = (("loss", "Loss"), ("accuracy", "Accuracy"))
_X_COLUMNS = (("step", "steps"), ("time_s", "seconds of training"))


def colors_of(labels: Sequence[str]) -> dict[str, str]:
    """Returns a color for each distinct label; more than eight are shades from violet to yellow.

    Args:
        labels: of runs or recipes, in order.
    """
    names = list(dict.fromkeys(labels))
    if len(names) <= len(_COLORS):
        return dict(zip(names, _COLORS, strict=False))
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(names)))
    return {name: to_hex(shade) for name, shade in zip(names, shades, strict=True)}


def plot_accuracies(names: Sequence[str], labels: Sequence[str], rows: Sequence[Row], path: Path) -> None:
    """Draws the test accuracy of each run as a point with its 95 % interval, and that of the first run as a line.

    Args:
        names: of the runs, from the top.
        labels: one for each run; equal labels share a color.
        rows: `test_accuracy`, `test_low` and `test_high` of each run.
        path: of the PNG.

    Raises:
        StorageError: when the file cannot be written.
    """
    names, colors = distinct(names, _MAX_NAME_WIDTH), colors_of(labels)
    inches = min(max(0.3 * len(rows), 0.6), 24.0)
    left, bottom, top = name_width(names) + 0.15, 0.6, 0.5
    width, height = left + 5.4, bottom + inches + top
    with chart(path, width, height) as figure:
        axes = figure.add_axes((left / width, bottom / height, 4.6 / width, inches / height))
        axes.axvline(rows[0]["test_accuracy"], color=GRAY, linewidth=1, linestyle=(0, (4, 3)))
        for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
            color = colors[label]
            axes.hlines(index, row["test_low"], row["test_high"], color=color, linewidth=2, alpha=0.55)
            axes.plot(row["test_accuracy"], index, "o", color=color, markersize=6)
            value = f"{row['test_accuracy'] * 100:.1f} %"
            axes.text(1.02, index, value, transform=axes.get_yaxis_transform(), va="center_baseline")
        axes.set_yticks(range(len(rows)), names, color=DARK, size=8 if len(rows) < 80 else 5)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.margins(x=0.06)
        axes.set_title("Test accuracy")
        axes.set_xlabel("test accuracy with 95 % interval; dashed: the first run")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(percent_tick))
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)


def plot_overlaid_curves(labels: Sequence[str], curves: Sequence[Sequence[Row]], path: Path) -> None:
    """Draws loss and accuracy of several runs in the same axes, against steps and against seconds.

    Args:
        labels: one for each run; equal labels share a color and a legend entry.
        curves: rows of `metrics.csv` of each run; missing, empty and non-finite values are left out.
        path: of the PNG.

    Raises:
        StorageError: when the file cannot be written.
    """
    colors = colors_of(labels)
    shown = list(colors)[:_MAX_LEGEND_ENTRIES]
    top = 0.95 + 0.19 * math.ceil(len(shown) / _legend_columns(shown))
    width, height = 9.6, 6.0 + top
    with chart(path, width, height) as figure:
        figure.subplots_adjust(0.065, 0.5 / height, 0.985, 1 - (top + 0.1) / height, wspace=0.15, hspace=0.42)
        for row, (metric, title) in enumerate(_METRICS):
            for column, (x_column, unit) in enumerate(_X_COLUMNS):
                axes = figure.add_subplot(2, 2, 2 * row + column + 1)
                for rows, label in zip(curves, labels, strict=True):
                    _draw_curve(axes, rows, x_column, metric, colors[label])
                _format_curves(axes, f"{title} against {unit}", unit, metric)
        has_validation = any(series(rows, f"val_{metric}")[0] for rows in curves for metric, _ in _METRICS)
        _draw_legend(figure, colors, shown, has_validation)


def _draw_curve(axes: Axes, rows: Sequence[Row], x_column: str, metric: str, color: str) -> None:
    x, y = series(rows, f"train_{metric}", x_column)
    if x:
        x, y = _averaged(x), _averaged(y)
        axes.plot(x, y, color=color, linewidth=1.4, alpha=0.85, marker="o" if len(x) == 1 else "")
    x, y = series(rows, f"val_{metric}", x_column)
    if x:
        axes.plot(x, y, color=color, linewidth=1.2, linestyle=(0, (3, 2)), marker="o", markersize=4)


def _averaged(values: list[float]) -> list[float]:
    """Returns means over at most 100 spans: the noise of one run would hide the others."""
    spans = np.array_split(np.array(values), min(len(values), _MAX_POINTS))
    return [float(span.mean()) for span in spans]


def _format_curves(axes: Axes, title: str, unit: str, metric: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(unit)
    axes.grid(axis="y")
    axes.margins(x=0.02, y=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    if metric == "accuracy":
        axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))
        axes.set_ylim(max(0.0, axes.get_ylim()[0]), min(1.02, axes.get_ylim()[1]))
    if not axes.lines:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not measured", ha="center", color=GRAY, transform=axes.transAxes)


def _draw_legend(figure: Figure, colors: Mapping[str, str], shown: Sequence[str], has_validation: bool) -> None:
    """Writes title and legend above the charts."""
    names = distinct(list(colors), _MAX_NAME_WIDTH)
    if len(names) > len(shown):
        names[len(shown) - 1] = f"… {len(names) - len(shown) + 1} more, in shades between"
    width, height = figure.get_size_inches()
    subtitle = "solid: training (augmented images), averaged to 100 points"
    subtitle += " · dashed with points: validation" if has_validation else ""
    figure.text(0.3 / width, 1 - 0.3 / height, "Training curves", weight="bold", size=11)
    figure.text(0.3 / width, 1 - 0.5 / height, subtitle, color=GRAY, size=8)
    figure.legend(
        [Line2D([], [], color=colors[name], linewidth=2.4) for name in shown],
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
    longest = max(map(len, distinct(shown, _MAX_NAME_WIDTH)), default=1)
    return max(1, min(len(shown), int(9.2 / (0.55 + 0.075 * longest))))


def plot_class_differences(runs: Sequence[str], labels: Sequence[str], rows: Sequence[Row], path: Path) -> None:
    """Draws the difference in accuracy of each class to the first run, in points, largest first.

    Args:
        runs: names; the others are compared with the first.
        labels: one for each run; equal labels share a color.
        rows: `run`, `name`, `difference` and `interval` of each class and run, largest difference first.
        path: of the PNG.

    Raises:
        StorageError: when the file cannot be written.
    """
    classes = list(dict.fromkeys(row["name"] for row in rows))
    names, label_colors = classes[:_MAX_CLASSES], colors_of(labels)
    compared = {row["run"] for row in rows}
    colors = {run: label_colors[label] for run, label in zip(runs, labels, strict=True) if run in compared}
    legend = [label for label in label_colors if label_colors[label] in colors.values()][:_MAX_LEGEND_ENTRIES]
    inches = max(0.9, len(names) * (0.2 + 0.08 * min(len(colors), 6)))
    ticks = distinct(names, 18)
    left, bottom, top = name_width(ticks) + 0.15, 0.6, 0.7 + 0.17 * len(legend)
    width, height = left + 5.4, bottom + inches + top
    with chart(path, width, height) as figure:
        axes = figure.add_axes((left / width, bottom / height, 5.1 / width, inches / height))
        _draw_differences(axes, [row for row in rows if row["name"] in names], names, colors)
        axes.set_yticks(range(len(names)), ticks, color=DARK)
        axes.set_ylim(len(names) - 0.5, -0.5)
        has_intervals = len(colors) <= _MAX_RUNS_WITH_INTERVALS
        axes.set_xlabel("difference in points" + (", with paired 95 % interval" if has_intervals else ""))
        of = f" ({len(names)} largest differences of {len(classes)})" if len(classes) > len(names) else ""
        figure.text(0.15 / width, 1 - 0.3 / height, f"Accuracy per class{of}", weight="bold", size=10)
        figure.text(0.15 / width, 1 - 0.5 / height, f"compared with {shortened(runs[0], 60)}", color=GRAY, size=8)
        for index, (label, name) in enumerate(zip(legend, distinct(legend, 60), strict=True)):
            y = 1 - (0.69 + 0.17 * index) / height
            figure.text(0.15 / width, y, "●", color=label_colors[label], size=8)
            figure.text(0.32 / width, y, name, size=8)


def _draw_differences(axes: Axes, rows: Sequence[Row], names: Sequence[str], colors: Mapping[str, str]) -> None:
    runs, spread = list(colors), 0.6 if len(colors) > 1 else 0.0
    for row in rows:
        offset = spread * (runs.index(row["run"]) / max(len(runs) - 1, 1) - 0.5)
        y, color = names.index(row["name"]) + offset, colors[row["run"]]
        if len(runs) <= _MAX_RUNS_WITH_INTERVALS:
            axes.hlines(y, *row["interval"], color=color, linewidth=1.6, alpha=0.5)
        axes.plot(row["difference"], y, "o", color=color, markersize=5)
    axes.axvline(0, color=DARK, linewidth=1)
    axes.xaxis.set_major_formatter(FuncFormatter(_points_tick))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def _points_tick(value: float, _: object) -> str:
    return "0" if abs(value) < 1e-9 else f"{value * 100:+.3g}".replace("-", "−")
