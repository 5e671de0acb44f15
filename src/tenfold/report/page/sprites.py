"""Sprite sheets: many small images in one JPEG, embedded as a data URI. N images, H×W pixels."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_MAX_SIDE = 96  # pixels of a tile's longer side; also its size on the page, in whole multiples for small tiles
_PHONE_SIDE = 72
_SMALL_SIDE = 48  # up to this size every pixel of a tile is visible
_JPEG_BLOCK = 16  # pixels; no edge of a tile lies within a block of the JPEG
_COLUMNS = 32
_ATTEMPTS = ((96, 90), (96, 75), (64, 70), (48, 60), (32, 50), (24, 35))  # longest side in pixels, JPEG quality


@dataclass(frozen=True)
class SpriteSheet:
    """Tiles in rows and columns.

    Args:
        uri: the image, `data:image/jpeg;base64,…`.
        count: number of tiles.
        columns: number of tiles in a row.
        width: width of a tile in pixels.
        height: height of a tile in pixels.
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
        """Magnification of a tile on the page: an integer for small tiles."""
        zoom = _MAX_SIDE / max(self.width, self.height)
        return float(math.floor(zoom)) if self.is_small else zoom

    @property
    def phone_zoom(self) -> float:
        """Magnification of a tile on a narrow screen."""
        zoom = _PHONE_SIDE / max(self.width, self.height)
        return max(1.0, float(math.floor(zoom))) if self.is_small else zoom

    @property
    def is_small(self) -> bool:
        """Whether tiles are so small that they are enlarged without smoothing."""
        return max(self.width, self.height) <= _SMALL_SIDE

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole sheet in pixels."""
        return self.columns * self.step[0], math.ceil(self.count / self.columns) * self.step[1]

    def position(self, tile: int) -> tuple[int, int]:
        """Returns column and row of a tile."""
        row, column = divmod(tile, self.columns)
        return column, row


def sprite_sheet(images: NDArray[np.uint8], max_bytes: int = 1_500_000) -> SpriteSheet | None:
    """Returns a sheet of the images, with lower quality or smaller tiles where it is too large; None for no images.

    Args:
        images: uint8 [N, H, W, 3].
        max_bytes: size limit of the JPEG; base64 adds a third. The smallest attempt is taken even above the limit.
    """
    if not len(images):
        return None
    for side, quality in _ATTEMPTS:
        data, (height, width), step = _jpeg_sheet(images, side, quality)
        if len(data) <= max_bytes:
            break
    uri = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return SpriteSheet(uri, len(images), min(_COLUMNS, len(images)), width, height, step)


def _jpeg_sheet(images: NDArray[np.uint8], side: int, quality: int) -> tuple[bytes, tuple[int, int], tuple[int, int]]:
    """Returns a JPEG file, height and width of a tile, and the steps to the right and down."""
    tiles = shrunk(images, side)
    height, width = tiles.shape[1:3]
    down, right = (math.ceil(pixels / _JPEG_BLOCK) * _JPEG_BLOCK for pixels in (height, width))
    padded = np.pad(tiles, ((0, 0), (0, down - height), (0, right - width), (0, 0)), mode="edge")
    columns = min(_COLUMNS, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    grid = np.zeros((rows * columns, down, right, 3), np.uint8)
    grid[: len(tiles)] = padded
    sheet = grid.reshape(rows, columns, down, right, 3).swapaxes(1, 2).reshape(rows * down, columns * right, 3)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "JPEG", quality=quality, subsampling=0)  # colors do not bleed between tiles
    return buffer.getvalue(), (height, width), (right, down)


def shrunk(images: NDArray[np.uint8], side: int = _MAX_SIDE) -> NDArray[np.uint8]:
    """Returns images whose longer side is at most `side` pixels, uint8 [N, h, w, 3]."""
    height, width = images.shape[1:3]
    scale = side / max(height, width)
    if scale >= 1:
        return images
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])
