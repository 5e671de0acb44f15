"""Mixes pairs of training images: mixup and CutMix.

mixup blends two images, CutMix pastes a rectangle of one into the other; the target is mixed with the same weights.
Where a recipe sets both, each image gets one of them with equal probability. Partners come from the whole split.

Shapes: N images of the split, B images in the batch, C channels, H×W pixels; images are uint8 throughout.
"""

import numpy as np
import torch
from torch import Tensor

from tenfold.core.randomness import derive_seed, generator_for
from tenfold.data.augment.rectangles import rectangles

_WEIGHT_STEPS = 4096
"""Mixing weights are multiples of 1 / 4096. A blend of 8-bit pixels is then exact in float32, so its bits depend
neither on the device nor on the position in a batch, where a processor may round once or twice."""


def mixup(images: Tensor, partners: Tensor, weight: Tensor) -> Tensor:
    """Blends each image with its partner and rounds to the nearest pixel value (arXiv:1710.09412).

    Args:
        images: uint8 [B, C, H, W].
        partners: uint8 [B, C, H, W].
        weight: float32 [B] in [0, 1], weight of `images`, the paper's λ; the partner gets the rest.

    Returns:
        Images of the same shape and memory format.
    """
    weight = weight[:, None, None, None]  # B 1 1 1
    return (weight * images + (1 - weight) * partners).round().to(torch.uint8)


def cutmix(images: Tensor, partners: Tensor, weight: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Pastes a rectangle of area 1 − `weight`, in the image's proportions, from the partner (arXiv:1905.04899).

    Args:
        images: uint8 [B, C, H, W].
        partners: uint8 [B, C, H, W].
        weight: float32 [B] in [0, 1], fraction of its own pixels that each image should keep.
        centers: float [B, 2] in [0, 1), center of the rectangle as a fraction of height and width.

    Returns:
        Images of the same shape and memory format, and the fraction of its own pixels that each image kept, float32
        [B]: above `weight` where the rectangle reaches over the edge.
    """
    height, width = images.shape[2:]
    side = (1 - weight).sqrt()
    sides = torch.stack([height * side, width * side], 1).round().long()  # B 2
    pasted = rectangles(centers, sides, (height, width))  # B 1 H W
    pixels = torch.full((), height * width, device=images.device)  # by a number, a GPU would round otherwise
    kept = (~pasted).sum((1, 2, 3)) / pixels
    return torch.where(pasted, partners, images), kept


def draw_mixing(count: int, *, mixup: float, cutmix: float, seed: int, epoch: int) -> dict[str, Tensor]:
    """Draws the random numbers for mixup and cutmix of one epoch, one row per image, on the CPU.

    Args:
        count: number of images in the split, N.
        mixup: alpha of Beta(alpha, alpha), the distribution of the weights; 0 is off.
        cutmix: alpha of the distribution of the area that an image keeps; one of the two is above 0.
        seed: seed of the run.
        epoch: number of the epoch, from 0.

    Returns:
        `partner` int64 [N]; `mixup` float32 [N], the weight; `cutmix` float32 [N, 3], weight and center. Of the two
        weights of an image one is 1.

    Example:
        >>> sorted(draw_mixing(4, mixup=0.2, cutmix=1.0, seed=0, epoch=0))
        ['cutmix', 'mixup', 'partner']
    """
    generator = generator_for(seed, "mix", epoch)
    draws = {"partner": torch.randperm(count, generator=generator)}
    cutmix_probability = 0.5 if mixup and cutmix else float(cutmix > 0)
    cut = torch.rand(count, generator=generator) < cutmix_probability
    if mixup:
        draws["mixup"] = _beta_weights(mixup, count, derive_seed(seed, "mixup", epoch)).masked_fill(cut, 1)
    if cutmix:
        weight = _beta_weights(cutmix, count, derive_seed(seed, "cutmix", epoch)).masked_fill(~cut, 1)
        draws["cutmix"] = torch.cat([weight[:, None], torch.rand(count, 2, generator=generator)], 1)
    return draws


def _beta_weights(alpha: float, count: int, seed: int) -> Tensor:
    """Returns draws from Beta(alpha, alpha), float32 [N]; from NumPy, because PyTorch's Beta takes no generator."""
    drawn = np.random.default_rng(seed).beta(alpha, alpha, count)
    return torch.from_numpy((drawn * _WEIGHT_STEPS).round() / _WEIGHT_STEPS).float()
