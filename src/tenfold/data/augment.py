"""Augments batches of training images: flip, shift, cutout, mixup and cutmix.

mixup blends two images, cutmix pastes a rectangle of one into the other; the target is mixed with the same weights.
Where a recipe sets both, each image gets one of them with equal probability. Partners come from the whole split.

Shapes: N images of the split, B images in the batch, C channels, H×W pixels; images are uint8 throughout.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tenfold.core.errors import RecipeError
from tenfold.core.randomness import derive_seed, generator_for
from tenfold.core.text import size_text

_WEIGHT_STEPS = 4096
"""Mixing weights are multiples of 1 / 4096. A blend of 8-bit pixels is then exact in float32, so its bits depend
neither on the device nor on the position in a batch, where a processor may round once or twice."""

_GREY = 128


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirrors some images left to right.

    Args:
        images: [B, C, H, W], any dtype.
        mirrored: bool [B], true for the images to mirror.

    Returns:
        Images of the same shape and memory format.
    """
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def shift(images: Tensor, offsets: Tensor, pixels: int) -> Tensor:
    """Moves each image by up to `pixels` and fills the border with its reflection.

    Args:
        images: [B, C, H, W], any dtype, H and W above `pixels`.
        offsets: int64 [B, 2] in [0, 2·pixels], top and left edge of the crop in the padded image.
        pixels: width of the border.

    Returns:
        Images of the same shape, channels_last.
    """
    height, width = images.shape[2:]
    rows = _reflected(offsets[:, :1] - pixels + torch.arange(height, device=images.device), height)  # B H
    columns = _reflected(offsets[:, 1:] - pixels + torch.arange(width, device=images.device), width)  # B W
    index = torch.arange(len(images), device=images.device)[:, None, None]  # B 1 1
    moved = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]  # B H W C
    return moved.permute(0, 3, 1, 2)


def _reflected(positions: Tensor, length: int) -> Tensor:
    """Folds positions outside [0, length) back by reflection about the first and last pixel."""
    positions = positions.abs()
    return torch.minimum(positions, 2 * (length - 1) - positions)


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
    return torch.where(rectangles(centers, sides, (height, width)), _GREY, images)


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


@dataclass(frozen=True)
class Augmentation:
    """The augmentations of a recipe, applied in the order flip, shift, cutout, then mixup or cutmix.

    Args:
        flip: `none`, `random`, or `alternating`: of two successive epochs, one shows the image mirrored
            (arXiv:2404.00498, section 3.6).
        shift: largest shift, in pixels.
        cutout: side of the square that is filled with gray, in pixels; 0 is off.
        mixup: alpha of the Beta distribution of blend weights; 0 is off.
        cutmix: alpha of the Beta distribution of the area that an image keeps; 0 is off.
        first_epoch: whether images are augmented in the first epoch, in which the network sees each of them for the
            first time.

    Example:
        >>> Augmentation(flip="random").draw(4, seed=0, epoch=0)["flip"].dtype
        torch.bool
    """

    flip: str = "none"
    shift: int = 0
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    first_epoch: bool = True

    def draw(self, count: int, *, seed: int, epoch: int) -> dict[str, Tensor]:
        """Draws the random numbers of one epoch, one row per image, on the CPU.

        Args:
            count: number of images in the split, N.
            seed: seed of the run.
            epoch: number of the epoch, from 0.

        Returns:
            Tables by name, [N, …] each; an augmentation that is off has none.
        """
        draws: dict[str, Tensor] = {}
        if epoch == 0 and not self.first_epoch:
            return draws
        generator = generator_for(seed, "augment", epoch)
        if self.flip == "random":
            draws["flip"] = torch.rand(count, generator=generator) < 0.5
        if self.flip == "alternating":
            in_even_epochs = torch.rand(count, generator=generator_for(seed, "flip")) < 0.5
            draws["flip"] = in_even_epochs ^ bool(epoch % 2)
        if self.shift:
            draws["shift"] = torch.randint(0, 2 * self.shift + 1, (count, 2), generator=generator)
        if self.cutout:
            draws["cutout"] = torch.rand(count, 2, generator=generator)
        if self.mixup or self.cutmix:
            draws |= draw_mixing(count, mixup=self.mixup, cutmix=self.cutmix, seed=seed, epoch=epoch)
        return draws

    def apply(self, images: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
        """Applies flip, shift and cutout, which change each image by itself.

        Args:
            images: uint8 [B, C, H, W].
            rows: for each table of `draw` the rows of these images.

        Returns:
            Images of the same shape.
        """
        if "flip" in rows:
            images = flip(images, rows["flip"])
        if "shift" in rows:
            images = shift(images, rows["shift"], self.shift)
        if "cutout" in rows:
            images = cutout(images, rows["cutout"], self.cutout)
        return images

    def mix(self, images: Tensor, partners: Tensor, rows: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Applies mixup and cutmix.

        Args:
            images: uint8 [B, C, H, W], what `apply` returned.
            partners: uint8 [B, C, H, W], what `apply` returned for the images at `rows["partner"]`.
            rows: for each table of `draw` the rows of `images`.

        Returns:
            Images of the same shape, and the weight of its own label in each image's target, float32 [B]; the label of
            the partner has the rest.
        """
        weight = torch.ones(len(images), device=images.device)
        if "mixup" in rows:
            weight = rows["mixup"]
            images = mixup(images, partners, weight)
        if "cutmix" in rows:
            images, kept = cutmix(images, partners, rows["cutmix"][:, 0], rows["cutmix"][:, 1:])
            weight = weight * kept  # one of the two is 1: each image is mixed once
        return images, weight

    def check(self, image_size: tuple[int, int]) -> None:
        """Checks that the augmentations fit the images.

        Args:
            image_size: height and width, in pixels.

        Raises:
            RecipeError: when an image could be shifted by its own size or more.
        """
        if self.shift >= min(image_size):
            raise RecipeError(
                f"data.augment.shift = {self.shift} for images of {size_text(image_size)}; "
                f"expected at most {min(image_size) - 1}"
            )
