"""Training pictures made different each time they are seen.

Each augmentation comes in two halves. `draw` makes the random numbers of a whole epoch, one row for each picture
of the split; `apply` is a pure function of a batch of pictures and their rows. A picture's fate thus depends on
(seed, epoch, picture) alone: not on its place in the order, on the batch size or on how many processes share the work.

Shapes: N pictures of the split, B pictures of the batch, C channels, H×W pixels; uint8 throughout.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.core.errors import RecipeError
from tenfold.core.randomness import generator_for


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


def cutout(images: Tensor, centers: Tensor, side: int, fill: int = 128) -> Tensor:
    """Paints a square of each picture grey; it may reach over the edge (arXiv:1708.04552).

    Args:
        images: uint8 [B, C, H, W].
        centers: float [B, 2] in [0, 1), the square's centre as share of height and width.
        side: of the square, in pixels.
        fill: value of the painted pixels, 0 to 255.

    Returns:
        Pictures of the same shape and memory format.
    """
    height, width = images.shape[2:]
    inside_rows = _inside(centers[:, 0], height, side)  # B H
    inside_columns = _inside(centers[:, 1], width, side)  # B W
    hidden = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]  # B 1 H W
    return images.clone().masked_fill_(hidden, fill)  # in place, for masked_fill forgets the memory format


def _reflected(positions: Tensor, length: int) -> Tensor:
    """Folds positions outside [0, length) back by reflection about the first and last pixel."""
    positions = positions.abs()
    return torch.minimum(positions, 2 * (length - 1) - positions)


def _inside(centers: Tensor, length: int, side: int) -> Tensor:
    start = (centers * length).long()[:, None] - side // 2
    position = torch.arange(length, device=centers.device)
    return (position >= start) & (position < start + side)


@dataclass(frozen=True)
class Augmentation:
    """The augmentations of a recipe, in the order flip, shift, cutout.

    Args:
        flip: `none`, `random`, or `alternating`: in two epochs each picture is seen once each way
            (arXiv:2404.00498, section 3.6).
        shift: pixels by which a picture may move.
        cutout: side of the square that is greyed out, in pixels.

    Example:
        >>> Augmentation(flip="random").draw(4, seed=0, epoch=0)["flip"].dtype
        torch.bool
    """

    flip: str = "none"
    shift: int = 0
    cutout: int = 0

    def draw(self, count: int, *, seed: int, epoch: int) -> dict[str, Tensor]:
        """Makes the random numbers of one epoch, one row for each of `count` pictures, on the CPU.

        Args:
            count: pictures in the split.
            seed: of the run.
            epoch: number of the epoch, from 0.
        """
        generator = generator_for(seed, "augment", epoch)
        draws: dict[str, Tensor] = {}
        if self.flip == "random":
            draws["flip"] = torch.rand(count, generator=generator) < 0.5
        if self.flip == "alternating":
            first = torch.rand(count, generator=generator_for(seed, "flip")) < 0.5
            draws["flip"] = first ^ bool(epoch % 2)
        if self.shift:
            draws["shift"] = torch.randint(0, 2 * self.shift + 1, (count, 2), generator=generator)
        if self.cutout:
            draws["cutout"] = torch.rand(count, 2, generator=generator)
        return draws

    def apply(self, images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
        """Returns the pictures, uint8 [B, C, H, W], changed as their rows of `draws` say."""
        if "flip" in draws:
            images = flip(images, draws["flip"])
        if "shift" in draws:
            images = shift(images, draws["shift"], self.shift)
        if "cutout" in draws:
            images = cutout(images, draws["cutout"], self.cutout)
        return images

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
