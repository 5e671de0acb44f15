"""Test-time augmentation (TTA): the logits of several views of an image are averaged.

`mirror` uses the image and its mirror image. `shifts` adds the image shifted by one pixel along a diagonal in both
directions, and the mirror images of those: six views, of which the two unshifted ones have half of the weight, as in
K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv:2404.00498), section 3.5, "multi-crop evaluation".

Shapes: B images in a batch, U of them unsure, H×W pixels, C classes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from tenfold.core.errors import UsageError
from tenfold.core.registry import did_you_mean


class View(NamedTuple):
    """One view of an image.

    Args:
        weight: weight of its logits; the weights of all views of an image add up to 1. They are powers of two, so
            that weighting does not round.
        shift: number of pixels by which the image moves up and left, or down and right where negative.
        mirrored: whether the image is flipped horizontally, after the shift.
    """

    weight: float
    shift: int = 0
    mirrored: bool = False


VIEWS: dict[str, tuple[View, ...]] = {
    "plain": (View(1.0),),
    "mirror": (View(0.5), View(0.5, mirrored=True)),
    "shifts": (
        View(0.25),
        View(0.25, mirrored=True),
        *(View(0.125, shift, mirrored) for shift in (1, -1) for mirrored in (False, True)),
    ),
}
"""The views by name; the unchanged image always comes first."""


def views_named(name: str) -> tuple[View, ...]:
    """Returns the views called `name`.

    Raises:
        UsageError: when there are no such views.

    Example:
        >>> [view.weight for view in views_named("mirror")]
        [0.5, 0.5]
    """
    if name not in VIEWS:
        raise UsageError(f"unknown views '{name}'{did_you_mean(name, VIEWS)}; expected {', '.join(VIEWS)}")
    return VIEWS[name]


def apply_view(images: Tensor, view: View) -> Tensor:
    """Returns a view of images, float [B, 3, H, W] as they are; shifted images are padded by reflection."""
    if view.shift:
        height, width, margin = *images.shape[2:], abs(view.shift)
        start = margin + view.shift
        padded = F.pad(images, [margin] * 4, mode="reflect")  # B 3 H+2m W+2m
        images = padded[:, :, start : start + height, start : start + width]
    return images.flip(3) if view.mirrored else images


def averaged_logits(
    logits_of: Callable[[Tensor], Tensor], images: Tensor, views: tuple[View, ...], unsure_below: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Returns the weighted mean of the logits of all views, and the logits without TTA, float [B, C] each.

    Args:
        logits_of: the network, from float [B, 3, H, W] to float [B, C].
        images: float [B, 3, H, W], the network's input.
        views: see `VIEWS`.
        unsure_below: confidence in (0, 1]. Images predicted with at least this confidence without TTA skip the other
            views; with 1 no image skips them. The result of an image does not depend on the rest of its batch.
    """
    plain = logits_of(images)  # B C
    if len(views) == 1:
        return plain, plain
    if unsure_below >= 1:
        return _mean(logits_of, images, plain, views), plain
    averaged = plain.clone()
    unsure = (plain.softmax(1).amax(1) < unsure_below).nonzero()[:, 0]  # U; this waits for the device
    if len(unsure):
        averaged[unsure] = _mean(logits_of, images[unsure], plain[unsure], views)
    return averaged, plain


def _mean(logits_of: Callable[[Tensor], Tensor], images: Tensor, plain: Tensor, views: tuple[View, ...]) -> Tensor:
    first, *others = views
    total = first.weight * plain
    for view in others:
        total += view.weight * logits_of(apply_view(images, view))
    return total
