"""Image similarity: compact signatures to find candidate pairs, and a pixel comparison to confirm them.

A signature holds the 8×8 lowest DCT frequencies of the grayscale image, as in the perceptual hash by DCT (C. Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions", 2010), but as floats: rounded to bits they find
less and are no faster to compare. Amplitudes of natural images fall with frequency (D. J. Field, "Relations between
the statistics of natural images and the response properties of cortical cells", J. Opt. Soc. Am. A 4, 1987), so each
is multiplied by its frequency. Otherwise the lowest few decide, and all blue skies are similar.

N images, P pairs, H×W pixels, 3 channels.
"""

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.data.types import ProgressCallback

Floats = NDArray[np.float32]

NUM_EVEN = 32
"""Mirroring an image keeps the first `NUM_EVEN` values of its signature and negates the others."""

MIN_CONTRAST_CORRELATION = 0.65
"""Minimum correlation of local contrast between duplicates; docs/check.md says how it was chosen."""

MIN_PIXEL_CORRELATION = 0.85
"""Minimum correlation of the pixels of duplicates, required too."""

_LUMINANCE = np.array((0.299, 0.587, 0.114), dtype=np.float32)
_YCBCR = np.array(
    ((0.299, -0.169, 0.5), (0.587, -0.331, -0.419), (0.114, 0.5, -0.081)),  # JFIF, without the offset
    dtype=np.float32,
)
_NUM_FREQUENCIES = 8  # in each direction
_MIN_NORM = 24.0  # gray levels; a shorter signature holds only noise and is not scaled to norm 1
_CHUNK_BYTES = 4 << 20

_THUMBNAIL_SIDE = 32
_CONTRAST_RADIUS = 3
_CONTRAST_NOISE = 2.0  # gray levels; weaker contrast is mostly a JPEG artifact
_MAX_SHIFT = 2


class ImageFeatures(NamedTuple):
    """What duplicate detection needs to know about each image.

    Args:
        digests: uint64 [N], equal for equal pixels.
        signatures: float32 [N, 64], of norm 1 or less.
        ranges: uint8 [N], largest difference between two pixels of an image in one channel.
    """

    digests: NDArray[np.uint64]
    signatures: Floats
    ranges: NDArray[np.uint8]


def image_features(images: NDArray[np.uint8], progress: ProgressCallback) -> ImageFeatures:
    """Computes the features of all images in one pass of small chunks, so a store may be larger than memory.

    Args:
        images: uint8 [N, H, W, 3]; may be memory-mapped.
        progress: called with the number of images done.
    """
    count, height, width = images.shape[:3]
    features = ImageFeatures(np.zeros(count, np.uint64), np.zeros((count, 64), np.float32), np.zeros(count, np.uint8))
    rows, columns = _dct_basis(height), _dct_basis(width)
    step = max(1, _CHUNK_BYTES // max(1, height * width * 3))
    for start in range(0, count, step):
        chunk = np.ascontiguousarray(images[start : start + step])
        part = slice(start, start + len(chunk))
        features.digests[part] = [_digest(image) for image in chunk]
        features.signatures[part] = _signatures(chunk, rows, columns)
        brightest, darkest = (edge.reshape(-1, width, 3) for edge in (chunk.max(1), chunk.min(1)))
        features.ranges[part] = (brightest.max(1) - darkest.min(1)).max(1)
        progress("Computing image signatures", start + len(chunk), count)
    return features


def _digest(image: NDArray[np.uint8]) -> int:
    return int.from_bytes(hashlib.blake2b(image.data, digest_size=8).digest(), "little")


def _signatures(images: NDArray[np.uint8], rows: Floats, columns: Floats) -> Floats:
    gray = images.astype(np.float32) @ _LUMINANCE  # [N, H, W]
    amplitudes: Floats = rows @ gray @ columns.T  # [N, 8, 8]
    frequency = np.arange(_NUM_FREQUENCIES, dtype=np.float32)
    amplitudes *= np.add.outer(frequency, frequency)  # 0 for the mean brightness
    even, odd = amplitudes[:, :, 0::2], amplitudes[:, :, 1::2]  # horizontally
    flat = np.concatenate([even, odd], axis=2).transpose(0, 2, 1).reshape(len(images), -1)  # [N, 64]
    norm = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), _MIN_NORM)
    return np.asarray(flat / norm, np.float32)


def _dct_basis(size: int) -> Floats:
    """Returns the 8 lowest cosines of the DCT-II over `size` pixels, float32 [8, size]; zeros for missing ones.

    They are scaled so that enlarging an image keeps its amplitudes.
    """
    frequency = np.arange(_NUM_FREQUENCIES)[:, None]
    basis = np.cos(np.pi * frequency * (2 * np.arange(size) + 1) / (2 * size)) * np.sqrt(2) / size
    basis[size:] = 0
    return np.asarray(basis, np.float32)


def likeness(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Floats:
    """Returns how similar the images of each pair are, at the best shift of up to 2 pixels of 32.

    Args:
        first: uint8 [P, H, W, 3].
        second: uint8 [P, H, W, 3].

    Returns:
        float32 [P] in [0, 1]: the correlation of local contrast if that and the correlation of the pixels reach
        their minimum, else 0.

    Example:
        >>> image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
        >>> bool(likeness(image, image // 2 + 60) > 0.9), float(likeness(image, 255 - image)[0])
        (True, 0.0)
    """
    first_ycbcr, second_ycbcr = _to_ycbcr(_thumbnails(first)), _to_ycbcr(_thumbnails(second))
    contrast = _best_correlation(_local_contrast(first_ycbcr), _local_contrast(second_ycbcr))
    similar = np.flatnonzero(contrast >= MIN_CONTRAST_CORRELATION)
    pixels = _best_correlation(_centered(first_ycbcr[similar]), _centered(second_ycbcr[similar]))
    result = np.zeros_like(contrast)
    result[similar] = np.where(pixels >= MIN_PIXEL_CORRELATION, np.minimum(contrast[similar], 1), 0)
    return result


def _best_correlation(first: Floats, second: Floats) -> Floats:
    """Returns the best correlation over all shifts, float32 [P], of float32 [P, h, w, 3] with means near 0."""
    height, width = first.shape[1:3]
    down, right = min(_MAX_SHIFT, height // 8), min(_MAX_SHIFT, width // 8)
    inner = first[:, down : height - down, right : width - right]
    inner_norm = np.maximum(_norm(inner), 1e-3)
    best = np.full(len(first), -1, np.float32)
    for y in range(2 * down + 1):
        for x in range(2 * right + 1):
            window = second[:, y : y + inner.shape[1], x : x + inner.shape[2]]
            product = np.einsum("phwc,phwc->p", inner, window)
            best = np.maximum(best, product / (inner_norm * np.maximum(_norm(window), 1e-3)))
    return best


def _norm(values: Floats) -> Floats:
    result: Floats = np.sqrt(np.einsum("phwc,phwc->p", values, values))
    return result


def _centered(images: Floats) -> Floats:
    result: Floats = images - images.mean((1, 2), keepdims=True)
    return result


def _thumbnails(images: NDArray[np.uint8]) -> Floats:
    """Returns images of at most 32×32, float32 [P, h, w, 3]; smaller ones keep their size."""
    height, width = images.shape[1:3]
    pixels = images.astype(np.float32)
    if max(height, width) <= _THUMBNAIL_SIDE:
        return pixels
    channels = pixels.transpose(0, 3, 1, 2)  # [P, 3, H, W]
    small = np.asarray(_area_weights(height) @ channels @ _area_weights(width).T, np.float32)  # [P, 3, h, w]
    return np.ascontiguousarray(small.transpose(0, 2, 3, 1))


def _area_weights(size: int) -> Floats:
    """Returns the matrix that averages `size` pixels to 32 of equal width, float32 [min(32, size), size]."""
    count = min(_THUMBNAIL_SIDE, size)
    edges = np.arange(count + 1) * size / count
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(overlap, 0) * count / size, np.float32)


def _to_ycbcr(images: Floats) -> Floats:
    """Returns luma and chroma, float32 [P, h, w, 3], with chroma at half resolution, which is all that JPEG keeps.

    Chroma counts double: luma alone cannot separate two drawings with the same outline.
    """
    ycbcr: Floats = images @ _YCBCR
    ycbcr[..., 1:] = 2 * _box_mean(ycbcr[..., 1:], 1)
    return ycbcr


def _local_contrast(images: Floats) -> Floats:
    mean = _box_mean(images, _CONTRAST_RADIUS)
    variance = np.maximum(_box_mean(images * images, _CONTRAST_RADIUS) - mean * mean, 0).mean(3, keepdims=True)
    result: Floats = (images - mean) / (np.sqrt(variance) + _CONTRAST_NOISE)
    return result


def _box_mean(values: Floats, radius: int) -> Floats:
    """Returns the mean of the (2 · radius + 1)² pixels around each pixel, same shape; edge pixels are repeated."""
    side = 2 * radius + 1
    height, width = values.shape[1:3]
    padded = np.pad(values, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="edge")
    rows, both = np.zeros_like(padded[:, :height]), np.zeros_like(values)
    for start in range(side):
        rows += padded[:, start : start + height]
    for start in range(side):
        both += rows[:, :, start : start + width]
    both /= side * side
    return both
