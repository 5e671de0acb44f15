"""The PNG charts of a sweep: which ones there are, and the chart of accuracy over two numeric keys."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tenfold.core import durable
from tenfold.report.plots.axes import (
    add_panel,
    add_title,
    compact_number,
    needs_log_scale,
    percent_tick,
    set_number_axis,
)
from tenfold.report.plots.canvas import BLUE, DARK, GRAY, GRID, ORANGE, WHITE, chart
from tenfold.report.plots.sweep_keys import plot_categorical_key, plot_numeric_key
from tenfold.report.plots.sweep_scatter import plot_cost, plot_history, plot_search_key, plot_seeds
from tenfold.report.study import Study
from tenfold.runs.folders import safe_folder_name

_LEFT, _BOTTOM, _TOP = 0.8, 0.5, 0.8  # inches
_MAX_DISCRETE_VALUES = 24
_MAX_CELLS = 20
_MIN_COLOR_SPAN = 0.02  # accuracy between the lightest and the darkest color
_BLUES = LinearSegmentedColormap.from_list("light to dark blue", ["#eaf3f9", "#7fb8d8", BLUE, "#003a5c"])


def plot_sweep(
    study: Study,
    folder: Path,
    *,
    reference: Mapping[Any, float] | None = None,
    logarithmic: Collection[str] | None = None,
) -> list[Path]:
    """Draws accuracy against each varied key, over two numeric keys, and against parameters and seconds.

    File names come from the keys: `model.width.png`, `model.width-optim.lr.png`; then `parameters.png` and
    `seconds.png`, for a search `history.png`, and if only the seed varies `seeds.png`.

    Args:
        study: the sweep; may have no result.
        folder: for the PNGs; created if missing.
        reference: published accuracies in [0, 1], by value of the first key.
        logarithmic: keys with a logarithmic axis; by default their values decide.

    Returns:
        The files written.

    Raises:
        StorageError: when a file cannot be written.
    """
    durable.make_folder(folder)
    keys = study.keys
    log_scale = {key: _has_log_scale(study.numbers(key), key, logarithmic) for key in keys}
    written = []
    for key in keys:
        written.append(folder / f"{safe_folder_name(key)}.png")
        _plot_key(study, key, written[-1], (reference or {}) if key == keys[0] else {}, log_scale[key])
    numeric = [key for key in keys if study.numbers(key)]
    if len(numeric) == 2:
        written.append(folder / f"{'-'.join(map(safe_folder_name, numeric))}.png")
        plot_two_keys(study, numeric, written[-1], [log_scale[key] for key in numeric])
    if study.kind == "search":
        written.append(folder / "history.png")
        plot_history(study, written[-1])
    if not keys:
        written.append(folder / "seeds.png")
        plot_seeds(study, written[-1])
    for cost in ("parameters", "seconds"):
        if len({getattr(result, cost) for result in study.results} - {None}) > 1:
            written.append(folder / f"{cost}.png")
            plot_cost(study, cost, written[-1])
    return written


def _has_log_scale(values: Sequence[float], key: str, requested: Collection[str] | None) -> bool:
    if requested is None:
        return needs_log_scale(values)
    return key in requested and needs_log_scale(values, requested=True)


def _plot_key(study: Study, key: str, path: Path, reference: Mapping[Any, float], log_scale: bool) -> None:
    numbers = study.numbers(key)
    if not numbers:
        plot_categorical_key(study, key, path, reference)
    elif study.kind == "search" or len(set(numbers)) > _MAX_DISCRETE_VALUES:
        plot_search_key(study, key, path, log_scale)
    else:
        plot_numeric_key(study, key, path, reference, log_scale)


def plot_two_keys(study: Study, keys: Sequence[str], path: Path, log_scale: Sequence[bool]) -> None:
    """Draws accuracy over two numeric keys: a heat map for a grid, colored points for a search.

    Args:
        study: the sweep, with at least one result.
        keys: of the horizontal and the vertical axis.
        path: of the PNG.
        log_scale: whether each axis is logarithmic; only for points.

    Raises:
        StorageError: when the file cannot be written.
    """
    x, y = (study.numbers(key) for key in keys)
    if study.kind == "search" or max(len(set(x)), len(set(y))) > _MAX_CELLS:
        _plot_points(study, keys, path, log_scale)
    else:
        _plot_heat_map(study, keys, path)


def _plot_heat_map(study: Study, keys: Sequence[str], path: Path) -> None:
    x_values, y_values = (study.numbers(key) for key in keys)
    columns, rows = sorted(set(x_values)), sorted(set(y_values))
    cells: dict[tuple[int, int], list[float]] = {}
    for x, y, result in zip(x_values, y_values, study.results, strict=True):
        cells.setdefault((rows.index(y), columns.index(x)), []).append(result.mean)
    means = {cell: fmean(accuracies) for cell, accuracies in cells.items()}
    cell_width, cell_height = max(0.55, min(0.9, 4.2 / len(columns))), max(0.38, 1.6 / len(rows))
    width = max(_LEFT + cell_width * len(columns) + 0.3, 5.0)
    height = _TOP + cell_height * len(rows) + _BOTTOM
    with chart(path, width, height) as figure:
        add_title(figure, _title(study, keys), _subtitle(study, keys), _LEFT)
        axes = add_panel(figure, _LEFT, _BOTTOM, width - _LEFT - cell_width * len(columns), _TOP)
        low, high = _color_range(list(means.values()))
        values = np.full((len(rows), len(columns)), np.nan)
        for cell, mean in means.items():
            values[cell] = mean
        axes.imshow(values, cmap=_BLUES, vmin=low, vmax=high, aspect="auto", origin="lower", interpolation="nearest")
        for (row, column), mean in means.items():
            color = WHITE if (mean - low) / (high - low) > 0.55 else DARK
            axes.text(column, row, f"{mean * 100:.1f}", ha="center", va="center_baseline", size=8.5, color=color)
        row, column = max(means, key=means.__getitem__)
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.2)
        axes.add_patch(frame).set(clip_on=False, zorder=3)
        axes.set_xticks(range(len(columns)), map(compact_number, columns), color=DARK)
        axes.set_yticks(range(len(rows)), map(compact_number, rows), color=DARK)
        axes.tick_params(length=0)
        axes.set(xlabel=keys[0], ylabel=keys[1])
        axes.spines[:].set_visible(False)


def _plot_points(study: Study, keys: Sequence[str], path: Path, log_scale: Sequence[bool]) -> None:
    (x, y), width, height, right = (study.numbers(key) for key in keys), 7.5, 4.8, 1.1
    with chart(path, width, height) as figure:
        add_title(figure, _title(study, keys), _subtitle(study, keys), _LEFT)
        axes = add_panel(figure, _LEFT, _BOTTOM, right, _TOP)
        inches = width - _LEFT - right
        set_number_axis(axes, x, log_scale=log_scale[0], inches=inches, ticks_at_values=False)
        set_number_axis(axes, y, log_scale=log_scale[1], inches=height - 1.3, ticks_at_values=False, vertical=True)
        order = sorted(range(len(x)), key=lambda index: study.results[index].mean)  # the best on top
        means = [study.results[index].mean for index in order]
        low, high = _color_range(means)
        x, y = [x[index] for index in order], [y[index] for index in order]
        points = axes.scatter(x, y, c=means, s=52, cmap=_BLUES, vmin=low, vmax=high, edgecolors=GRAY, linewidths=0.5)
        axes.plot(x[-1], y[-1], "o", markersize=13, color=ORANGE, markerfacecolor="none", mew=1.8)
        axes.set(xlabel=keys[0], ylabel=keys[1])
        axes.grid(color=GRID)
        _draw_color_bar(axes, points, width, right)


def _draw_color_bar(axes: Axes, points: PathCollection, width: float, right: float) -> None:
    box = axes.get_position()
    bar_axes = axes.figure.add_axes((1 - (right - 0.2) / width, box.y0, 0.16 / width, box.height))
    bar = axes.figure.colorbar(points, cax=bar_axes)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(6)
    bar.formatter = FuncFormatter(percent_tick)
    bar.update_ticks()


def _color_range(accuracies: Sequence[float]) -> tuple[float, float]:
    low, high = min(accuracies), max(accuracies)
    margin = max(0.0, (_MIN_COLOR_SPAN - (high - low)) / 2)
    return low - margin, high + margin


def _title(study: Study, keys: Sequence[str]) -> str:
    return f"{study.metric.capitalize()} in % over {study.labels[keys[0]]} and {study.labels[keys[1]]}"


def _subtitle(study: Study, keys: Sequence[str]) -> str:
    others = [study.labels[key] for key in study.keys if key not in keys]
    parts = ["best in orange", f"mean over {' and '.join(others)}" if others else "", study.trials_text]
    return " · ".join(part for part in parts if part)
