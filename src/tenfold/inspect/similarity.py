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

from tenfold.data.sources.download import Progress

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


SAME_CONTRAST = 0.65
"""Correlation of local contrast from which on two pictures may be the same; docs/check.md says how it was chosen."""
SAME_PIXELS = 0.85
"""Correlation of the pixels themselves that must be reached too."""

_SIDE_likeness = 32
_RADIUS = 3
_NOISE = 2.0  # grey levels: fainter contrast than this is mostly JPEG's own
_REACH = 2
_YCBCR = np.array(
    ((0.299, -0.169, 0.5), (0.587, -0.331, -0.419), (0.114, 0.5, -0.081)),  # JFIF, without the offset
    dtype=np.float32,
)


def likeness(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Floats:
    """Returns how alike the pictures of each pair are, at the shift of up to two pixels of 32 that suits them best.

    Args:
        first: uint8 [P, H, W, 3].
        second: uint8 [P, H, W, 3].

    Returns:
        float32 [P] in [0, 1]: the correlation of local contrast where that and that of the pixels speak for
        the same picture, else 0.

    Example:
        >>> picture = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
        >>> bool(likeness(picture, picture // 2 + 60) > 0.9), float(likeness(picture, 255 - picture)[0])
        (True, 0.0)
    """
    here, there = _as_jpeg_sees(_thumbnails(first)), _as_jpeg_sees(_thumbnails(second))
    result = _correlation(_local_contrast(here), _local_contrast(there))
    alike = np.flatnonzero(result >= SAME_CONTRAST)
    pixels = _correlation(_centred(here[alike]), _centred(there[alike]))
    kept = np.zeros_like(result)
    kept[alike] = np.where(pixels >= SAME_PIXELS, np.minimum(result[alike], 1), 0)
    return kept


def _correlation(here: Floats, there: Floats) -> Floats:
    """Returns the best correlation [P] over all shifts, for float32 [P, h, w, 3] whose means are next to 0."""
    height, width = here.shape[1:3]
    down, right = min(_REACH, height // 8), min(_REACH, width // 8)
    inner = here[:, down : height - down, right : width - right]
    own = np.maximum(_length(inner), 1e-3)
    best = np.full(len(here), -1, np.float32)
    for y in range(2 * down + 1):
        for x in range(2 * right + 1):
            window = there[:, y : y + inner.shape[1], x : x + inner.shape[2]]
            product = np.einsum("phwc,phwc->p", inner, window)
            best = np.maximum(best, product / (own * np.maximum(_length(window), 1e-3)))
    return best


def _length(values: Floats) -> Floats:
    result: Floats = np.sqrt(np.einsum("phwc,phwc->p", values, values))
    return result


def _centred(pictures: Floats) -> Floats:
    result: Floats = pictures - pictures.mean((1, 2), keepdims=True)
    return result


def _thumbnails(images: NDArray[np.uint8]) -> Floats:
    """Returns pictures of at most 32×32, float32 [P, h, w, 3]; smaller ones keep their size."""
    height, width = images.shape[1:3]
    pixels = images.astype(np.float32)
    if max(height, width) <= _SIDE_likeness:
        return pixels
    channels = pixels.transpose(0, 3, 1, 2)  # [P, 3, H, W]
    small = np.asarray(_averaging(height) @ channels @ _averaging(width).T, np.float32)  # [P, 3, h, w]
    return np.ascontiguousarray(small.transpose(0, 2, 3, 1))


def _averaging(size: int) -> Floats:
    """Returns the matrix that averages `size` pixels to 32 of equal width, float32 [min(32, size), size]."""
    count = min(_SIDE_likeness, size)
    edges = np.arange(count + 1) * size / count
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(overlap, 0) * count / size, np.float32)


def _as_jpeg_sees(pictures: Floats) -> Floats:
    """Returns brightness and two colour differences, these at half the resolution, which is what JPEG keeps of them.

    They count double, since brightness alone cannot tell two drawings of one outline apart.
    """
    seen: Floats = pictures @ _YCBCR  # [P, h, w, 3]
    seen[..., 1:] = 2 * _box_mean(seen[..., 1:], 1)
    return seen


def _local_contrast(pictures: Floats) -> Floats:
    mean = _box_mean(pictures, _RADIUS)
    variance = np.maximum(_box_mean(pictures * pictures, _RADIUS) - mean * mean, 0).mean(3, keepdims=True)
    result: Floats = (pictures - mean) / (np.sqrt(variance) + _NOISE)
    return result


def _box_mean(values: Floats, radius: int) -> Floats:
    """Returns the mean over the square of 2 · radius + 1 pixels around each, float32 as given; edges are continued."""
    wide = 2 * radius + 1
    height, width = values.shape[1:3]
    padded = np.pad(values, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="edge")
    rows, both = np.zeros_like(padded[:, :height]), np.zeros_like(values)
    for start in range(wide):
        rows += padded[:, start : start + height]
    for start in range(wide):
        both += rows[:, :, start : start + width]
    both /= wide * wide
    return both
