"""Decodes image files: one rule that turns any image file into an upright RGB image.

The rule, in this order:

1. JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF, JPEG 2000, PNM and, with pillow-heif, HEIC are read, recognized by content and
   not by suffix. Images of more than `MAX_PIXELS` pixels, truncated files and empty files are refused.
2. Of an animation or a file of several pages, the first is read.
3. The pixels become RGB of 8 bits; see `to_rgb.py`.
4. The EXIF orientation is applied.
"""

import io
import logging
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from posixpath import splitext
from typing import BinaryIO

from PIL import Image, ImageFile, UnidentifiedImageError

from tenfold.core.errors import DataError
from tenfold.core.text import escaped
from tenfold.data.decode.to_rgb import orientation_of, to_upright_rgb

Source = Path | bytes | BinaryIO
"""An image file: a path, the bytes of a file, or an open file."""
FileSource = Path | bytes
"""A source that another process can open too."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
FORMAT_NAMES = "JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF, JPEG 2000, PNM or HEIC"
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif"}
    | {".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".pnm", ".ppm", ".pgm", ".pbm"}
)
DECODER_VERSION = 2
"""Increased whenever the rule above gives other pixels than before, so that old stores are not used."""

MAX_PIXELS = 89_000_000
"""Just below the number of pixels from which on Pillow warns of a decompression bomb."""

_START_BYTES = 64
_IMAGE_START = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF.{4}WEBP|BM.{4}\0{4}|GIF8[79]a|II[*+]\0|MM\0[*+]"
    rb"|.{4}ftyp(?:avi[fs]|mif1|msf1|he[iv][cmsx])|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51|P[1-6]\s+[#\d]",
    re.DOTALL,
)
_HEIC_START = re.compile(rb".{4}ftyp(?!avi).*he[iv][cmsx]", re.DOTALL)

# Pillow reports odd files, such as damaged EXIF data, as Python warnings, which say nothing to users of `predict` or of
# the server. `warnings.catch_warnings` is not thread-safe, so this filter is set once, for Pillow's modules only.
# `tenfold check` reads the warnings itself and reports them with the file.
warnings.filterwarnings("ignore", module=r"PIL\.")
# The same for what Pillow logs; a program that handles its log still gets it.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def decode_image(source: Source, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Returns an image as upright RGB, by the rule at the top of this file.

    Args:
        source: a path, the bytes of a file, or an open file.
        at_least: see `preprocessing.open_image`.

    Raises:
        DataError: when the file cannot be decoded; the message is only the reason.
    """
    return decode_sized(source, at_least)[1]


def decode_sized(source: Source, at_least: tuple[int, int] | None = None) -> tuple[tuple[int, int], Image.Image]:
    """Returns height and width of the upright image in its file, and the image; see `decode_image`.

    The image is smaller than its file says where `at_least` allows it.
    """
    with opened(source) as image:
        size = upright_size(image)
        if at_least is not None:
            image.draft(None, (2 * max(at_least), 2 * max(at_least)))
        return size, to_upright_rgb(image)


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
    with opened(source) as image:
        size = upright_size(image)
        if not condition(size):
            return size, None
        decoded = to_upright_rgb(image)
        return (decoded.height, decoded.width), decoded


def image_size(source: Source) -> tuple[int, int]:
    """Returns height and width of the upright image; only the header is read.

    Raises:
        DataError: when the header cannot be read; the message is only the reason.
    """
    with opened(source) as image:
        return upright_size(image)


def is_image_name(name: str) -> bool:
    """Returns whether a file name, with `/` between its parts, has the suffix of an image file."""
    # `PurePosixPath` decides the special cases, but takes five times as long.
    return splitext(name)[1].lower() in SUFFIXES or PurePosixPath(name).suffix.lower() in SUFFIXES


def is_image(name: str, source: FileSource) -> bool:
    """Returns whether a file is looked at: by its suffix, or by its first bytes where its name has no suffix.

    Args:
        name: see `is_image_name`.
        source: the path or the bytes of the file; read only where the name has no suffix.
    """
    return is_image_name(name) or (has_no_suffix(name) and _starts_as_image(source))


def has_no_suffix(name: str) -> bool:
    """Returns whether a file name, with `/` between its parts, has no suffix, so that its content decides."""
    return not PurePosixPath(name).suffix


def _starts_as_image(source: FileSource) -> bool:
    try:
        with _stream(source) as stream:
            return bool(_IMAGE_START.match(stream.read(_START_BYTES)))
    except (DataError, OSError):  # no image is known to be there
        return False


def upright_rgb(image: Image.Image) -> Image.Image:
    """Returns an opened image, of any mode, as upright RGB, by the rule at the top of this file.

    Raises:
        DataError: when it is damaged or empty; the message is only the reason.
    """
    with _reported_errors():
        if not image.width * image.height:
            raise DataError(f"it has {image.width}×{image.height} pixels")
        return to_upright_rgb(image)


@contextmanager
def opened(source: Source) -> Iterator[ImageFile.ImageFile]:
    """Yields the image with its header read. Every error in the `with` block becomes a DataError with the reason.

    Args:
        source: see `decode_image`.
    """
    with _reported_errors(), _stream(source) as stream:
        start = stream.read(_START_BYTES)
        if not start:
            raise DataError("the file is empty")
        stream.seek(0)
        with _identified(stream, start) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image


def _identified(stream: BinaryIO, start: bytes) -> ImageFile.ImageFile:
    try:
        return Image.open(stream, formats=_formats(start))
    except UnidentifiedImageError:
        is_tiff = start[:2] in (b"II", b"MM")
        kind = "a TIFF of an unusual kind, such as many bands or floating-point values" if is_tiff else "not an image"
        raise DataError(f"{kind}, or damaged at its start") from None


def _formats(start: bytes) -> tuple[str, ...]:
    """Returns Pillow's names of the formats that a file with these first bytes may have."""
    if start[4:8] != b"ftyp" or not _HEIC_START.match(start[: int.from_bytes(start[:4])]):
        return FORMATS
    _register_heic()
    return ("HEIF",)


@cache
def _register_heic() -> None:
    try:
        from pillow_heif import register_heif_opener
    except Exception:  # a build that does not fit this machine raises other errors than ImportError
        raise DataError("a HEIC image, for which pillow-heif is needed: pip install -e '.[heic]'") from None
    register_heif_opener(thumbnails=False)


@contextmanager
def _reported_errors() -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
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


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Returns height and width of an opened image after its EXIF orientation is applied."""
    width, height = image.size
    return (width, height) if orientation_of(image) >= 5 else (height, width)
