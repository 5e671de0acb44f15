"""All pictures of a finished run, from its folder and its data."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tenfold.core import durable
from tenfold.core.text import shortened
from tenfold.data.types import Dataset, Split
from tenfold.evaluate.metrics import Evaluation
from tenfold.report.plots.canvas import INK, WARM, chart
from tenfold.report.plots.run_charts import plot_confusion, plot_curves, plot_grid, plot_per_class
from tenfold.report.tables.run_tables import prediction_titles, sample
from tenfold.runs.run_folder import RunFolder

_SHOWN = 32


def draw_run(folder: RunFolder, dataset: Dataset) -> None:
    """Fills `plots/`: curves, confusion matrix, bars per class, preview of the data, predictions.

    Args:
        folder: of a finished run.
        dataset: that it was trained with.

    Raises:
        RunError: when the run is not finished or a file in it is damaged.
        StorageError: when the disk refuses.
    """
    plots = folder.plots
    durable.make_folder(plots)
    evaluation = Evaluation.from_json(folder.read_summary()["evaluation"])
    plot_curves(folder.read_metrics(), plots / "curves.png")
    plot_confusion(evaluation.confusion.numpy(), dataset.classes, plots / "confusion.png")
    plot_per_class(evaluation.per_class, plots / "per-class.png")
    draw_preview(dataset.train, dataset.classes, plots / "preview.png")
    _draw_predictions(folder, dataset.test, plots / "predictions.png")


def draw_preview(
    split: Split, classes: tuple[str, ...], path: Path, *, count: int = _SHOWN, seed: int = 0
) -> list[str]:
    """Draws some pictures with their labels and returns the labels, in the order of the pictures.

    Args:
        split: to draw from.
        classes: names, in the order of the labels.
        path: of the PNG.
        count: pictures to show, at most.
        seed: of the draw.

    Raises:
        StorageError: when the disk refuses.
    """
    chosen = sample(len(split), count, seed)
    names = [classes[label] for label in split.labels[chosen]]
    plot_grid(split.images[chosen], names, path)
    return names


def _draw_predictions(folder: RunFolder, test: Split, path: Path) -> None:
    chosen = sample(len(test), _SHOWN)
    rows = folder.read_predictions()
    true, predicted = [rows[i].true for i in chosen], [rows[i].predicted for i in chosen]
    colours = [INK if right == guess else WARM for right, guess in zip(true, predicted, strict=True)]
    plot_grid(test.images[chosen], prediction_titles(true, predicted), path, colours=colours)


_SMALL = 160  # pixels; larger pictures are scaled smoothly


class Section(NamedTuple):
    """Pictures below one heading.

    Args:
        heading: one line.
        images: uint8 [N, H, W, 3].
        titles: N of one or two lines; the second is drawn in orange.
    """

    heading: str
    images: NDArray[np.uint8]
    titles: Sequence[str]


def plot_sections(heading: str, sections: Sequence[Section], path: Path, columns: int = 8) -> None:
    """Draws sections of pictures below one another, each picture below its title.

    Args:
        heading: above all.
        sections: one without pictures is left out.
        path: of the PNG.
        columns: pictures in a row.

    Raises:
        StorageError: when the disk refuses.
    """
    filled = [section for section in sections if len(section.images)]
    rows = [math.ceil(len(section.images) / columns) for section in filled]
    side, head, gap = 1.1, 0.36, 0.1  # inches
    ratio = max((section.images.shape[1] / section.images.shape[2] for section in filled), default=1.0)
    row_height = side * ratio + head
    width = columns * (side + gap) + gap
    height = 0.45 + sum(0.45 + count * row_height for count in rows) + gap
    with chart(path, width, height) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.text(gap, 0.3, heading, weight="bold", size=11)
        top = 0.45
        for section, count in zip(filled, rows, strict=True):
            axes.text(gap, top + 0.28, section.heading, weight="bold", size=9)
            top += 0.42
            for number, (image, title) in enumerate(zip(section.images, section.titles, strict=True)):
                row, column = divmod(number, columns)
                place = (gap + column * (side + gap), top + row * row_height)
                _draw_picture(axes, image, title, place, (side, side * ratio, head))
            top += count * row_height + 0.03
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
        axes.set_axis_off()


def _draw_picture(
    axes: Axes,
    image: NDArray[np.uint8],
    title: str,
    place: tuple[float, float],
    size: tuple[float, float, float],
) -> None:
    (x, y), (width, height, head) = place, size
    lines = [shortened(line, 15) for line in title.split("\n")]
    for number, (line, colour) in enumerate(zip(lines, (INK, WARM), strict=False)):
        axes.text(x, y + 0.155 + 0.145 * number, line, size=7, color=colour, va="baseline")
    small = max(image.shape[:2]) < _SMALL
    axes.imshow(
        image,
        extent=(x, x + width, y + head + height, y + head),
        interpolation="nearest" if small else "antialiased",
        aspect="auto",
    )
