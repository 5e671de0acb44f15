"""Mean and deviation of training pixels."""

import numpy as np
from numpy.typing import NDArray

_CHUNK = 256
"""Pictures looked at together: float32 adds up so many squares of a byte without rounding."""

Channels = tuple[float, float, float]


def channel_statistics(images: NDArray[np.uint8]) -> tuple[Channels, Channels]:
    """Returns the exact mean and standard deviation of each channel, for pixels in [0, 1].

    Two sets of "CIFAR-10 standard deviations" circulate; one averages the deviations of single pictures. This is the
    deviation of all pixels.

    Args:
        images: uint8 [N, H, W, 3], N at least 1; may be memory-mapped.

    Returns:
        Two triples; a channel of one value only gets deviation 1/255, so that dividing by it stays harmless.

    Example:
        >>> channel_statistics(np.full((1, 8, 8, 3), 255, np.uint8))[0]
        (1.0, 1.0, 1.0)
    """
    height, width = images.shape[1:3]
    total, squares = np.zeros(3), np.zeros(3)
    for start in range(0, len(images), _CHUNK):
        pixels = images[start : start + _CHUNK].reshape(-1, height * width * 3).astype(np.float32)
        total += _sum(pixels)
        squares += _sum(np.square(pixels, out=pixels))
    count = len(images) * height * width
    mean = total / count / 255
    variance = squares / count / 255**2 - mean**2
    deviation = np.maximum(np.sqrt(np.maximum(variance, 0)), 1 / 255)
    return _triple(mean), _triple(deviation)


def _sum(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the sum of each channel, exactly; pixels are float32 [at most 256, H·W·3]."""
    channels: NDArray[np.float64] = pixels.sum(0).reshape(-1, 3).sum(0, dtype=np.float64)
    return channels


def _triple(values: NDArray[np.float64]) -> Channels:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
