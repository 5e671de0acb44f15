"""Training pictures mixed with a partner each, drawn from the whole split.

mixup blends two pictures, cutmix pastes a rectangle of one into the other; the target is mixed in the same share.
Where a recipe asks for both, each picture gets one or the other with equal chance.

Shapes: N pictures of the split, B pictures of the batch, C channels, H×W pixels; uint8 throughout.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tenfold.core.errors import RecipeError
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


_GREY = 128


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirrors some pictures left and right.

    Args:
        images: [B, C, H, W], any dtype.
        mirrored: bool [B], which pictures to mirror.

    Returns:
        Pictures of the same shape and memory format.
    """
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def shift(images: Tensor, offsets: Tensor, pixels: int) -> Tensor:
    """Moves each picture by up to `pixels`, filling the border with its reflection.

    Args:
        images: [B, C, H, W], any dtype, H and W above `pixels`.
        offsets: int64 [B, 2] in [0, 2·pixels], downward and rightward start of the crop in the padded picture.
        pixels: width of the border.

    Returns:
        Pictures of the same shape, channels_last.
    """
    height, width = images.shape[2:]
    rows = _reflected(offsets[:, :1] - pixels + torch.arange(height, device=images.device), height)  # B H
    columns = _reflected(offsets[:, 1:] - pixels + torch.arange(width, device=images.device), width)  # B W
    picture = torch.arange(len(images), device=images.device)[:, None, None]  # B 1 1
    moved = images.permute(0, 2, 3, 1)[picture, rows[:, :, None], columns[:, None, :]]  # B H W C
    return moved.permute(0, 3, 1, 2)


def cutout(images: Tensor, centers: Tensor, side: int) -> Tensor:
    """Paints a square of each picture grey; it may reach over the edge (arXiv:1708.04552).

    Args:
        images: uint8 [B, C, H, W].
        centers: float [B, 2] in [0, 1), the square's centre as share of height and width.
        side: of the square, in pixels.

    Returns:
        Pictures of the same shape and memory format.
    """
    height, width = images.shape[2:]
    sides = torch.full_like(centers, side, dtype=torch.int64)
    return torch.where(rectangles(centers, sides, (height, width)), _GREY, images)


def _reflected(positions: Tensor, length: int) -> Tensor:
    """Folds positions outside [0, length) back by reflection about the first and last pixel."""
    positions = positions.abs()
    return torch.minimum(positions, 2 * (length - 1) - positions)


@dataclass(frozen=True)
class Augmentation:
    """The augmentations of a recipe, in the order flip, shift, cutout, and last mixup or cutmix.

    Args:
        flip: `none`, `random`, or `alternating`: in two epochs each picture is seen once each way
            (arXiv:2404.00498, section 3.6).
        shift: pixels by which a picture may move.
        cutout: side of the square that is greyed out, in pixels.
        mixup: alpha of the Beta distribution from which the share of a blend is drawn; 0 is off.
        cutmix: the same for the area that a picture keeps; with both, each picture gets one or the other.
        first_epoch: whether pictures are changed in the first epoch too, when all of them are new anyway.

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
        """Makes the random numbers of one epoch, one row for each of `count` pictures, on the CPU.

        Args:
            count: pictures in the split.
            seed: of the run.
            epoch: number of the epoch, from 0.
        """
        draws: dict[str, Tensor] = {}
        if epoch == 0 and not self.first_epoch:
            return draws
        generator = generator_for(seed, "augment", epoch)
        if self.flip == "random":
            draws["flip"] = torch.rand(count, generator=generator) < 0.5
        if self.flip == "alternating":
            first = torch.rand(count, generator=generator_for(seed, "flip")) < 0.5
            draws["flip"] = first ^ bool(epoch % 2)
        if self.shift:
            draws["shift"] = torch.randint(0, 2 * self.shift + 1, (count, 2), generator=generator)
        if self.cutout:
            draws["cutout"] = torch.rand(count, 2, generator=generator)
        if self.mixup or self.cutmix:
            draws |= draw_mixing(count, mixup=self.mixup, cutmix=self.cutmix, seed=seed, epoch=epoch)
        return draws

    def prepare(
        self, places: Tensor, gather: Callable[[Tensor], Tensor], draws: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Returns pictures of a split as an epoch shows them.

        Args:
            places: int64 [B], where they are in the split.
            gather: from places to the pictures there, uint8 [B, C, H, W].
            draws: what `draw` returned for the epoch.

        Returns:
            Pictures of the same shape, and the share of its own label in each picture's target, float32 [B]; None
            where no picture is mixed. The rest is due to the label of its `partner` in `draws`.
        """
        rows = {name: table[places] for name, table in draws.items()}
        images = self.apply(gather(places), rows)
        if "partner" not in rows:
            return images, None
        others = {name: table[rows["partner"]] for name, table in draws.items()}
        return self.mix(images, self.apply(gather(rows["partner"]), others), rows)

    def apply(self, images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
        """Returns the pictures, uint8 [B, C, H, W], changed as their rows of `draws` say, each by itself."""
        if "flip" in draws:
            images = flip(images, draws["flip"])
        if "shift" in draws:
            images = shift(images, draws["shift"], self.shift)
        if "cutout" in draws:
            images = cutout(images, draws["cutout"], self.cutout)
        return images

    def mix(self, images: Tensor, partners: Tensor, draws: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the pictures mixed with their partners as their rows say, and the share that each is of itself."""
        share = torch.ones(len(images), device=images.device)
        if "mixup" in draws:
            share = draws["mixup"]
            images = mixup(images, partners, share)
        if "cutmix" in draws:
            images, kept = cutmix(images, partners, draws["cutmix"][:, 0], draws["cutmix"][:, 1:])
            share = share * kept  # one of the two is 1: each picture is mixed once
        return images, share

    def check(self, image_size: tuple[int, int]) -> None:
        """Refuses amounts that make no sense for pictures of `image_size`.

        Raises:
            RecipeError: when a picture would be shifted by its own size or more.
        """
        if self.shift >= min(image_size):
            raise RecipeError(
                f"data.augment.shift = {self.shift} for pictures of {image_size[0]}×{image_size[1]}; "
                f"expected at most {min(image_size) - 1}"
            )
