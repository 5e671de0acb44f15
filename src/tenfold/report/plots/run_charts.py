"""The PNG charts of one run: training curves, confusion matrix, accuracy per class.

C classes.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from tenfold.core import durable
from tenfold.core.text import shortened
from tenfold.data.types import Dataset, Split
from tenfold.recipes.load import load_recipe
from tenfold.report.plots.axes import name_width, percent_tick
from tenfold.report.plots.canvas import BLUE, DARK, GRAY, GREEN, GRID, ORANGE, WHITE, chart
from tenfold.report.plots.curve_notes import Row, curve_notes
from tenfold.report.plots.image_grids import GRID_IMAGES, plot_grid, plot_preview, prediction_titles
from tenfold.report.tables.run_tables import sample_indices
from tenfold.runs.run_folder import RunFolder

if TYPE_CHECKING:  # imports torch, which takes a second or two
    from tenfold.evaluate.metrics import ClassResult

_MAX_NAME_WIDTH = 18
_MAX_CLASSES_WITH_TEXT = 20
_CAPTION_WIDTH = 150  # characters
_CAPTION_LINE = 0.15  # inches
_SPLITS = (("train", BLUE, "-", ""), ("val", ORANGE, "-", "o"), ("test", GREEN, "", "D"))


def plot_run(folder: RunFolder, dataset: Dataset) -> None:
    """Writes all charts to `plots/`: curves, confusion matrix, per-class accuracy, preview, predictions.

    Args:
        folder: of a finished run.
        dataset: the run was trained on.

    Raises:
        RunError: when the run is not finished or a file in it is damaged.
        StorageError: when a file cannot be written.
    """
    from tenfold.evaluate.metrics import Evaluation  # imports torch

    plots = folder.plots
    durable.make_folder(plots)
    evaluation = Evaluation.from_json(folder.read_summary()["evaluation"])
    rows = folder.read_metrics()
    recipe = load_recipe(folder.recipe)
    if recipe.train.layers != "head":  # one fit has no curves
        plot_curves(rows, plots / "curves.png", curve_notes(recipe, rows))
    plot_confusion(evaluation.confusion.numpy(), dataset.classes, plots / "confusion.png")
    plot_per_class(evaluation.per_class, plots / "per-class.png")
    plot_preview(dataset.without_margin(dataset.train), dataset.classes, plots / "preview.png")
    _plot_predictions(folder, dataset.without_margin(dataset.test), plots / "predictions.png")


def _plot_predictions(folder: RunFolder, test: Split, path: Path) -> None:
    chosen = sample_indices(len(test), GRID_IMAGES)
    rows = folder.read_predictions()
    true, predicted = [rows[i].true for i in chosen], [rows[i].predicted for i in chosen]
    colors = [DARK if label == prediction else ORANGE for label, prediction in zip(true, predicted, strict=True)]
    plot_grid(test.images[chosen], prediction_titles(true, predicted), path, colors=colors)


def plot_curves(rows: Sequence[Row], path: Path, notes: Sequence[str] = ()) -> None:
    """Draws loss and accuracy against the step, for train, val and test, and the minimized loss where it differs.

    Args:
        rows: of `metrics.csv`: `step`, and any of `train_loss`, `train_accuracy`, `train_objective`, `val_…`, `test_…`;
            missing, empty and non-finite values are left out.
        path: of the PNG.
        notes: sentences below the charts, see `curve_notes`.

    Raises:
        StorageError: when the file cannot be written.
    """
    caption = "\n".join(line for note in notes for line in textwrap.wrap(note, _CAPTION_WIDTH))
    below = (caption.count("\n") + 1) * _CAPTION_LINE + 0.1 if caption else 0.0  # inches
    height = 3.5 + below
    with chart(path, 9, height) as figure:
        figure.subplots_adjust(0.065, (0.525 + below) / height, 0.985, 1 - 0.49 / height, wspace=0.16)
        for position, (metric, title) in enumerate((("loss", "Loss"), ("accuracy", "Accuracy")), 1):
            axes = figure.add_subplot(1, 2, position)
            _draw_curves(axes, rows, metric)
            _format_curve(axes, title, metric)
        figure.text(0.065, 0.1 / height, caption, size=7.5, color=GRAY, va="bottom", linespacing=1.4)


def _draw_curves(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    for split, color, line, marker in _SPLITS:
        steps, values = series(rows, f"{split}_{metric}")
        if steps:
            marker = marker or ("o" if len(steps) < 12 else "")
            axes.plot(steps, values, color=color, linestyle=line, marker=marker, markersize=4.5, label=split)
    steps, values = series(rows, "train_objective") if metric == "loss" else ([], [])
    if steps:
        axes.plot(steps, values, color=GRAY, linewidth=0.8, label="objective")


def series(rows: Sequence[Row], column: str, x_column: str = "step") -> tuple[list[float], list[float]]:
    """Returns x and y values of one column, without missing and non-finite ones.

    Args:
        rows: of `metrics.csv`.
        column: of the y values.
        x_column: of the x values, `step` or `time_s`.
    """
    pairs = [(_as_float(row.get(x_column)), _as_float(row.get(column))) for row in rows]
    finite = [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    return [x for x, _ in finite], [y for _, y in finite]


def _as_float(value: float | int | str | None) -> float:
    return math.nan if value is None or value == "" else float(value)


def _format_curve(axes: Axes, title: str, metric: str) -> None:
    axes.set_title(title)
    axes.grid(axis="y")
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.margins(x=0.03, y=0.08)
    if metric == "accuracy":
        axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))
        axes.set_ylim(max(0.0, axes.get_ylim()[0]), min(1.02, axes.get_ylim()[1]))
    if axes.lines:
        axes.legend(loc="best", labelcolor="linecolor", handlelength=1.4)
    else:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not measured", ha="center", color=GRAY, transform=axes.transAxes)


def plot_confusion(confusion: NDArray[np.int64], classes: Sequence[str], path: Path) -> None:
    """Draws the confusion matrix, normalized by row: correct predictions in blue, errors in orange.

    With up to 20 classes, cells that do not round to 0 % show their value.

    Args:
        confusion: int64 [C, C], true × predicted.
        classes: C names.
        path: of the PNG.

    Raises:
        StorageError: when the file cannot be written.
    """
    count = len(classes)
    side = min(max(0.5 * count, 2.0), 9.0)
    ticks, names, size = _tick_names(classes, side)
    is_vertical = count > 40
    left, top = name_width(names, size) + 0.4, 0.75
    bottom = name_width(names, size) * (1.0 if is_vertical else 0.75) + 0.45
    width, height = left + max(side, 3.0) + 0.25, bottom + side + top
    with chart(path, width, height) as figure:
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        support = confusion.sum(1, keepdims=True)
        fractions = confusion / np.maximum(support, 1)
        axes.imshow(_confusion_colors(fractions, support), interpolation="nearest")
        if count <= _MAX_CLASSES_WITH_TEXT:
            _write_cells(axes, fractions, support)
        _label_both_axes(axes, ticks, names, size, is_vertical)
        figure.text(left / width, 1 - 0.3 / height, "Confusion matrix", weight="bold", size=10)
        legend = "% of each true class: correct in blue, errors in orange"
        figure.text(left / width, 1 - 0.52 / height, legend, color=GRAY, size=8)


def _confusion_colors(fractions: NDArray[np.float64], support: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns RGB colors [C, C, 3]: blue on the diagonal, orange elsewhere, gray for classes without images."""
    white = np.array(to_rgb(WHITE))
    correct = white + fractions[..., None] * 0.85 * (np.array(to_rgb(BLUE)) - white)
    # the square root makes rare errors visible
    wrong = white + np.sqrt(fractions)[..., None] * 0.9 * (np.array(to_rgb(ORANGE)) - white)
    colors = np.where(np.eye(len(fractions), dtype=bool)[..., None], correct, wrong)
    return np.where((support == 0)[..., None], np.array(to_rgb(GRID)), colors)


def _write_cells(axes: Axes, fractions: NDArray[np.float64], support: NDArray[np.int64]) -> None:
    for row, column in zip(*np.nonzero(fractions > 0.005), strict=True):
        fraction = fractions[row, column]
        is_dark = fraction > (0.7 if row == column else 0.4)
        color = WHITE if is_dark else DARK
        axes.text(column, row, f"{fraction * 100:.0f}", ha="center", va="center", size=8, color=color)
    for row in np.flatnonzero(support[:, 0] == 0):
        axes.text(len(fractions) / 2 - 0.5, float(row), "no images", ha="center", va="center", size=8, color=GRAY)


def _label_both_axes(axes: Axes, ticks: list[int], names: list[str], size: float, is_vertical: bool) -> None:
    axes.set_xticks(ticks, names, size=size, rotation=90 if is_vertical else 45, ha="right")
    axes.set_yticks(ticks, names, size=size)
    for label in axes.get_xticklabels():
        label.set(rotation_mode="anchor", va="center" if is_vertical else "top")
    axes.tick_params(length=0, labelcolor=DARK)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.spines[:].set_visible(False)


def _tick_names(names: Sequence[str], inches: float) -> tuple[list[int], list[str], float]:
    """Returns tick indices, short names and font size so that the names along an axis do not touch."""
    points = inches * 72 / max(len(names), 1)  # for each name
    step = max(1, math.ceil(5.0 / points))
    size = min(9.0, max(4.2, points * step * 0.82))
    ticks = list(range(0, len(names), step))
    return ticks, [shortened(names[index], _MAX_NAME_WIDTH) for index in ticks], size


def plot_per_class(per_class: "Sequence[ClassResult]", path: Path) -> None:
    """Draws the accuracy of each class as a bar with its 95 % interval, and the overall accuracy as a line.

    Args:
        per_class: in the order to draw, from the top.
        path: of the PNG.

    Raises:
        StorageError: when the file cannot be written.
    """
    inches = min(max(0.27 * len(per_class), 0.8), 18.0)
    ticks, names, size = _tick_names([result.name for result in per_class], inches)
    left, bottom, top = name_width(names, size) + 0.15, 0.55, 0.55
    width, height = left + 5.2, bottom + inches + top
    with chart(path, width, height) as figure:
        axes = figure.add_axes((left / width, bottom / height, (width - left - 0.75) / width, inches / height))
        axes.barh(range(len(per_class)), [result.recall or 0 for result in per_class], 0.66, color=BLUE, alpha=0.8)
        intervals = [(index, *result.interval) for index, result in enumerate(per_class) if result.interval]
        if intervals:
            axes.hlines(*zip(*intervals, strict=True), color=DARK, linewidth=1.2)
        for index in ticks:
            recall = per_class[index].recall
            value = "no images" if recall is None else f"{recall * 100:.1f} %"
            axes.text(1.02 if recall is not None else 0.01, index, value, va="center_baseline", size=size, color=DARK)
        axes.set_yticks(ticks, names, size=size, color=DARK)
        _format_bars(axes, per_class)


def _format_bars(axes: Axes, per_class: "Sequence[ClassResult]") -> None:
    total, correct = sum(r.support for r in per_class), sum(r.correct for r in per_class)
    axes.set_title("Accuracy per class")
    if total:
        axes.axvline(correct / total, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)))
        overall = f"overall {correct / total * 100:.1f} %"
        axes.set_title(overall, loc="right", color=ORANGE, size=9, weight="normal")
    axes.set_ylim(len(per_class) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(FuncFormatter(percent_tick))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("test accuracy with 95 % interval")
