"""Writers of odd but valid image files that Pillow itself cannot write."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

_SHORT, _LONG = 3, 4


def tiff(
    pixels: np.ndarray,
    photometric: int,
    *,
    order: str = "<",
    sample_format: int = 1,
    extra: Sequence[int] = (),
    separate: bool = False,
    deflated: bool = False,
    more: Sequence[tuple[int, int, Sequence[int]]] = (),
) -> bytes:
    """Returns a TIFF file of one strip, or of one for each band.

    Args:
        pixels: [H, W] or [H, W, C] of any type of values.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK.
        order: `<` or `>`, the order of the bytes.
        sample_format: 1 unsigned, 2 signed, 3 floating-point.
        extra: meaning of each band beyond the colors; 2 is alpha.
        separate: whether each band has a strip of its own.
        deflated: whether the strip is compressed.
        more: other tags, each with its type and values.
    """
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    stored = np.moveaxis(pixels.reshape(*pixels.shape[:2], bands), 2, 0) if separate else pixels
    data = stored.astype(pixels.dtype.newbyteorder(order)).tobytes()
    strips = bands if separate else 1
    data = zlib.compress(data) if deflated else data
    height, width = pixels.shape[:2]
    size = len(data) // strips
    tags: list[tuple[int, int, Sequence[int]]] = [
        (256, _LONG, [width]), (257, _LONG, [height]), (258, _SHORT, [pixels.dtype.itemsize * 8] * bands),
        (259, _SHORT, [8 if deflated else 1]), (262, _SHORT, [photometric]),
        (273, _LONG, [8 + size * strip for strip in range(strips)]), (277, _SHORT, [bands]), (278, _LONG, [height]),
        (279, _LONG, [size] * strips), (284, _SHORT, [2 if separate else 1]),
        (339, _SHORT, [sample_format] * bands), *more,
    ]  # fmt: skip
    if extra:
        tags.append((338, _SHORT, extra))
    return _with_directory(data, sorted(tags), order)


def _with_directory(data: bytes, tags: Sequence[tuple[int, int, Sequence[int]]], order: str) -> bytes:
    values, entries = b"", b""
    for tag, kind, numbers in tags:
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == _SHORT else 'I'}", *numbers)
        if len(packed) > 4:
            position = 8 + len(data) + len(values)
            values, packed = values + packed, struct.pack(order + "I", position)
        entries += struct.pack(order + "HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(data) + len(values))
    return head + data + values + struct.pack(order + "H", len(tags)) + entries + bytes(4)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Returns a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_16_bits(pixels: np.ndarray, transparent: Sequence[int] = ()) -> bytes:
    """Returns a PNG file with 16 bits per value.

    Args:
        pixels: uint16 [H, W, C] with C = 2 (gray and alpha), 3 (RGB) or 4 (RGBA).
        transparent: the RGB values of transparent pixels.
    """
    height, width, bands = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header)]
    if transparent:
        chunks.append(png_chunk(b"tRNS", struct.pack(">3H", *transparent)))
    return b"\x89PNG\r\n\x1a\n" + b"".join([*chunks, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")])
