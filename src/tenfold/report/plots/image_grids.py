"""Grids of images with titles: a preview of a split, predictions, suspicious labels, disagreements of two runs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.text import shortened
from tenfold.data.types import Split
from tenfold.report.plots.canvas import DARK, DPI, ORANGE, chart
from tenfold.report.tables.run_tables import sample_indices

GRID_IMAGES = 32
"""Default number of images in a grid."""

_TILE = 168  # pixels; approximate size of an enlarged small image
_MAX_TILE = 240
_MIN_SMOOTH_SIDE = 160  # pixels; smaller images are drawn with sharp pixels


class ImageSection(NamedTuple):
    """Images below one heading.

    Args:
        heading: one line.
        images: uint8 [N, H, W, 3].
        titles: N titles of one or two lines; the second line is drawn in orange.
    """

    heading: str
    images: NDArray[np.uint8]
    titles: Sequence[str]


def plot_preview(
    split: Split, classes: tuple[str, ...], path: Path, *, count: int = GRID_IMAGES, seed: int = 0
) -> list[str]:
    """Draws random images with their labels and returns the labels in the order of the images.

    Args:
        split: to choose from.
        classes: class names in label order.
        path: of the PNG.
        count: maximum number of images.
        seed: of the random choice.

    Raises:
        StorageError: when the file cannot be written.
    """
    chosen = sample_indices(len(split), count, seed)
    names = [classes[label] for label in split.labels[chosen]]
    plot_grid(split.images[chosen], names, path)
    return names


def prediction_titles(true_names: Sequence[str], predicted_names: Sequence[str]) -> list[str]:
    """Returns a title for each image: its class, or for a wrong prediction the prediction above the true class.

    Raises:
        ValueError: when the lengths differ.

    Example:
        >>> prediction_titles(["cat", "ship"], ["cat", "plane"])
        ['cat', 'plane\\ntruth: ship']
    """
    pairs = zip(true_names, predicted_names, strict=True)
    return [true if true == predicted else f"{predicted}\ntruth: {true}" for true, predicted in pairs]


def plot_grid(
    images: NDArray[np.uint8],
    titles: Sequence[str],
    path: Path,
    columns: int = 8,
    colors: Sequence[str] | None = None,
) -> None:
    """Draws images in rows, each below its title. Small images are enlarged by a whole factor and stay sharp.

    Args:
        images: uint8 [N, H, W, 3], N at least 1.
        titles: N titles of one or two lines.
        path: of the PNG.
        columns: images in a row, at least 1.
        colors: N title colors; dark by default.

    Raises:
        DataError: when there is no image, or the number of titles or colors differs.
        StorageError: when the file cannot be written.
    """
    colors = colors or [DARK] * len(images)
    if not len(images) or not len(images) == len(titles) == len(colors):
        raise DataError(
            f"{len(images)} images, {len(titles)} titles, {len(colors)} colors; "
            "expected the same number of each, at least 1"
        )
    tiles = [_tile(image) for image in images]
    lines = max(title.count("\n") + 1 for title in titles)
    gap, title_height = 14, 8 + 24 * lines  # pixels
    (tile_height, tile_width), columns = tiles[0].shape[:2], min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    width, height = gap + columns * (tile_width + gap), rows * (tile_height + title_height) + gap
    sheet = np.full((height, width, 3), 255, np.uint8)
    with chart(path, width / DPI, height / DPI) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        for index, (tile, title, color) in enumerate(zip(tiles, titles, colors, strict=True)):
            row, column = divmod(index, columns)
            top, left = title_height + row * (tile_height + title_height), gap + column * (tile_width + gap)
            sheet[top : top + tile_height, left : left + tile_width] = tile
            max_characters = max(4, int(tile_width / 10))  # about 10 pixels each at this size
            text = "\n".join(shortened(line, max_characters) for line in title.split("\n"))
            axes.text(left, top - 10, text, color=color, size=7.5, va="baseline", linespacing=1.25)
        axes.imshow(sheet, interpolation="nearest", aspect="auto", extent=(0, width, height, 0))
        axes.set_axis_off()


def _tile(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns an image at the size at which the grid shows it."""
    side = max(image.shape[:2])
    if side <= _TILE // 2:
        factor = _TILE // side
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    if side <= _MAX_TILE:
        return image
    height, width = (max(1, round(length * _MAX_TILE / side)) for length in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def plot_sections(title: str, sections: Sequence[ImageSection], path: Path, columns: int = 8) -> None:
    """Draws sections of images one below the other, each image below its title.

    Args:
        title: of the whole figure.
        sections: a section without images is left out.
        path: of the PNG.
        columns: images in a row.

    Raises:
        StorageError: when the file cannot be written.
    """
    filled = [section for section in sections if len(section.images)]
    rows = [math.ceil(len(section.images) / columns) for section in filled]
    side, title_height, gap = 1.1, 0.36, 0.1  # inches
    ratio = max((section.images.shape[1] / section.images.shape[2] for section in filled), default=1.0)
    row_height = side * ratio + title_height
    width = columns * (side + gap) + gap
    height = 0.45 + sum(0.45 + num_rows * row_height for num_rows in rows) + gap
    with chart(path, width, height) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.text(gap, 0.3, title, weight="bold", size=11)
        top = 0.45
        for section, num_rows in zip(filled, rows, strict=True):
            axes.text(gap, top + 0.28, section.heading, weight="bold", size=9)
            top += 0.42
            for index, (image, image_title) in enumerate(zip(section.images, section.titles, strict=True)):
                row, column = divmod(index, columns)
                corner = (gap + column * (side + gap), top + row * row_height)
                _draw_image(axes, image, image_title, corner, (side, side * ratio, title_height))
            top += num_rows * row_height + 0.03
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
        axes.set_axis_off()


def _draw_image(
    axes: Axes,
    image: NDArray[np.uint8],
    title: str,
    corner: tuple[float, float],
    size: tuple[float, float, float],
) -> None:
    (x, y), (width, height, title_height) = corner, size
    lines = [shortened(line, 15) for line in title.split("\n")]
    for number, (line, color) in enumerate(zip(lines, (DARK, ORANGE), strict=False)):
        axes.text(x, y + 0.155 + 0.145 * number, line, size=7, color=color, va="baseline")
    axes.imshow(
        image,
        extent=(x, x + width, y + title_height + height, y + title_height),
        interpolation="nearest" if max(image.shape[:2]) < _MIN_SMOOTH_SIDE else "antialiased",
        aspect="auto",
    )
