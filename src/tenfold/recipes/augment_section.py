"""The keys of `[data.augment]`: the augmentation of training images."""

from typing import Literal

from pydantic import model_validator

from tenfold.recipes.section import AreaRange, NotNegative, Pixels, Probability, Section


class AugmentSection(Section):
    """`[data.augment]`: augmentation of training images, with new random draws for each image and epoch.

    Args:
        flip: horizontal flip: `random`, or `alternating` (each image is flipped in every second epoch).
        shift: largest random shift from the center, in pixels; beyond the edge of the stored image lies its reflection.
        crop: `[min, max]`, fractions of the area of a random crop (RandomResizedCrop), such as `[0.35, 1.0]`; its
            proportions change by up to 4/3. Instead of `shift`.
        trivial: TrivialAugment: each image gets one random operation on geometry or colors.
        cutout: side of a random square that is filled with gray, in pixels.
        erase: probability that a random rectangle of 2 to 33 % of the area is filled with random pixels.
        mixup: mixup with λ from Beta(mixup, mixup): 0.2 keeps most images close to one of the two, 1 draws λ uniformly;
            0 is off.
        cutmix: CutMix with the kept area from Beta(cutmix, cutmix); 0 is off. With both, each image gets one of them.
        first_epoch: whether to augment in the first epoch. All images are new then, and short runs reach a higher
            accuracy without.
    """

    flip: Literal["none", "random", "alternating"] = "none"
    shift: Pixels = 0
    crop: AreaRange = ()
    trivial: bool = False
    cutout: Pixels = 0
    erase: Probability = 0.0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0
    first_epoch: bool = True

    @model_validator(mode="after")
    def _one_rule_for_the_crop(self) -> "AugmentSection":
        if self.crop and self.shift:
            raise ValueError(
                f"data.augment.crop = {list(self.crop)} and data.augment.shift = {self.shift} both decide which part "
                "of an image is shown; expected one of them, the other 0 or []"
            )
        return self
