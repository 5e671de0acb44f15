"""The size that pictures are brought to where nobody named one."""

import hashlib
from collections import Counter
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from tenfold.core.errors import DataError
from tenfold.data.decode.decode import Source, decode_if, decode_picture, picture_size
from tenfold.data.decode.preprocessing import fit_picture

LARGEST_OWN = 64
SMALLEST = 8
LARGEST = 1024
_HOW = {"crop": "centre crop", "pad": "padding", "stretch": "stretching"}


def choose_size(sizes: Counter[tuple[int, int]], fit: str) -> tuple[tuple[int, int], str]:
    """Returns the pictures' own size where all agree and it is at most 64, else a square that suits them.

    Args:
        sizes: how many pictures there are of each height and width.
        fit: how they will be brought to size.

    Returns:
        Height and width, and a sentence on what was chosen and how to change it (no text for their own size).

    Example:
        >>> choose_size(Counter({(28, 28): 100}), "crop")
        ((28, 28), '')
    """
    if not sizes:
        return (32, 32), ""
    if len(sizes) == 1:
        (height, width) = next(iter(sizes))
        if keeps_size((height, width)):
            return (height, width), ""
        found = f"pictures are {width}×{height}"
    else:
        height, width = (_median(sizes, axis) for axis in (0, 1))
        found = f"pictures have different sizes (median {width}×{height})"
    side = 64 if min(height, width) >= 48 else 32
    note = f"{found}: brought to {side}×{side} by {_HOW[fit]}; change with --set data.image_size=…"
    return (side, side), note


def keeps_size(size: tuple[int, int]) -> bool:
    """Returns whether pictures that all have this height and width keep it; raises nothing."""
    return min(size) >= SMALLEST and max(size) <= LARGEST_OWN


def _median(sizes: Counter[tuple[int, int]], axis: int) -> int:
    values = np.array([size[axis] for size in sizes])
    return int(np.median(np.repeat(values, list(sizes.values()))))


class Pixels(NamedTuple):
    """What became of a picture.

    Args:
        data: uint8 [H, W, 3] as bytes; empty where there are none.
        digest: of `data`, to tell pictures that occur twice.
        reason: why the picture cannot be read, or an empty string.
        own: height and width of the picture itself, where that was asked.
    """

    data: bytes
    digest: int = 0
    reason: str = ""
    own: tuple[int, int] | None = None


def fitted_pixels(source: Source, size: tuple[int, int], fit: str) -> Pixels:
    """Returns a picture brought to size; raises nothing.

    Args:
        source: the picture.
        size: height and width in pixels.
        fit: see `fit_picture`.
    """
    try:
        data = fit_picture(decode_picture(source, at_least=size), size, fit).tobytes()
    except DataError as error:
        return Pixels(b"", reason=str(error))
    except MemoryError:
        return Pixels(b"", reason="too large for the memory of this machine")
    return Pixels(data, _digest(data))


def small_pixels(source: Source) -> Pixels:
    """Returns a picture's own size, and its pixels where it is so small that it may keep that; raises nothing."""
    try:
        own, image = decode_if(keeps_size, source)
    except DataError as error:
        size = None
        with suppress(DataError):  # its header may be sound
            size = picture_size(source)
        return Pixels(b"", reason=str(error), own=size)
    data = image.tobytes() if image else b""
    return Pixels(data, _digest(data), own=own)


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
