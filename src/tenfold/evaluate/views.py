"""Views of a picture at test time: what a network says of each is averaged.

`mirror` is the picture and its mirror image. `shifts` adds the picture moved by one pixel to either end of a
diagonal, and the mirror images of those: six views, of which the unmoved two count for a half, as in K. Jordan,
"94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv:2404.00498), section 3.5, "multi-crop evaluation".

Shapes: B pictures in a batch, U of them unsure, H×W pixels, C classes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from tenfold.core.errors import UsageError
from tenfold.core.registry import did_you_mean


class View(NamedTuple):
    """One view of a picture.

    Args:
        weight: of its logits; the weights of all views of a picture add up to 1, and as powers of two add no rounding.
        shift: pixels by which it is moved, up and left, or down and right where negative.
        mirrored: whether left and right are exchanged, after the shift.
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
"""The views by name, the plain one always first."""


def views_named(name: str) -> tuple[View, ...]:
    """Returns the views that `name` stands for.

    Raises:
        UsageError: when it stands for none.

    Example:
        >>> [view.weight for view in views_named("mirror")]
        [0.5, 0.5]
    """
    if name not in VIEWS:
        raise UsageError(f"'{name}' are no views{did_you_mean(name, VIEWS)}; expected {', '.join(VIEWS)}")
    return VIEWS[name]


def seen(images: Tensor, view: View) -> Tensor:
    """Returns pictures as a view shows them, float [B, 3, H, W] for the same; edges are filled by reflection."""
    if view.shift:
        height, width, margin = *images.shape[2:], abs(view.shift)
        start = margin + view.shift
        padded = F.pad(images, [margin] * 4, mode="reflect")  # B 3 H+2m W+2m
        images = padded[:, :, start : start + height, start : start + width]
    return images.flip(3) if view.mirrored else images


def averaged_logits(
    logits_of: Callable[[Tensor], Tensor], images: Tensor, views: tuple[View, ...], unsure_below: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Returns the weighted mean of what a network says of each view, and what it says of the plain one, float [B, C].

    Args:
        logits_of: the network: float [B, 3, H, W] → float [B, C].
        images: its input, float [B, 3, H, W].
        views: see `VIEWS`.
        unsure_below: probability, in (0, 1]: a picture whose likeliest class has at least this much by the plain view
            keeps the plain answer; with 1, none does. Each picture decides for itself, whatever lies beside it.
    """
    plain = logits_of(images)  # B C
    if len(views) == 1:
        return plain, plain
    if unsure_below >= 1:
        return _mean(logits_of, images, plain, views), plain
    averaged = plain.clone()
    unsure = (plain.softmax(1).amax(1) < unsure_below).nonzero()[:, 0]  # U; a GPU is waited for here
    if len(unsure):
        averaged[unsure] = _mean(logits_of, images[unsure], plain[unsure], views)
    return averaged, plain


def _mean(logits_of: Callable[[Tensor], Tensor], images: Tensor, plain: Tensor, views: tuple[View, ...]) -> Tensor:
    first, *others = views
    total = first.weight * plain
    for view in others:
        total += view.weight * logits_of(seen(images, view))
    return total
