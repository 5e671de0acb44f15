"""Moves the content of images: flip, windows by whole pixels, and resampling by affine maps.

Shapes: B images in the batch, C channels, H×W pixels, h×w pixels of a result.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

GRAY = 128
"""Gray level of what shows no image."""


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirrors some images left to right.

    Args:
        images: [B, C, H, W], any dtype.
        mirrored: bool [B], true for the images to mirror.

    Returns:
        Images of the same shape and memory format.
    """
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def shift(images: Tensor, offsets: Tensor, pixels: int, size: tuple[int, int] | None = None) -> Tensor:
    """Cuts a window out of each image, up to `pixels` off its center; beyond the edge lies the image's reflection.

    Args:
        images: any dtype [B, C, H, W].
        offsets: int64 [B, 2] in [0, 2·pixels], from top and left; `pixels` is the center.
        pixels: largest shift, below h and w.
        size: height and width of the window, h×w, at most H×W; those of the images if None.

    Returns:
        Images of shape [B, C, h, w], channels_last.
    """
    old_size = (images.shape[2], images.shape[3])
    index = torch.arange(len(images), device=images.device)[:, None, None]  # B 1 1
    rows, columns = (
        _reflected((old - new) // 2 - pixels + offset[:, None] + torch.arange(new, device=images.device), old)
        for old, new, offset in zip(old_size, size or old_size, offsets.unbind(1), strict=True)
    )  # B h, B w
    moved = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]  # B h w C
    return moved.permute(0, 3, 1, 2)


def _reflected(positions: Tensor, length: int) -> Tensor:
    """Folds positions outside [0, length) back by reflection about the first and last pixel."""
    positions = positions.abs()
    return torch.minimum(positions, 2 * (length - 1) - positions)


def resample(images: Tensor, boxes: Tensor | None, motions: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Cuts a box out of each image, moves its content and brings it to one size, in a single bilinear resampling.

    There is no filter against aliasing: a box should have at most about twice as many pixels per side as the result.

    Args:
        images: uint8 [B, C, H, W].
        boxes: float32 [B, 4], center from top and left, height, width, as fractions; a negative width mirrors. None is
            the whole image.
        motions: float32 [B, 2, 3], for each result where its pixels come from in the box: a map of (x, y, 1) to (x, y),
            in pixels of the result from its center. What comes from outside of the image is gray. None moves nothing.
        size: height and width of the result, h×w.

    Returns:
        uint8 [B, C, h, w].
    """
    if boxes is None:
        boxes = torch.full((len(images), 4), 0.5, device=images.device)
        boxes[:, 2:] = 1
    moved_by = torch.eye(2, 3, device=images.device)[None] if motions is None else motions
    x, y = (_coordinates(moved_by[:, i], boxes[:, 1 - i], boxes[:, 3 - i], size, size[1 - i]) for i in (0, 1))  # B h w
    edge = [1 - 1 / side for side in images.shape[2:]]  # the centers of the outermost pixels
    grid = torch.stack([x.clamp(-edge[1], edge[1]), y.clamp(-edge[0], edge[0])], 3)  # not every device has "border"
    moved = F.grid_sample(images.float(), grid, align_corners=False).round_().to(torch.uint8)
    if motions is None:
        return moved
    inside = (x.abs() <= 1) & (y.abs() <= 1)
    return torch.where(inside[:, None], moved, GRAY)


def _coordinates(motion: Tensor, center: Tensor, side: Tensor, size: tuple[int, int], length: int) -> Tensor:
    """Returns where pixels of a result come from along one dimension of the image, from −1 to 1: float32 [B, h, w].

    It is not a matrix product, whose bits may depend on the number of images.

    Args:
        motion: float32 [B or 1, 3], the row of `motions` for this dimension.
        center: float32 [B], of the box along this dimension.
        side: float32 [B], of the box along this dimension.
        size: height and width of the result.
        length: of the two, the one along this dimension.
    """
    down, right = (torch.arange(pixels, device=center.device) + (0.5 - pixels / 2) for pixels in size)
    weight = motion * (side * (2 / length))[:, None]  # B 3
    along_rows = weight[:, :1] * right + (weight[:, 2] + (2 * center - 1))[:, None]  # B w
    return along_rows[:, None] + (weight[:, 1:2] * down)[:, :, None]
