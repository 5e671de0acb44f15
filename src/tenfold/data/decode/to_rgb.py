"""Turns an opened image of any mode into upright RGB of 8 bits.

1. 16 bits are scaled to 8: value / 257, rounded. Of 16-bit JPEG 2000 in color and of premultiplied TIFF, Pillow gives
   only the upper eight bits, which is at most 1 off. 12-bit gray TIFF is scaled by 255 / 4095.
2. Palette and black-and-white images become RGB; transparency of any kind is composited over white; CMYK is converted
   without a color profile. An embedded ICC profile is ignored: the values in the file are taken as sRGB.
3. Floating-point, signed and 32-bit values, more than four bands, and LAB are refused: nothing says which of them is
   white.

Shapes: H×W pixels, C bands.
"""

import re
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from tenfold.core.errors import DataError

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

_ORIENTATION_SOURCES = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})

_BITS_TAG, _PHOTOMETRIC_TAG, _BANDS_TAG, _PLANES_TAG, _VALUES_TAG = 258, 262, 277, 284, 339
_WHITE_IS_ZERO, _SEPARATE, _UNSIGNED = 0, 2, 1

_COLOR_OF_16_BITS = re.compile("(?:RGB|RGBX|RGBA|CMYK|LA);16[BLN]")
_LITTLE_ENDIAN = ("L", "N") if sys.byteorder == "little" else ("L",)


def to_upright_rgb(image: Image.Image) -> Image.Image:
    """Returns an opened image, of any mode, as upright RGB, by the rule at the top of this file.

    Raises:
        DataError: when the values cannot be shown as RGB; the message is only the reason. Pillow raises nearly anything
            for a damaged image.
    """
    if image.format == "TIFF":
        _check_tiff(image)
    orientation = orientation_of(image)
    rgb = _to_rgb(_of_8_bits(image))
    return rgb if orientation == 1 else rgb.transpose(_ORIENTATIONS[orientation])


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8; 1 where there is none, it cannot be read, or Pillow applies it itself."""
    if image.format == "TIFF" or _ORIENTATION_SOURCES.isdisjoint(image.info):
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # an image with good pixels is not refused because of its metadata
        return 1
    return orientation if orientation in _ORIENTATIONS else 1


def _check_tiff(image: Image.Image) -> None:
    """Raises DataError for what Pillow would read wrongly or in part."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = max(tags.get(_BITS_TAG, (1,)))
    if max(tags.get(_VALUES_TAG, (1,))) != _UNSIGNED or bits > 16:
        kind = "floating-point" if image.mode == "F" else "signed or 32-bit"
        raise DataError(f"a TIFF of {kind} values; expected unsigned ones of 8 or 16 bits")
    if tags.get(_BANDS_TAG, 1) > 4:
        raise DataError(f"a TIFF of {tags[_BANDS_TAG]} bands; expected gray, RGB, RGBA, CMYK or a palette")
    if bits == 16 and tags.get(_BANDS_TAG, 1) > 1 and tags.get(_PLANES_TAG) == _SEPARATE:
        raise DataError("a TIFF of 16 bits with its bands in separate planes; expected interleaved ones")


def _of_8_bits(image: Image.Image) -> Image.Image:
    """Returns an image with its pixels read, and with values of 8 bits."""
    # Only these formats have 16-bit color that Pillow gives in part; the test would cost 1 % of a small JPEG.
    if image.format in ("PNG", "TIFF") and any(map(_is_16_bit_color, getattr(image, "tile", ()))):
        return _scaled_color(image)
    image.load()
    return _scaled_gray(image) if image.mode.startswith("I") else image


def _is_16_bit_color(tile: ImageFile._Tile) -> bool:
    return _COLOR_OF_16_BITS.fullmatch(_raw_mode(tile)) is not None


def _raw_mode(tile: ImageFile._Tile) -> str:
    """Returns how the values are stored, in Pillow's words."""
    return str(tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args)


def _scaled_color(image: Any) -> Image.Image:
    """Returns a 16-bit color image, opened and not read yet, with values of 8 bits.

    Pillow reads only one byte of each value. So the file is read twice: once as it is, and once as if the order of the
    bytes was the other.
    """
    has_gray = _raw_mode(image.tile[0]).startswith("LA")
    with Image.open(image.fp, formats=[image.format]) as other:
        other.tile = [_with_other_byte(tile) for tile in other.tile]
        low = np.asarray(other).astype(np.int64)  # H W C
    low = low[..., [1, 1, 1, 3]] if has_gray else low
    values = np.asarray(image).astype(np.int64) * 256 + low
    scaled = _scaled(values)
    if "transparency" in image.info:
        scaled[(values == image.info["transparency"]).all(2)] = 255
    return Image.merge(image.mode, [Image.fromarray(band) for band in np.moveaxis(scaled, 2, 0).copy()])


def _with_other_byte(tile: ImageFile._Tile) -> ImageFile._Tile:
    mode, order = _raw_mode(tile).split(";16")
    swapped = "B" if order in _LITTLE_ENDIAN else "L"
    # All four bytes of a pixel where Pillow does not know the other order.
    other = "RGBA" if mode == "LA" else f"{mode};16{swapped}"
    return tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other)


def _scaled_gray(image: Image.Image) -> Image.Image:
    """Returns a gray image of up to 16 bits with values of 8 bits."""
    tags: Any = getattr(image, "tag_v2", {})
    values = np.asarray(image).astype(np.int64)  # H W
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"it has values from {values.min()} to {values.max()}; expected 0 to 65535")
    gray = _scaled(values, 4095 if tags.get(_BITS_TAG) == (12,) else 65535)
    if "transparency" in image.info:
        gray[values == image.info["transparency"]] = 255
    if tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO:
        gray = 255 - gray
    return Image.fromarray(gray)


def _scaled(values: NDArray[np.int64], white: int = 65535) -> NDArray[np.uint8]:
    return ((values * 255 + white // 2) // white).astype(np.uint8)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("F", "LAB"):
        kind = "floating-point values" if image.mode == "F" else "LAB colors"
        raise DataError(f"it has {kind}; expected gray, RGB, CMYK or a palette, of 8 or 16 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(rgba, mask=rgba.getchannel("A"))
        return background
    return image.convert("RGB")
