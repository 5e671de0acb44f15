"""One rule that turns any picture file into an upright RGB picture, wherever it comes from.

The rule, in this order:

1. JPEG, PNG, WebP and BMP are read, recognised by content and not by suffix. More than `PIXEL_LIMIT` pixels,
   a file that ends too early and an empty file are refused.
2. Of an animation, the first frame counts.
3. 16-bit grey is divided by 257 and rounded; of 16-bit colour the upper eight bits are kept.
4. Palette and black-and-white become RGB; alpha, of whatever kind, is laid over white; CMYK is converted
   without a colour profile. An embedded ICC profile is ignored: the numbers in the file are taken as sRGB.
5. The EXIF orientation is applied.
"""

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from posixpath import splitext
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from tenfold.core.errors import DataError

Source = Path | bytes | BinaryIO
"""Where a picture may come from: a path, the bytes of a file, or an open file."""
FileSource = Path | bytes
"""A source that another process can open too."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp"})
DECODER_VERSION = 1
"""Raised whenever the rule above gives other pixels than before, so that no store outlives it."""

# Pillow itself begins to warn a little above this; staying below keeps it silent.
PIXEL_LIMIT = 89_000_000
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


def decode_picture(source: Source, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Returns the picture as RGB, upright, by the rule at the top of this file.

    Args:
        source: a path, the bytes of a file, or an open file.
        at_least: see `pictures.open_picture`.

    Raises:
        DataError: whose message is the reason alone.
    """
    with _opened(source) as image:
        if at_least is not None:
            image.draft(None, (2 * max(at_least), 2 * max(at_least)))
        return _decoded(image)


def decode_if(wanted: Callable[[tuple[int, int]], bool], source: Source) -> tuple[tuple[int, int], Image.Image | None]:
    """Returns height and width of the upright picture and, where that is `wanted`, what `decode_picture` returns.

    Raises:
        DataError: whose message is the reason alone.
    """
    with _opened(source) as image:
        size = _size(image)
        return size, _decoded(image) if wanted(size) else None


def picture_size(source: Source) -> tuple[int, int]:
    """Returns height and width of the upright picture; only its header is read.

    Raises:
        DataError: whose message is the reason why not even the header can be read.
    """
    with _opened(source) as image:
        return _size(image)


def is_picture_name(name: str) -> bool:
    """Returns whether a name, `/` between its parts, ends like a picture's; raises nothing."""
    # pathlib has the say, but takes five times as long.
    return splitext(name)[1].lower() in SUFFIXES or PurePosixPath(name).suffix.lower() in SUFFIXES


def one_line(text: str) -> str:
    """Returns `text` fit for one line: control characters and broken UTF-8 become escapes; raises nothing."""
    printable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in printable)


@contextmanager
def _opened(source: Source) -> Iterator[ImageFile.ImageFile]:
    """Yields the picture, header read; whatever goes wrong meanwhile becomes a DataError with the reason."""
    try:
        with _stream(source) as stream:
            if not stream.read(1):
                raise DataError("the file is empty")
            stream.seek(0)
            with Image.open(stream, formats=FORMATS) as image:
                if image.width * image.height > PIXEL_LIMIT:
                    raise Image.DecompressionBombError
                yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError("not a JPEG, PNG, WebP or BMP picture, or damaged at its start") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"more than {PIXEL_LIMIT // 1_000_000} million pixels") from None
    except MemoryError:
        raise DataError("too large for the memory of this machine") from None
    except Exception as error:  # a damaged file can raise nearly anything inside Pillow's readers
        raise DataError(_reason(error)) from None


@contextmanager
def _stream(source: Source) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, Path):
        # Opening a named pipe would wait for ever.
        if not stat.S_ISREG(source.stat().st_mode):
            raise DataError("a folder, not a file" if source.is_dir() else "not a regular file")
        with source.open("rb") as stream:
            yield stream
    else:
        yield source if source.seekable() else io.BytesIO(source.read())


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be opened ({os.strerror(error.errno)})"
    return f"damaged ({one_line(str(error))[:100] or type(error).__name__})"


def _size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (width, height) if _orientation(image) >= 5 else (height, width)


def _decoded(image: Image.Image) -> Image.Image:
    image.load()
    return _upright(_to_rgb(image), _orientation(image))


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8; 1 where there is none or where it cannot be read."""
    if not any(key in image.info for key in ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")):
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a picture with sound pixels is not refused for its metadata
        return 1
    return orientation if orientation in _ORIENTATIONS else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image if orientation == 1 else image.transpose(_ORIENTATIONS[orientation])


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(coloured, mask=coloured.getchannel("A"))
        return paper
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64).clip(0, 65535)  # [H, W]
    grey = ((values + 128) // 257).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")
