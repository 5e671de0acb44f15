"""Pictures below headings, as one PNG file."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tenfold.report.canvas import INK, WARM, chart
from tenfold.report.names import shortened

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
