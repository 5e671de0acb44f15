"""Covers a rectangle of each image: cutout with gray, random erasing with random pixels.

Shapes: N images of the split, B images in the batch, C channels, H×W pixels; images are uint8 throughout.
"""

import torch
from torch import Tensor

from tenfold.core.randomness import generator_for
from tenfold.data.augment.chosen import change_chosen
from tenfold.data.augment.geometry import GRAY
from tenfold.data.augment.rectangles import draw_rectangles, rectangles

_AREA, _ASPECT = (0.02, 0.33), 1 / 0.3  # as usual; the paper goes up to 0.4


def cutout(images: Tensor, centers: Tensor, side: int) -> Tensor:
    """Fills a square of each image with gray; the square may reach over the edge (arXiv:1708.04552).

    Args:
        images: uint8 [B, C, H, W].
        centers: float [B, 2] in [0, 1), center of the square as a fraction of height and width.
        side: side of the square, in pixels.

    Returns:
        Images of the same shape and memory format.
    """
    height, width = images.shape[2:]
    sides = torch.full_like(centers, side, dtype=torch.int64)
    return torch.where(rectangles(centers, sides, (height, width)), GRAY, images)


def draw_erasing(count: int, *, probability: float, seed: int, epoch: int) -> dict[str, Tensor]:
    """Draws the random numbers for random erasing of one epoch, one row per image, on the CPU.

    Args:
        count: number of images in the split, N.
        probability: that an image is erased, in [0, 1].
        seed: seed of the run.
        epoch: number of the epoch, from 0.

    Returns:
        `erase` float32 [N, 4], see `draw_rectangles`, with sides of 0 where nothing is erased; `noise` int32 [N], the
        seed of the random pixels.
    """
    generator = generator_for(seed, "erase", epoch)
    erased = torch.rand(count, generator=generator) < probability
    noise = torch.randint(0, 2**31 - 1, (count,), dtype=torch.int32, generator=generator)
    return {"erase": draw_rectangles(count, _AREA, _ASPECT, generator) * erased[:, None], "noise": noise}


def erase(images: Tensor, rows: Tensor, seeds: Tensor) -> Tensor:
    """Fills a rectangle of each image with random pixels (arXiv:1708.04896).

    Args:
        images: uint8 [B, C, H, W].
        rows: float32 [B, 4], `erase` of `draw_erasing`.
        seeds: int32 [B], `noise` of `draw_erasing`.

    Returns:
        Images of the same shape.
    """
    height, width = images.shape[2:]
    sides = torch.stack([height * rows[:, 2], width * rows[:, 3]], 1).round().long()  # B 2
    erased = rectangles(rows[:, :2], sides, (height, width))  # B 1 H W

    def filled(part: Tensor, index: Tensor) -> Tensor:
        return torch.where(erased[index], _random_pixels(seeds[index], part.shape), part)

    return change_chosen(images, rows[:, 2] > 0, filled)


def _random_pixels(seeds: Tensor, shape: torch.Size) -> Tensor:
    """Returns uint8 of a shape [B, …]: a hash of seed and position, so the same on every device and in every batch."""
    position = torch.arange(shape[1:].numel(), dtype=torch.int32, device=seeds.device).view(1, *shape[1:])
    value = (position ^ seeds.view(-1, *[1] * (len(shape) - 1))) * 0x45D9F3B  # 32-bit arithmetic wraps around
    value = (value ^ (value >> 16)) * 0x45D9F3B
    return (value >> 16).to(torch.uint8)
