"""Rectangles in images: drawn at random, and as masks.

Shapes: N images of the split, B images in the batch, H×W pixels.
"""

import math

import torch
from torch import Tensor


def draw_rectangles(count: int, area: tuple[float, float], aspect: float, generator: torch.Generator) -> Tensor:
    """Draws rectangles inside an image: area and position uniformly, the logarithm of the aspect uniformly.

    Sides are fractions of the image's, so an aspect of 1 keeps its proportions. Where the area allows fewer aspects,
    they are drawn from those that fit, so that nothing is drawn twice.

    Args:
        count: number of images, N.
        area: smallest and largest fraction of the image, in (0, 1].
        aspect: largest ratio of the sides, at least 1; the smallest is 1 / aspect.
        generator: on the CPU.

    Returns:
        float32 [N, 4]: center from top and left, height, width, as fractions of height and width.
    """
    drawn = torch.rand(4, count, dtype=torch.float64, generator=generator)
    areas = area[0] + (area[1] - area[0]) * drawn[0]
    limits = areas.log().neg().clamp(max=math.log(aspect))  # a side is at most 1
    stretch = ((2 * drawn[1] - 1) * limits / 2).exp()
    heights, widths = areas.sqrt() / stretch, areas.sqrt() * stretch
    centers = (sides / 2 + (1 - sides) * position for sides, position in ((heights, drawn[2]), (widths, drawn[3])))
    return torch.stack([*centers, heights, widths], 1).float()


def rectangles(centers: Tensor, sides: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns a mask of one rectangle per image, bool [B, 1, H, W]; a rectangle may reach over the edge.

    Args:
        centers: float [B, 2] in [0, 1), as a fraction of height and width.
        sides: int64 [B, 2], in pixels.
        size: height and width of the images, in pixels.
    """
    rows, columns = (_between(centers[:, i], sides[:, i], size[i]) for i in (0, 1))  # B H, B W
    return rows[:, None, :, None] & columns[:, None, None, :]


def _between(center: Tensor, side: Tensor, length: int) -> Tensor:
    start = ((center * length).long() - side // 2)[:, None]
    position = torch.arange(length, device=center.device)
    return (position >= start) & (position < start + side[:, None])
