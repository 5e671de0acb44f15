"""What a decode worker does with one image file: decode it, fit it to size, and hash its pixels."""

import hashlib
from contextlib import suppress
from typing import NamedTuple

from tenfold.core.errors import DataError
from tenfold.data.decode.decode import FileSource, decode_if, decode_sized, image_size
from tenfold.data.decode.fit import fit_image
from tenfold.data.decode.preprocessing import MIN_SIDE

MAX_KEPT_SIDE = 64
"""Largest side in pixels of images that keep their size where the user chose none."""


class DecodedImage(NamedTuple):
    """The result of decoding one image file.

    Args:
        data: uint8 [H, W, 3] as bytes; empty where the image was not decoded.
        digest: hash of `data`, which finds duplicates; 0 where there are no data.
        reason: why the image cannot be read, or an empty string.
        size: height and width of the image in its file; None where its header cannot be read.
    """

    data: bytes
    digest: int = 0
    reason: str = ""
    size: tuple[int, int] | None = None


def decode_to_size(source: FileSource, size: tuple[int, int], fit: str) -> DecodedImage:
    """Decodes an image file and fits it to a size; raises nothing.

    Args:
        source: the path or the bytes of the file.
        size: height and width in pixels.
        fit: see `fit_image`.
    """
    try:
        own_size, image = decode_sized(source, at_least=size)
        data = fit_image(image, size, fit).tobytes()
    except DataError as error:
        return DecodedImage(b"", reason=str(error))
    except MemoryError:
        return DecodedImage(b"", reason="too large for the memory of this machine")
    return DecodedImage(data, _digest(data), size=own_size)


def decode_if_small(source: FileSource) -> DecodedImage:
    """Reads the size of an image file, and decodes the image where it may keep its size; raises nothing."""
    try:
        size, image = decode_if(may_keep_size, source)
    except DataError as error:
        header_size = None
        with suppress(DataError):  # the header may be readable
            header_size = image_size(source)
        return DecodedImage(b"", reason=str(error), size=header_size)
    data = image.tobytes() if image else b""
    return DecodedImage(data, _digest(data), size=size)


def may_keep_size(size: tuple[int, int]) -> bool:
    """Returns whether images that all have this height and width keep it where the user chose no size."""
    return min(size) >= MIN_SIDE and max(size) <= MAX_KEPT_SIDE


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
