"""Changes some images of a batch."""

from collections.abc import Callable

import torch
from torch import Tensor


def change_chosen(images: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Changes the chosen images alone.

    On a CPU only those are computed. On another device all are, because the host would have to wait for their number.

    Args:
        images: uint8 [B, C, H, W]; not written to.
        chosen: bool [B].
        change: takes images [b, C, H, W] and their positions in the batch, int64 [b]; returns images of that shape.

    Returns:
        Images of the same shape.
    """
    if images.device.type != "cpu":
        everything = torch.arange(len(images), device=images.device)
        return torch.where(chosen[:, None, None, None], change(images, everything), images)
    index = chosen.nonzero().flatten()
    return images.index_copy(0, index, change(images[index], index)) if len(index) else images
