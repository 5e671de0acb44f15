"""Figures in which every class counts alike, however many images it has, each with a 95 % interval.

A mean over classes has no binomial distribution. Its interval is Wilson's for as many images as would give a fraction
of its size the same variance, but for no more than would vary as much as a mean over classes of these sizes: few images
that are all right must not give a width of 0. The variance is the sum over the images of what each one contributes,
squared (delta method); for the area under the curve it is that of E. R. DeLong et al., Biometrics 44 (1988) 837–845.

N images, C classes.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.evaluate.intervals import wilson

_Floats = NDArray[np.float64]

_AREA_IMAGES = 3.0
"""Area under the curve of m against n images: at 0.5 it varies as a fraction of 3 / (1 / m + 1 / n) images does, at
higher values less."""


NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "roc_auc_ovr": "ROC-AUC",
    "top5_accuracy": "top-5 accuracy",
}
"""What the figures of an evaluation are called, in the order in which they are shown."""

_UNEVEN_FROM = 3.0


def is_uneven(counts: Iterable[int]) -> bool:
    """Returns whether the largest class has three times the images of the smallest one, or more.

    The overall accuracy says little about the small classes then. Classes without images do not count.
    """
    present = [count for count in counts if count]
    return bool(present) and max(present) >= _UNEVEN_FROM * min(present)


class Estimate(NamedTuple):
    """A figure in [0, 1] with its 95 % interval."""

    value: float
    interval: tuple[float, float]


def balanced_accuracy(confusion: NDArray[np.int64]) -> Estimate:
    """Returns the mean recall of the classes that have images.

    Args:
        confusion: int64 [C, C], true × predicted, at least one image.

    Example:
        >>> balanced_accuracy(np.array([[98, 2], [5, 5]])).value
        0.74
    """
    support = confusion.sum(1)
    recalls, support = confusion.diagonal()[support > 0] / support[support > 0], support[support > 0]
    variance = float((recalls * (1 - recalls) / support).sum()) / len(support) ** 2
    return _estimate(float(recalls.mean()), variance, _equal_images(support))


def macro_f1(confusion: NDArray[np.int64]) -> Estimate:
    """Returns the mean F1 of the classes that have images or are predicted.

    Args:
        confusion: see `balanced_accuracy`.

    Example:
        >>> round(macro_f1(np.array([[98, 2], [5, 5]])).value, 4)
        0.7769
    """
    both = (confusion.sum(0) + confusion.sum(1)).astype(np.float64)  # true and predicted images of a class
    occurs = both > 0
    f1 = np.divide(2 * confusion.diagonal(), both, out=np.zeros_like(both), where=occurs)
    per_image = np.divide(f1, both, out=np.zeros_like(both), where=occurs)
    effect = -(per_image[:, None] + per_image)  # C C, of one image on the sum of F1
    effect += np.diag(np.divide(2.0, both, out=np.zeros_like(both), where=occurs))
    count = int(occurs.sum())
    variance = float((confusion * effect**2).sum()) / count**2
    return _estimate(float(f1.sum()) / count, variance, _equal_images(confusion.sum(1)))


def roc_auc(scores: _Floats, labels: NDArray[np.int64]) -> Estimate | None:
    """Returns the mean area under the ROC curve of each class against all others; for two classes, the usual area.

    Args:
        scores: float [N, C]; within a column, a higher score means the class is more likely.
        labels: int64 [N], each in [0, C).

    Returns:
        The mean over the classes that have images; None where all images are of one class.

    Example:
        >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
        >>> roc_auc(scores, np.array([0, 0, 1, 1])).value
        0.75
    """
    counts = np.bincount(labels, minlength=scores.shape[1])
    classes = np.flatnonzero((counts > 0) & (counts < len(labels)))
    if not len(classes):
        return None
    if scores.shape[1] == 2:
        classes = classes[1:]  # the curve of the other class is the same one
    areas, effects = [], np.zeros(len(labels))  # of each image on the sum of the areas
    for index in classes:
        area, effect = _one_area(scores[:, index], labels == index)
        areas.append(area)
        effects += effect
    variance = float((effects**2).sum()) / len(classes) ** 2
    own = counts[classes].astype(np.float64)
    as_fractions = _AREA_IMAGES / (1 / own + 1 / (len(labels) - own))
    return _estimate(float(np.mean(areas)), variance, _equal_images(as_fractions))


def _one_area(scores: _Floats, is_own: NDArray[np.bool_]) -> tuple[float, _Floats]:
    """Returns the area under the ROC curve of one class, and the effect of each image on it, float64 [N]."""
    order = np.argsort(scores, kind="stable")
    own = is_own[order]
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)  # of groups of equal scores
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    own_in_group = np.add.reduceat(own.astype(np.float64), starts)
    other_in_group = np.diff(starts, append=len(order)) - own_in_group
    others_below = (np.cumsum(other_in_group) - other_in_group / 2)[group]  # equal scores count half
    own_above = (own_in_group.sum() - np.cumsum(own_in_group) + own_in_group / 2)[group]
    num_own, num_others = own_in_group.sum(), other_in_group.sum()
    placement = np.where(own, others_below / num_others, own_above / num_own)
    area = float(placement[own].mean())
    effect = np.empty_like(placement)
    effect[order] = (placement - area) / np.sqrt(np.where(own, _pairs(num_own), _pairs(num_others)))
    return area, effect


def _pairs(count: float) -> float:
    return count * max(1.0, count - 1)


def _equal_images(counts: NDArray[np.int64] | _Floats) -> float:
    """Returns the number of images whose accuracy varies as much as the mean accuracy of classes of these sizes."""
    present = counts[counts > 0]
    return float(len(present) ** 2 / (1 / present).sum())


def _estimate(value: float, variance: float, most: float) -> Estimate:
    size = min(most, value * (1 - value) / variance) if variance > 0 else most
    return Estimate(value, wilson(value * size, size))
