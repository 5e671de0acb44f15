"""What a recipe's `[data.augment]` does to training images: random draws, and changes of whole batches.

Shapes: N images of the split, B images in the batch, C channels, H×W pixels as stored, h×w pixels as the network takes
them; images are uint8 throughout.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.core.errors import RecipeError
from tenfold.core.randomness import generator_for
from tenfold.core.text import size_text
from tenfold.data.augment.chosen import change_chosen
from tenfold.data.augment.erasing import cutout, draw_erasing, erase
from tenfold.data.augment.geometry import flip, resample, shift
from tenfold.data.augment.mixing import cutmix, draw_mixing, mixup
from tenfold.data.augment.rectangles import draw_rectangles
from tenfold.data.augment.trivial import change_colors, draw_trivial, moves
from tenfold.data.decode.margin import centered

_CROP_ASPECT = 4 / 3


@dataclass(frozen=True)
class Augmentation:
    """The augmentations of a recipe, applied in the order of the arguments, but for the last two.

    Args:
        flip: `none`, `random`, or `alternating`: of two successive epochs, one shows the image mirrored
            (arXiv:2404.00498, section 3.6).
        shift: largest shift from the center, in pixels.
        crop: smallest and largest area of a random crop that is brought to the size of the result, as fractions of the
            stored image; its proportions change by up to 4/3 (RandomResizedCrop, arXiv:1409.4842). Empty is off.
        trivial: whether each image gets one operation of TrivialAugment (arXiv:2103.10158).
        cutout: side of the square that is filled with gray, in pixels; 0 is off.
        erase: probability that a rectangle is filled with random pixels; 0 is off.
        mixup: alpha of the Beta distribution of blend weights; 0 is off.
        cutmix: alpha of the Beta distribution of the area that an image keeps; 0 is off.
        first_epoch: whether images are augmented in the first epoch, in which the network sees each of them for the
            first time.
        image_size: height and width of the result, h×w; None for those of the stored images. Without `crop` it is
            their center, or with `shift` a window around it.

    Example:
        >>> Augmentation(flip="random").draw(4, seed=0, epoch=0)["flip"].dtype
        torch.bool
    """

    flip: str = "none"
    shift: int = 0
    crop: tuple[float, ...] = ()
    trivial: bool = False
    cutout: int = 0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    first_epoch: bool = True
    image_size: tuple[int, int] | None = None

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
        if self.crop:
            area = self.crop[0], self.crop[1]
            draws["crop"] = draw_rectangles(count, area, _CROP_ASPECT, generator_for(seed, "crop", epoch))
        if self.trivial:
            draws |= draw_trivial(count, seed=seed, epoch=epoch)
        if self.erase:
            draws |= draw_erasing(count, probability=self.erase, seed=seed, epoch=epoch)
        if self.mixup or self.cutmix:
            draws |= draw_mixing(count, mixup=self.mixup, cutmix=self.cutmix, seed=seed, epoch=epoch)
        return draws

    def apply(self, images: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
        """Applies all but mixup and cutmix: what changes each image by itself.

        Args:
            images: uint8 [B, C, H, W], as stored.
            rows: for each table of `draw` the rows of these images.

        Returns:
            uint8 [B, C, h, w].
        """
        images = self._cropped(images, rows) if "crop" in rows else self._window(images, rows)
        if "operation" in rows:
            images = change_colors(images, rows["operation"], rows["level"])
        if "cutout" in rows:
            images = cutout(images, rows["cutout"], self.cutout)
        if "erase" in rows:
            images = erase(images, rows["erase"], rows["noise"])
        return images

    def _cropped(self, images: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
        """Crops, mirrors and moves images in one resampling, [B, C, h, w]."""
        boxes = rows["crop"]
        if "flip" in rows:
            boxes = torch.cat([boxes[:, :3], torch.where(rows["flip"], -boxes[:, 3], boxes[:, 3])[:, None]], 1)
        return resample(images, boxes, rows.get("motion"), self._size(images))

    def _window(self, images: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
        """Mirrors images, takes a window of whole pixels and moves some, [B, C, h, w]."""
        size = self._size(images)
        if "flip" in rows:
            images = flip(images, rows["flip"])
        images = shift(images, rows["shift"], self.shift, size) if "shift" in rows else centered(images, size)
        if "motion" not in rows:
            return images

        def moved(part: Tensor, index: Tensor) -> Tensor:
            return resample(part, None, rows["motion"][index], size)

        return change_chosen(images, moves(rows["operation"]), moved)

    def _size(self, images: Tensor) -> tuple[int, int]:
        return self.image_size or (images.shape[2], images.shape[3])

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
            ).everywhere()
