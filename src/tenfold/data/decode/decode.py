"""Decodes image files: one rule that turns any image file into an upright RGB image.

The rule, in this order:

1. JPEG, PNG, WebP and BMP are read, recognized by content and not by suffix. Images of more than `MAX_PIXELS` pixels,
   truncated files and empty files are refused.
2. An animation is reduced to its first frame.
3. 16-bit gray is divided by 257 and rounded; of 16-bit color the upper eight bits are kept.
4. Palette and black-and-white images become RGB; transparency of any kind is composited over white; CMYK is converted
   without a color profile. An embedded ICC profile is ignored: the values in the file are taken as sRGB.
5. The EXIF orientation is applied.
"""

import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from posixpath import splitext
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from tenfold.core.errors import DataError
from tenfold.core.text import escaped

Source = Path | bytes | BinaryIO
"""An image file: a path, the bytes of a file, or an open file."""
FileSource = Path | bytes
"""A source that another process can open too."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp"})
DECODER_VERSION = 1
"""Increased whenever the rule above gives other pixels than before, so that old stores are not used."""

MAX_PIXELS = 89_000_000
"""Just below the number of pixels from which on Pillow warns of a decompression bomb."""

_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow reports odd files, such as damaged EXIF data, as Python warnings, which say nothing to users of `predict` or of
# the server. `warnings.catch_warnings` is not thread-safe, so this filter is set once, for Pillow's modules only.
# `tenfold check` reads the warnings itself and reports them with the file.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode_image(source: Source, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Returns an image as upright RGB, by the rule at the top of this file.

    Args:
        source: a path, the bytes of a file, or an open file.
        at_least: see `preprocessing.open_image`.

    Raises:
        DataError: when the file cannot be decoded; the message is only the reason.
    """
    with _opened(source) as image:
        if at_least is not None:
            image.draft(None, (2 * max(at_least), 2 * max(at_least)))
        return _decoded(image)


def decode_if(
    condition: Callable[[tuple[int, int]], bool], source: Source
) -> tuple[tuple[int, int], Image.Image | None]:
    """Returns height and width of the upright image, and the decoded image where they meet a condition.

    Args:
        condition: takes height and width in pixels.
        source: see `decode_image`.

    Raises:
        DataError: when the file cannot be decoded; the message is only the reason.
    """
    with _opened(source) as image:
        size = _upright_size(image)
        return size, _decoded(image) if condition(size) else None


def image_size(source: Source) -> tuple[int, int]:
    """Returns height and width of the upright image; only the header is read.

    Raises:
        DataError: when the header cannot be read; the message is only the reason.
    """
    with _opened(source) as image:
        return _upright_size(image)


def is_image_name(name: str) -> bool:
    """Returns whether a file name, with `/` between its parts, has the suffix of an image file."""
    # `PurePosixPath` decides the special cases, but takes five times as long.
    return splitext(name)[1].lower() in SUFFIXES or PurePosixPath(name).suffix.lower() in SUFFIXES


def upright_rgb(image: Image.Image) -> Image.Image:
    """Returns an opened image, of any mode, as upright RGB, by the rule at the top of this file.

    Raises:
        DataError: when it is damaged or empty; the message is only the reason.
    """
    with _reported_errors():
        if not image.width * image.height:
            raise DataError(f"it has {image.width}×{image.height} pixels")
        return _decoded(image)


@contextmanager
def _opened(source: Source) -> Iterator[ImageFile.ImageFile]:
    """Yields the image with its header read. Every error in the `with` block becomes a DataError with the reason."""
    with _reported_errors(), _stream(source) as stream:
        if not stream.read(1):
            raise DataError("the file is empty")
        stream.seek(0)
        with Image.open(stream, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image


@contextmanager
def _reported_errors() -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError("not a JPEG, PNG, WebP or BMP image, or damaged at its start") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"more than {MAX_PIXELS // 1_000_000} million pixels") from None
    except MemoryError:
        raise DataError("too large for the memory of this machine") from None
    except Exception as error:  # a damaged file can raise nearly anything inside Pillow's readers
        raise DataError(_reason(error)) from None


@contextmanager
def _stream(source: Source) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, Path):
        # Opening a named pipe would wait forever.
        if not stat.S_ISREG(source.stat().st_mode):
            raise DataError("a folder, not a file" if source.is_dir() else "not a regular file")
        with source.open("rb") as stream:
            yield stream
    else:
        yield source if source.seekable() else io.BytesIO(source.read())


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be opened ({os.strerror(error.errno)})"
    return f"damaged ({escaped(str(error))[:100] or type(error).__name__})"


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (width, height) if _orientation(image) >= 5 else (height, width)


def _decoded(image: Image.Image) -> Image.Image:
    image.load()
    orientation = _orientation(image)
    rgb = _to_rgb(image)
    return rgb if orientation == 1 else rgb.transpose(_ORIENTATIONS[orientation])


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    if not any(key in image.info for key in ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")):
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # an image with good pixels is not refused because of its metadata
        return 1
    return orientation if orientation in _ORIENTATIONS else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(rgba, mask=rgba.getchannel("A"))
        return background
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64).clip(0, 65535)  # H W
    gray = ((values + 128) // 257).astype(np.uint8)
    if "transparency" in image.info:
        gray[values == image.info["transparency"]] = 255
    return Image.fromarray(gray).convert("RGB")
