"""Whether two pictures show the same thing, pixel by pixel.

What is compared is local contrast, of brightness and of colour: each pixel less the mean around it, divided by
the deviation around it. So a horizon or a frame counts no more than any other part, and the light does not
count: of two different blue skies nothing agrees, of a picture and its copy nearly everything does. The pixels
themselves must agree too, which tells drawings of one outline apart. One picture is shifted against the other,
and the best place counts.

P pairs, H×W pixels, h×w pixels of a thumbnail, 3 channels.
"""

import numpy as np
from numpy.typing import NDArray

from tenfold.data.inspection.signatures import Floats

SAME_CONTRAST = 0.65
"""Correlation of local contrast from which on two pictures may be the same; docs/check.md says how it was chosen."""
SAME_PIXELS = 0.85
"""Correlation of the pixels themselves that must be reached too."""

_SIDE = 32
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
    if max(height, width) <= _SIDE:
        return pixels
    channels = pixels.transpose(0, 3, 1, 2)  # [P, 3, H, W]
    small = np.asarray(_averaging(height) @ channels @ _averaging(width).T, np.float32)  # [P, 3, h, w]
    return np.ascontiguousarray(small.transpose(0, 2, 3, 1))


def _averaging(size: int) -> Floats:
    """Returns the matrix that averages `size` pixels to 32 of equal width, float32 [min(32, size), size]."""
    count = min(_SIDE, size)
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
