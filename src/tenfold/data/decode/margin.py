"""The margin around what a network sees: stored images have one for random crops, where `data.fit` has a fraction.

Shapes: N images of a store, B images in a batch, H×W pixels, h×w of them in the center.
"""

from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from tenfold.data.store.shards import sharded

if TYPE_CHECKING:
    from torch import Tensor

Images = TypeVar("Images", NDArray[np.uint8], "Tensor")


def centered(images: Images, size: tuple[int, int]) -> Images:
    """Returns the center of images, a view of the same memory or of the same files.

    Args:
        images: an array [..., H, W, 3] or a tensor [..., 3, H, W].
        size: height and width of the center in pixels, at most those of the images.

    Returns:
        An array [..., h, w, 3] or a tensor [..., 3, h, w]; the images themselves where they have this size.
    """
    old_size = sides(images)
    if old_size == size:
        return images
    starts = [(old - new) // 2 for old, new in zip(old_size, size, strict=True)]
    rows, columns = (slice(start, start + side) for start, side in zip(starts, size, strict=True))
    if (source := sharded(images)) is not None:
        return cast(Images, source.cropped((rows, columns)))
    return images[..., rows, columns, :] if isinstance(images, np.ndarray) else images[..., rows, columns]


def sides(images: Images) -> tuple[int, ...]:
    """Returns height and width of images; see `centered`."""
    is_array = isinstance(images, np.ndarray) or sharded(images) is not None
    return tuple(images.shape[-3:-1] if is_array else images.shape[-2:])
