"""Progressive resizing: a network learns the broad shapes from small pictures first, which cost a fraction.

Known from fast.ai's DAWNBench entry (2018) and EfficientNetV2 (arXiv:2104.00298).

Shapes: B pictures, H×W pixels, h×w pixels of the smaller ones.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_SMALLEST = 8
"""Pixels that a side keeps."""

Course = Sequence[tuple[float, float]]
"""Shares of the run, rising, each with the share of their height and width that pictures have until then."""


def share_at(course: Course, done: float) -> float:
    """Returns the share of their height and width that pictures have when `done` of the run is done.

    Args:
        course: see `Course`; after the last of its shares, pictures have their own size.
        done: share of the run, in [0, 1].

    Example:
        >>> [share_at([(0.5, 0.6), (0.75, 0.8)], done) for done in (0.0, 0.5, 0.75)]
        [0.6, 0.8, 1.0]
    """
    return next((share for until, share in course if done < until), 1.0)


def smaller(size: tuple[int, int], share: float) -> tuple[int, int]:
    """Returns a height and width after they have shrunk to a share of themselves, in pixels, at least 8.

    Example:
        >>> smaller((32, 48), 0.625)
        (20, 30)
    """
    height, width = (min(side, max(_SMALLEST, round(side * share))) for side in size)
    return height, width


def shrink(images: Tensor, share: float) -> Tensor:
    """Returns smaller pictures, each pixel the mean of the area that it covers.

    Args:
        images: uint8 [B, 3, H, W].
        share: of height and width that is kept, in (0, 1].

    Returns:
        uint8 [B, 3, h, w] in the same memory order; `images` themselves where their size stays.
    """
    own = (images.shape[2], images.shape[3])
    size = smaller(own, share)
    if size == own:
        return images
    return F.interpolate(images.float(), size=size, mode="area").round_().to(torch.uint8)
