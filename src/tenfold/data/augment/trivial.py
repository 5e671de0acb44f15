"""TrivialAugment, the wide search space (arXiv:2103.10158): one random operation of random strength for each image.

Two choices are not the paper's: shears leave the center of an image where it is, and what comes into view from outside
is gray instead of black.

Shapes: N images of the split, B images in the batch; images are uint8 throughout.
"""

import math
from typing import TypeVar

import torch
from torch import Tensor

from tenfold.core.randomness import generator_for
from tenfold.data.augment import color
from tenfold.data.augment.chosen import change_chosen

MOTIONS = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
_ENHANCED = ("brightness", "color", "contrast", "sharpness")
OPERATIONS = (
    *("identity", *MOTIONS, *_ENHANCED),
    *("posterize", "solarize", "autocontrast", "equalize"),
)
LEVELS = 30
"""Strengths are −30 to 30 thirtieths of the largest; an operation with one direction takes the absolute value."""

_SHEAR, _TRANSLATE, _ROTATE, _ENHANCE = 0.99, 32.0, math.radians(135), 0.99  # largest strengths; pixels, radians

Bits = TypeVar("Bits", int, Tensor)


def draw_trivial(count: int, *, seed: int, epoch: int) -> dict[str, Tensor]:
    """Draws operation and strength for the images of one epoch, one row per image, on the CPU.

    Args:
        count: number of images in the split, N.
        seed: seed of the run.
        epoch: number of the epoch, from 0.

    Returns:
        `operation` int64 [N], index in `OPERATIONS`; `level` int64 [N] in [−30, 30]; `motion` float32 [N, 2, 3], see
        `resample`, the identity for operations on colors.

    Example:
        >>> sorted(draw_trivial(4, seed=0, epoch=0))
        ['level', 'motion', 'operation']
    """
    generator = generator_for(seed, "trivial", epoch)
    operation = torch.randint(0, len(OPERATIONS), (count,), generator=generator)
    sign = 2 * torch.randint(0, 2, (count,), generator=generator) - 1
    level = torch.randint(0, LEVELS + 1, (count,), generator=generator) * sign
    return {"operation": operation, "level": level, "motion": _motion(operation, level)}


def _motion(operation: Tensor, level: Tensor) -> Tensor:
    def amount(name: str, largest: float) -> Tensor:
        return torch.where(operation == OPERATIONS.index(name), level.double() * largest / LEVELS, 0.0)

    angle = amount("rotate", _ROTATE)
    to_x = angle.cos(), amount("shear_x", _SHEAR) - angle.sin(), amount("translate_x", _TRANSLATE)
    to_y = amount("shear_y", _SHEAR) + angle.sin(), angle.cos(), amount("translate_y", _TRANSLATE)
    return torch.stack([torch.stack(to_x, 1), torch.stack(to_y, 1)], 1).float()


def moves(operation: Tensor) -> Tensor:
    """Returns which images an operation moves, bool [B]."""
    return (operation >= OPERATIONS.index(MOTIONS[0])) & (operation <= OPERATIONS.index(MOTIONS[-1]))


def change_colors(images: Tensor, operation: Tensor, level: Tensor) -> Tensor:
    """Applies the operations on colors.

    Args:
        images: uint8 [B, 3, H, W].
        operation: int64 [B], of `draw_trivial`.
        level: int64 [B], of `draw_trivial`.

    Returns:
        Images of the same shape.
    """
    factor, strength = 1 + level.float() * (_ENHANCE / LEVELS), level.abs()
    bits = _bits(strength)
    threshold = (LEVELS - strength) * (255 / LEVELS)
    changes = {
        "brightness": lambda part, i: color.brightness(part, factor[i]),
        "color": lambda part, i: color.color(part, factor[i]),
        "contrast": lambda part, i: color.contrast(part, factor[i]),
        "sharpness": lambda part, i: color.sharpness(part, factor[i]),
        "posterize": lambda part, i: color.posterize(part, bits[i]),
        "solarize": lambda part, i: color.solarize(part, threshold[i]),
        "autocontrast": lambda part, _: color.autocontrast(part),
        "equalize": lambda part, _: color.equalize(part),
    }
    for name, change in changes.items():
        images = change_chosen(images, operation == OPERATIONS.index(name), change)
    return images


def _bits(strength: Bits) -> Bits:
    """Returns how many bits posterize keeps, for strengths of 0 to 30."""
    return 8 - (strength * 6 + LEVELS // 2) // LEVELS


def operation_text(operation: int, level: int) -> str:
    """Returns an operation for people: by how much it changes an image, or for posterize and solarize to what.

    Example:
        >>> [operation_text(OPERATIONS.index(name), -15) for name in ("translate_x", "rotate", "color", "equalize")]
        ['translate x −16 px', 'rotate −68°', 'color −50 %', 'equalize']
        >>> operation_text(OPERATIONS.index("posterize"), 20), operation_text(OPERATIONS.index("solarize"), 15)
        ('posterize to 4 bits', 'solarize from 128')
    """
    name, part = OPERATIONS[operation], level / LEVELS
    text = name.replace("_", " ")
    amounts = {
        "shear": f" {_SHEAR * part:+.2f}",
        "translate": f" {_TRANSLATE * part:+.0f} px",
        "rotate": f" {math.degrees(_ROTATE) * part:+.0f}°",
        "posterize": f" to {_bits(abs(level))} bits",
        "solarize": f" from {255 * (1 - abs(part)):.0f}",
        **{enhanced: f" {_ENHANCE * part:+.0%}".replace("%", " %") for enhanced in _ENHANCED},
    }
    return text + amounts.get(name.partition("_")[0], "").replace("-", "−")
