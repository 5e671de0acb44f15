"""Training pictures mixed with a partner each, drawn from the whole split.

mixup blends two pictures, cutmix pastes a rectangle of one into the other; the target is mixed in the same share.
Where a recipe asks for both, each picture gets one or the other with equal chance.

Shapes: N pictures of the split, B pictures of the batch, C channels, H×W pixels; uint8 throughout.
"""

import numpy as np
import torch
from torch import Tensor

from tenfold.core.randomness import derive_seed, generator_for

_GRAIN = 4096
"""Shares are whole multiples of 1 / 4096: a blend of 8-bit pixels is then exact in float32, so that its bits depend
neither on the device nor on the place in a batch, where a processor may round once or twice."""


def mixup(images: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """Blends each picture with its partner, rounding to the nearest pixel value (arXiv:1710.09412).

    Args:
        images: uint8 [B, C, H, W].
        partners: of the same shape.
        share: float32 [B] in [0, 1], of the picture itself.

    Returns:
        Pictures of the same shape and memory format.
    """
    share = share[:, None, None, None]  # B 1 1 1
    return (share * images + (1 - share) * partners).round().to(torch.uint8)


def cutmix(images: Tensor, partners: Tensor, share: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Takes a rectangle of area 1 − `share`, in the picture's proportions, from the partner (arXiv:1905.04899).

    Args:
        images: uint8 [B, C, H, W].
        partners: of the same shape.
        share: float32 [B] in [0, 1], of the picture itself.
        centers: float [B, 2] in [0, 1), the rectangle's centre as share of height and width.

    Returns:
        Pictures of the same shape and memory format, and the share of its own pixels that each really kept, float32
        [B]: more than was asked for where the rectangle reaches over the edge.
    """
    height, width = images.shape[2:]
    side = (1 - share).sqrt()
    sides = torch.stack([height * side, width * side], 1).round().long()  # B 2
    taken = rectangles(centers, sides, (height, width))  # B 1 H W
    kept = (~taken).sum((1, 2, 3)) / (height * width)
    return torch.where(taken, partners, images), kept


def rectangles(centers: Tensor, sides: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns the pixels inside one rectangle a picture, bool [B, 1, H, W]; a rectangle may reach over the edge.

    Args:
        centers: float [B, 2] in [0, 1), as share of height and width.
        sides: int64 [B, 2], in pixels.
        size: height and width of the pictures, in pixels.
    """
    rows, columns = (_between(centers[:, i], sides[:, i], size[i]) for i in (0, 1))  # B H, B W
    return rows[:, None, :, None] & columns[:, None, None, :]


def _between(center: Tensor, side: Tensor, length: int) -> Tensor:
    start = ((center * length).long() - side // 2)[:, None]
    position = torch.arange(length, device=center.device)
    return (position >= start) & (position < start + side[:, None])


def draw_mixing(count: int, *, mixup: float, cutmix: float, seed: int, epoch: int) -> dict[str, Tensor]:
    """Makes the random numbers of one epoch, one row for each of `count` pictures, on the CPU.

    Args:
        count: pictures in the split.
        mixup: shares follow Beta(mixup, mixup); 0 is off.
        cutmix: the same for the area that a picture keeps; one of the two is above 0.
        seed: of the run.
        epoch: number of the epoch, from 0.

    Returns:
        `partner` int64 [N], `mixup` float32 [N]: share, `cutmix` float32 [N, 3]: share and centre. The share is 1
        where it is the other's turn.

    Example:
        >>> sorted(draw_mixing(4, mixup=0.2, cutmix=1.0, seed=0, epoch=0))
        ['cutmix', 'mixup', 'partner']
    """
    generator = generator_for(seed, "mix", epoch)
    draws = {"partner": torch.randperm(count, generator=generator)}
    chance = 0.5 if mixup and cutmix else float(cutmix > 0)
    cut = torch.rand(count, generator=generator) < chance
    if mixup:
        draws["mixup"] = _shares(mixup, count, derive_seed(seed, "mixup", epoch)).masked_fill(cut, 1)
    if cutmix:
        share = _shares(cutmix, count, derive_seed(seed, "cutmix", epoch)).masked_fill(~cut, 1)
        draws["cutmix"] = torch.cat([share[:, None], torch.rand(count, 2, generator=generator)], 1)
    return draws


def _shares(alpha: float, count: int, seed: int) -> Tensor:
    """Returns draws from Beta(alpha, alpha), float32 [N]; PyTorch's own takes no generator."""
    drawn = np.random.default_rng(seed).beta(alpha, alpha, count)
    return torch.from_numpy((drawn * _GRAIN).round() / _GRAIN).float()
