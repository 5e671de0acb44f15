"""Mean and deviation of training pixels."""

import numpy as np
from numpy.typing import NDArray

_CHUNK = 4096
"""Pictures looked at together; bounds the memory."""

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
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(images), _CHUNK):
        pixels = images[start : start + _CHUNK].reshape(-1, 3)
        counts += np.stack([np.bincount(pixels[:, channel], minlength=256) for channel in range(3)])
    values = np.arange(256) / 255
    mean = counts @ values / counts.sum(1)
    variance = counts @ values**2 / counts.sum(1) - mean**2
    deviation = np.maximum(np.sqrt(np.maximum(variance, 0)), 1 / 255)
    return _triple(mean), _triple(deviation)


def _triple(values: NDArray[np.float64]) -> Channels:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
