"""Short signatures of pictures, by which those that may show the same thing are found.

A signature is what the perceptual hash by DCT (C. Zauner, "Implementation and Benchmarking of Perceptual Image
Hash Functions", 2010) is made of, the 8×8 lowest frequencies of the grey picture, kept as numbers: rounded to
bits they find less and are no faster to compare. The amplitudes of natural pictures fall with their frequency
(D. J. Field, "Relations between the statistics of natural images and the response properties of cortical
cells", J. Opt. Soc. Am. A 4, 1987), so each is multiplied by its own: otherwise the few lowest decide, and all
blue skies are alike.

N pictures, H×W pixels, 3 channels.
"""

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.data.download import Progress

Floats = NDArray[np.float32]

LUMINANCE = np.array((0.299, 0.587, 0.114), dtype=np.float32)
EVEN = 32
"""The first so many numbers of a signature stay as they are where the picture is mirrored, the others change sign."""

_SIDE = 8
_CHUNK_BYTES = 4 << 20
_FAINT = 24.0
"""Signatures shorter than this, in grey levels, are not brought to length 1: nothing but noise is in them."""


class Traits(NamedTuple):
    """What one look at each picture tells.

    Args:
        digests: uint64 [N], equal for equal pixels.
        signatures: float32 [N, 64], of length 1 or less.
        ranges: uint8 [N], the largest difference between two pixels of a picture in one channel.
    """

    digests: NDArray[np.uint64]
    signatures: Floats
    ranges: NDArray[np.uint8]


def traits(images: NDArray[np.uint8], progress: Progress) -> Traits:
    """Looks at each picture once, in small pieces, so that a store may be larger than memory.

    Args:
        images: uint8 [N, H, W, 3]; may be memory-mapped.
        progress: told how many pictures were looked at.
    """
    count, height, width = images.shape[:3]
    found = Traits(np.zeros(count, np.uint64), np.zeros((count, 64), np.float32), np.zeros(count, np.uint8))
    rows, columns = _cosines(height), _cosines(width)
    step = max(1, _CHUNK_BYTES // max(1, height * width * 3))
    for start in range(0, count, step):
        chunk = np.ascontiguousarray(images[start : start + step])
        part = slice(start, start + len(chunk))
        found.digests[part] = [_digest(picture) for picture in chunk]
        found.signatures[part] = _signatures(chunk, rows, columns)
        brightest, darkest = (edge.reshape(-1, width, 3) for edge in (chunk.max(1), chunk.min(1)))
        found.ranges[part] = (brightest.max(1) - darkest.min(1)).max(1)
        progress("Looking at pixels", start + len(chunk), count)
    return found


def _digest(picture: NDArray[np.uint8]) -> int:
    return int.from_bytes(hashlib.blake2b(picture.data, digest_size=8).digest(), "little")


def _signatures(images: NDArray[np.uint8], rows: Floats, columns: Floats) -> Floats:
    grey = images.astype(np.float32) @ LUMINANCE  # [N, H, W]
    waves: Floats = rows @ grey @ columns.T  # [N, 8, 8]
    waves *= np.add.outer(np.arange(_SIDE, dtype=np.float32), np.arange(_SIDE, dtype=np.float32))  # brightness: 0
    even, odd = waves[:, :, 0::2], waves[:, :, 1::2]  # from left to right
    flat = np.concatenate([even, odd], axis=2).transpose(0, 2, 1).reshape(len(images), -1)  # [N, 64]
    length = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), _FAINT)
    return np.asarray(flat / length, np.float32)


def _cosines(size: int) -> Floats:
    """Returns the 8 lowest cosines of DCT-II over `size` pixels, float32 [8, size]; zeros where it has fewer.

    They are scaled so that a picture's numbers stay as they are when it is enlarged.
    """
    frequency = np.arange(_SIDE)[:, None]
    waves = np.cos(np.pi * frequency * (2 * np.arange(size) + 1) / (2 * size)) * np.sqrt(2) / size
    waves[size:] = 0
    return np.asarray(waves, np.float32)
