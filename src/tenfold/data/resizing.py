"""Progressive resizing: training begins with smaller images, which cost less.

Known from fast.ai's DAWNBench entry (2018) and EfficientNetV2 (arXiv:2104.00298).

Shapes: B images, H×W pixels, h×w pixels after shrinking.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_MIN_SIDE = 8
"""Images are not shrunk below this many pixels per side."""

SizeSchedule = Sequence[tuple[float, float]]
"""Pairs (fraction of the run, fraction of the image size), rising: up to the first fraction, images have the second."""


def size_fraction(schedule: SizeSchedule, done: float) -> float:
    """Returns the fraction of their height and width that images have when `done` of the run is done.

    Args:
        schedule: see `SizeSchedule`; after its last entry, images have their full size.
        done: fraction of the run, in [0, 1].

    Example:
        >>> [size_fraction([(0.5, 0.6), (0.75, 0.8)], done) for done in (0.0, 0.5, 0.75)]
        [0.6, 0.8, 1.0]
    """
    return next((fraction for until, fraction in schedule if done < until), 1.0)


def scaled_size(size: tuple[int, int], fraction: float) -> tuple[int, int]:
    """Returns a fraction of a height and width in pixels, each at least 8 where it was not smaller before.

    Example:
        >>> scaled_size((32, 48), 0.625)
        (20, 30)
    """
    height, width = (min(side, max(_MIN_SIDE, round(side * fraction))) for side in size)
    return height, width


def shrink(images: Tensor, fraction: float) -> Tensor:
    """Shrinks images; each new pixel is the mean of the area that it covers.

    Args:
        images: uint8 [B, 3, H, W].
        fraction: fraction of height and width to keep, in (0, 1].

    Returns:
        uint8 [B, 3, h, w] in the same memory format; `images` itself where the size does not change.
    """
    old_size = (images.shape[2], images.shape[3])
    size = scaled_size(old_size, fraction)
    if size == old_size:
        return images
    return F.interpolate(images.float(), size=size, mode="area").round_().to(torch.uint8)
