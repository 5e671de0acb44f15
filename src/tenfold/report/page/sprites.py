"""Many small pictures as one: a sheet of tiles, embedded as a data URI. N pictures, H×W pixels."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LARGEST = 96  # pixels of a tile's longer side; what is shown on the page too, whole times enlarged
_ON_A_PHONE = 72
_SMALL = 48  # up to which every pixel is seen
_BLOCK = 16  # pixels of the blocks that JPEG knows: no tile's edge lies within one
_COLUMNS = 32
_ATTEMPTS = ((96, 90), (96, 75), (64, 70), (48, 60), (32, 50), (24, 35))  # longest side in pixels, JPEG quality


@dataclass(frozen=True)
class Sheet:
    """Tiles side by side.

    Args:
        uri: the picture, `data:image/jpeg;base64,…`.
        count: tiles.
        columns: tiles in a row.
        width: of a tile in pixels.
        height: of a tile in pixels.
        step: pixels from one tile to the next, to the right and down.
    """

    uri: str
    count: int
    columns: int
    width: int
    height: int
    step: tuple[int, int]

    @property
    def zoom(self) -> float:
        """How much larger the page shows a tile: whole times for a small one."""
        times = _LARGEST / max(self.width, self.height)
        return float(math.floor(times)) if self.is_small else times

    @property
    def phone_zoom(self) -> float:
        """The same on a narrow screen."""
        times = _ON_A_PHONE / max(self.width, self.height)
        return max(1.0, float(math.floor(times))) if self.is_small else times

    @property
    def is_small(self) -> bool:
        """Whether a tile is so small that its pixels are shown as they are."""
        return max(self.width, self.height) <= _SMALL

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole sheet in pixels."""
        return self.columns * self.step[0], math.ceil(self.count / self.columns) * self.step[1]

    def place(self, number: int) -> tuple[int, int]:
        """Returns column and row of a tile."""
        row, column = divmod(number, self.columns)
        return column, row


def sheet_of(images: NDArray[np.uint8], most_bytes: int = 1_500_000) -> Sheet | None:
    """Returns the pictures as one sheet, of lower quality or smaller where they take too much; None for no picture.

    Args:
        images: uint8 [N, H, W, 3].
        most_bytes: of the JPEG file, before it becomes text, which takes a third more.
    """
    if not len(images):
        return None
    sheets = (_sheet(images, side, quality) for side, quality in _ATTEMPTS)
    tried = [next(sheets)]
    while len(tried[-1][0]) > most_bytes and len(tried) < len(_ATTEMPTS):
        tried.append(next(sheets))
    data, (height, width), step = tried[-1]
    uri = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return Sheet(uri, len(images), min(_COLUMNS, len(images)), width, height, step)


def _sheet(images: NDArray[np.uint8], side: int, quality: int) -> tuple[bytes, tuple[int, int], tuple[int, int]]:
    """Returns a JPEG file, height and width of a tile, and the steps to the right and down."""
    tiles = shrunk(images, side)
    height, width = tiles.shape[1:3]
    down, right = (math.ceil(pixels / _BLOCK) * _BLOCK for pixels in (height, width))
    padded = np.pad(tiles, ((0, 0), (0, down - height), (0, right - width), (0, 0)), mode="edge")
    columns = min(_COLUMNS, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    grid = np.zeros((rows * columns, down, right, 3), np.uint8)
    grid[: len(tiles)] = padded
    whole = grid.reshape(rows, columns, down, right, 3).swapaxes(1, 2).reshape(rows * down, columns * right, 3)
    buffer = io.BytesIO()
    Image.fromarray(whole).save(buffer, "JPEG", quality=quality, subsampling=0)  # no colour of a neighbour
    return buffer.getvalue(), (height, width), (right, down)


def shrunk(images: NDArray[np.uint8], side: int = _LARGEST) -> NDArray[np.uint8]:
    """Returns pictures whose longer side is `side` pixels at most, uint8 [N, h, w, 3]."""
    height, width = images.shape[1:3]
    times = side / max(height, width)
    if times >= 1:
        return images
    size = max(1, round(width * times)), max(1, round(height * times))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])
