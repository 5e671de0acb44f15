"""Training pictures made different each time they are seen.

Each augmentation comes in two halves. `draw` makes the random numbers of a whole epoch, one row for each picture
of the split; `apply` is a pure function of a batch of pictures and their rows. A picture's fate thus depends on
(seed, epoch, picture) alone: not on its place in the order, on the batch size or on how many processes share the work.
That goes for mixing too, since a partner is drawn from the whole split and comes as its own rows say.

Shapes: N pictures of the split, B pictures of the batch, C channels, H×W pixels; uint8 throughout.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.core.errors import RecipeError
from tenfold.core.randomness import generator_for
from tenfold.data.mixing import cutmix, draw_mixing, mixup, rectangles

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
