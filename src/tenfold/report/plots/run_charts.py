"""The charts of a run, as PNG files. N pictures, C classes."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.text import shortened
from tenfold.report.plots.canvas import BLUE, DOTS_PER_INCH, GREEN, GRID, INK, PAPER, QUIET, WARM, chart

if TYPE_CHECKING:  # they would bring torch, which takes a second or two
    from tenfold.evaluate.metrics import ClassResult

Row = Mapping[str, float | int | str | None]

_NAME_WIDTH = 18
_MOST_CELLS_WITH_TEXT = 20
_TILE = 168  # pixels that a small picture is enlarged to, about
_LARGEST_TILE = 240
_SPLITS = (("train", BLUE, "-", ""), ("val", WARM, "-", "o"), ("test", GREEN, "", "D"))


def plot_curves(rows: Sequence[Row], path: Path) -> None:
    """Draws loss and accuracy against the step, for training, validation and test.

    Args:
        rows: rows of `metrics.csv`: `step`, and any of `train_loss`, `train_accuracy`, `val_…`, `test_…`;
            what is missing, empty or not finite is left out.
        path: of the PNG.

    Raises:
        StorageError: when the disk refuses.
    """
    with chart(path, 9, 3.5) as figure:
        figure.subplots_adjust(0.065, 0.15, 0.985, 0.86, wspace=0.16)
        for place, (measure, heading) in enumerate((("loss", "Loss"), ("accuracy", "Accuracy")), 1):
            axes = figure.add_subplot(1, 2, place)
            for split, colour, line, marker in _SPLITS:
                steps, values = series(rows, f"{split}_{measure}")
                if steps:
                    marker = marker or ("o" if len(steps) < 12 else "")
                    axes.plot(
                        steps,
                        values,
                        color=colour,
                        linestyle=line,
                        marker=marker,
                        markersize=4.5,
                        label=split,
                    )
            _finish_curve(axes, heading, measure)


def series(rows: Sequence[Row], key: str, clock: str = "step") -> tuple[list[float], list[float]]:
    """Returns times and values of one column, without the gaps.

    Args:
        rows: of `metrics.csv`.
        key: column of the values.
        clock: column of the times: `step` or `time_s`.
    """
    pairs = [(_number(row.get(clock)), _number(row.get(key))) for row in rows]
    kept = [(time, value) for time, value in pairs if math.isfinite(time) and math.isfinite(value)]
    return [time for time, _ in kept], [value for _, value in kept]


def _number(value: float | int | str | None) -> float:
    return math.nan if value is None or value == "" else float(value)


def _finish_curve(axes: Axes, heading: str, measure: str) -> None:
    axes.set_title(heading)
    axes.grid(axis="y")
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.margins(x=0.03, y=0.08)
    if measure == "accuracy":
        axes.yaxis.set_major_formatter(FuncFormatter(_percent_tick))
        axes.set_ylim(max(0.0, axes.get_ylim()[0]), min(1.02, axes.get_ylim()[1]))
    if axes.lines:
        axes.legend(loc="best", labelcolor="linecolor", handlelength=1.4)
    else:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not measured", ha="center", color=QUIET, transform=axes.transAxes)


def _percent_tick(share: float, _: object) -> str:
    return f"{share * 100:g} %"


def plot_confusion(confusion: NDArray[np.int64], classes: Sequence[str], path: Path) -> None:
    """Draws how often each class was taken for each other: right in blue, mistakes in orange.

    Each row adds up to 100 %. Up to 20 classes the cells say how much, but for mistakes that round to 0.

    Args:
        confusion: int64 [C, C], true × predicted.
        classes: C names.
        path: of the PNG.

    Raises:
        StorageError: when the disk refuses.
    """
    count = len(classes)
    side = min(max(0.5 * count, 2.0), 9.0)
    places, names, size = _thinned(classes, side)
    upright = count > 40
    left, above = _room(names, size) + 0.4, 0.75
    below = _room(names, size) * (1.0 if upright else 0.75) + 0.45
    width, height = left + max(side, 3.0) + 0.25, below + side + above
    with chart(path, width, height) as figure:
        axes = figure.add_axes((left / width, below / height, side / width, side / height))
        support = confusion.sum(1, keepdims=True)
        shares = confusion / np.maximum(support, 1)
        axes.imshow(_confusion_colours(shares, support), interpolation="nearest")
        if count <= _MOST_CELLS_WITH_TEXT:
            _write_cells(axes, shares, support)
        _name_both_axes(axes, places, names, size, upright)
        figure.text(left / width, 1 - 0.3 / height, "What was taken for what", weight="bold", size=10)
        legend = "% of each true class: blue right, orange wrong"
        figure.text(left / width, 1 - 0.52 / height, legend, color=QUIET, size=8)


def _confusion_colours(shares: NDArray[np.float64], support: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns colours [C, C, 3]: blue on the diagonal, orange elsewhere, grey without pictures."""
    white = np.array(to_rgb(PAPER))
    right = white + shares[..., None] * 0.85 * (np.array(to_rgb(BLUE)) - white)
    wrong = white + np.sqrt(shares)[..., None] * 0.9 * (np.array(to_rgb(WARM)) - white)  # √: rare ones are seen
    colours = np.where(np.eye(len(shares), dtype=bool)[..., None], right, wrong)
    return np.where((support == 0)[..., None], np.array(to_rgb(GRID)), colours)


def _write_cells(axes: Axes, shares: NDArray[np.float64], support: NDArray[np.int64]) -> None:
    for row, column in zip(*np.nonzero(shares > 0.005), strict=True):
        share = shares[row, column]
        dark = share > (0.7 if row == column else 0.4)
        axes.text(column, row, f"{share * 100:.0f}", ha="center", va="center", size=8, color=PAPER if dark else INK)
    for row in np.flatnonzero(support[:, 0] == 0):
        axes.text(len(shares) / 2 - 0.5, float(row), "no pictures", ha="center", va="center", size=8, color=QUIET)


def _name_both_axes(axes: Axes, places: list[int], names: list[str], size: float, upright: bool) -> None:
    axes.set_xticks(places, names, size=size, rotation=90 if upright else 45, ha="right")
    axes.set_yticks(places, names, size=size)
    for label in axes.get_xticklabels():
        label.set(rotation_mode="anchor", va="center" if upright else "top")
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.spines[:].set_visible(False)


def _thinned(names: Sequence[str], inches: float) -> tuple[list[int], list[str], float]:
    """Returns places, short names and letter size so that the labels of an axis do not touch."""
    room = inches * 72 / max(len(names), 1)  # points for each
    step = max(1, math.ceil(5.0 / room))
    size = min(9.0, max(4.2, room * step * 0.82))
    places = list(range(0, len(names), step))
    return places, [shortened(names[place], _NAME_WIDTH) for place in places], size


def _room(names: Sequence[str], size: float) -> float:
    """Returns how many inches the longest name takes."""
    return max((len(name) for name in names), default=0) * size * 0.62 / 72 + 0.1


def plot_per_class(per_class: "Sequence[ClassResult]", path: Path) -> None:
    """Draws accuracy within each class as a bar with its 95 % interval, and the overall accuracy as a line.

    Args:
        per_class: in the order to be drawn, from the top.
        path: of the PNG.

    Raises:
        StorageError: when the disk refuses.
    """
    inches = min(max(0.27 * len(per_class), 0.8), 18.0)
    places, names, size = _thinned([result.name for result in per_class], inches)
    left, below, above = _room(names, size) + 0.15, 0.55, 0.55
    width, height = left + 5.2, below + inches + above
    with chart(path, width, height) as figure:
        axes = figure.add_axes((left / width, below / height, (width - left - 0.75) / width, inches / height))
        axes.barh(range(len(per_class)), [result.recall or 0 for result in per_class], 0.66, color=BLUE, alpha=0.8)
        _draw_intervals(axes, per_class)
        for place in places:
            recall = per_class[place].recall
            value = "no pictures" if recall is None else f"{recall * 100:.1f} %"
            axes.text(1.02 if recall is not None else 0.01, place, value, va="center_baseline", size=size, color=INK)
        axes.set_yticks(places, names, size=size, color=INK)
        _finish_bars(axes, per_class)


def _draw_intervals(axes: Axes, per_class: "Sequence[ClassResult]") -> None:
    ends = [(place, result.interval) for place, result in enumerate(per_class) if result.interval]
    axes.hlines(
        [place for place, _ in ends],
        [low for _, (low, _) in ends],
        [high for _, (_, high) in ends],
        color=INK,
        linewidth=1.2,
    )


def _finish_bars(axes: Axes, per_class: "Sequence[ClassResult]") -> None:
    total, correct = sum(r.support for r in per_class), sum(r.correct for r in per_class)
    axes.set_title("Accuracy within each class")
    if total:
        axes.axvline(correct / total, color=WARM, linewidth=1.2, linestyle=(0, (4, 2)))
        overall = f"overall {correct / total * 100:.1f} %"
        axes.set_title(overall, loc="right", color=WARM, size=9, weight="normal")
    axes.set_ylim(len(per_class) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(FuncFormatter(_percent_tick))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("recognised, with 95 % interval")


def plot_grid(
    images: NDArray[np.uint8],
    titles: Sequence[str],
    path: Path,
    columns: int = 8,
    colours: Sequence[str] | None = None,
) -> None:
    """Draws pictures in rows, each below its title; small ones are enlarged in whole steps and stay sharp.

    Args:
        images: uint8 [N, H, W, 3], N at least 1.
        titles: N of them, of one or two lines.
        path: of the PNG.
        columns: pictures in a row, at least 1.
        colours: N colours of titles; default is ink.

    Raises:
        DataError: when there is no picture, or titles or colours are not as many.
        StorageError: when the disk refuses.
    """
    colours = colours or [INK] * len(images)
    if not len(images) or not len(images) == len(titles) == len(colours):
        raise DataError(
            f"{len(images)} pictures, {len(titles)} titles, {len(colours)} colours; "
            "expected as many of each, at least 1"
        )
    tiles = [_tile(image) for image in images]
    lines = max(name.count("\n") + 1 for name in titles)
    gap, head = 14, 8 + 24 * lines  # pixels
    (tile_height, tile_width), columns = tiles[0].shape[:2], min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    width, height = gap + columns * (tile_width + gap), rows * (tile_height + head) + gap
    sheet = np.full((height, width, 3), 255, np.uint8)
    with chart(path, width / DOTS_PER_INCH, height / DOTS_PER_INCH) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        for number, (tile, name, colour) in enumerate(zip(tiles, titles, colours, strict=True)):
            row, column = divmod(number, columns)
            top, left = head + row * (tile_height + head), gap + column * (tile_width + gap)
            sheet[top : top + tile_height, left : left + tile_width] = tile
            _write_title(axes, name, colour, left, top - 10, tile_width)
        axes.imshow(sheet, interpolation="nearest", aspect="auto", extent=(0, width, height, 0))
        axes.set_axis_off()


def _tile(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns a picture at the size in which the grid shows it."""
    largest = max(image.shape[:2])
    if largest <= _TILE // 2:
        times = _TILE // largest
        return image.repeat(times, axis=0).repeat(times, axis=1)
    if largest <= _LARGEST_TILE:
        return image
    height, width = (max(1, round(side * _LARGEST_TILE / largest)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def _write_title(axes: Axes, name: str, colour: str, left: float, bottom: float, width: float) -> None:
    signs = max(4, int(width / 10))  # about 10 pixels each at this size
    text = "\n".join(shortened(line, signs) for line in name.split("\n"))
    axes.text(left, bottom, text, color=colour, size=7.5, va="baseline", linespacing=1.25)
