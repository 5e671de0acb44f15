"""Brings images to one size."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.data.decode.fit_rule import parse_fit

_PADDING_GREY = (128, 128, 128)


def fit_image(image: Image.Image, size: tuple[int, int], fit: str) -> NDArray[np.uint8]:
    """Fits an RGB image to a size, with antialiasing; an image that has the size already is not changed.

    Args:
        image: an RGB image.
        size: height and width in pixels.
        fit: `crop` scales the image to cover the size and keeps the center; `pad` scales it to fit inside and centers
            it on gray; `stretch` ignores its proportions. For filters see `parse_fit`. A fraction, as in `crop:0.875`,
            changes nothing here: it is what a network is shown of an image of `stored_size`, see `margin.py`.

    Returns:
        uint8 [H, W, 3].

    Raises:
        DataError: when `fit` is none of these.
    """
    height, width = size
    kind, _, name = parse_fit(fit)
    resample = Image.Resampling[name.upper()]
    if image.size == (width, height):
        return np.array(image)
    if kind == "pad":
        return np.array(_padded(image, width, height, resample))
    box = _center_box(image, width, height) if kind == "crop" else None
    return np.array(_scaled(image, width, height, resample, box))


def _center_box(image: Image.Image, width: int, height: int) -> tuple[float, float, float, float]:
    """Returns the largest centered box with the proportions width : height."""
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
    # Rounding may put an edge slightly outside, which Pillow refuses.
    right, bottom = min(left + width * scale, image.width), min(top + height * scale, image.height)
    return max(left, 0.0), max(top, 0.0), right, bottom


def _scaled(
    image: Image.Image,
    width: int,
    height: int,
    resample: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    return image.resize((width, height), resample, box=box, reducing_gap=3.0)


def _padded(image: Image.Image, width: int, height: int, resample: Image.Resampling) -> Image.Image:
    scale = min(width / image.width, height / image.height)
    inner = max(1, min(width, round(image.width * scale))), max(1, min(height, round(image.height * scale)))
    canvas = Image.new("RGB", (width, height), _PADDING_GREY)
    canvas.paste(_scaled(image, *inner, resample), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return canvas
