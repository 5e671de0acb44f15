"""From one picture's file to the bytes that a store keeps: what decoding processes do, and all that they import."""

import hashlib
from contextlib import suppress
from typing import NamedTuple

from tenfold.core.errors import DataError
from tenfold.data.decode import Source, decode_if, decode_picture, picture_size
from tenfold.data.pictures import fit_picture
from tenfold.data.sizing import keeps_size


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
