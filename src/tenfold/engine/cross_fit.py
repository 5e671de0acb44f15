"""Chooses the strength of a head's L2 penalty by cross-validation within the training images.

Strengths are compared by the cross-entropy of the held-out images at the best temperature: a strong penalty makes
every probability too small, which says nothing about the order of the classes, and the model is calibrated anyway.

Shapes: N images, M rows (each image is shown one or more times), D features, C classes, K folds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tenfold.core.randomness import generator_for
from tenfold.data.splits import group_numbers, grouped_folds, stratified_folds
from tenfold.evaluate.calibration import PRIOR_STD, fit_temperature
from tenfold.optim.logistic import Standardized, fit_logistic

STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
DEFAULT_STRENGTH = 0.1
"""Used where no class has two images to cross-validate with. The best one of many sets is between 0.03 and 0.3."""

FOLDS = 5
"""Number of folds where the images allow it."""

ROWS_PER_CLASS = 10
"""Fewer images of each class than this choose the strength roughly, which is said."""

_ROWS = (4000, 8000)
"""Number of rows that choose a strength, of few classes and at most: more take minutes and hardly change it."""


def max_rows(num_classes: int) -> int:
    """Returns how many rows choose a strength: more for hundreds of classes, up to what takes minutes.

    Example:
        >>> max_rows(10), max_rows(500), max_rows(1000)
        (4000, 5000, 8000)
    """
    fewest, most = _ROWS
    return min(max(fewest, ROWS_PER_CLASS * num_classes), most)


class Shown(NamedTuple):
    """Features of training images as they were shown.

    Args:
        features: float32 [M, D].
        labels: int64 [M].
        images: int64 [M], which image each row is, in [0, N).
    """

    features: Tensor
    labels: Tensor
    images: Tensor

    def at(self, rows: Tensor) -> "Shown":
        """Returns some rows."""
        return Shown(self.features[rows], self.labels[rows], self.images[rows])


class CrossFit(NamedTuple):
    """The result of a cross-validation.

    Args:
        l2: the best strength.
        images: int64 [n], the images that took part, ascending; all unless they are many.
        labels: int64 [n], of these.
        logits: float64 [n, C], out of fold, averaged over the times that an image was shown.
        losses: cross-entropy at the best temperature by strength.
        folds: K.
    """

    l2: float
    images: Tensor
    labels: Tensor
    logits: Tensor
    losses: dict[float, float]
    folds: int

    @property
    def temperature(self) -> float:
        """Divisor of the logits that calibrates the probabilities; see `fit_temperature`."""
        return fit_temperature(self.logits, self.labels, prior_std=PRIOR_STD)

    @property
    def accuracy(self) -> float:
        """Fraction of the images predicted correctly out of fold."""
        return float((self.logits.argmax(1) == self.labels).double().mean())


def cross_fit(
    shown: Shown,
    num_classes: int,
    *,
    seed: int,
    groups: Sequence[str] | None = None,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    strengths: Sequence[float] = STRENGTHS,
) -> CrossFit | None:
    """Returns the best strength with out-of-fold logits; None where there is nothing to predict out of fold.

    That is so with one image, or one group, of each class. Images whose class is in no other fold are left out.

    Args:
        shown: features of N images.
        num_classes: C.
        seed: of the folds.
        groups: name of each image's group, N names, see `Split`; no fold tears one apart.
        class_weights: float [C], of the classes in the loss.
        label_smoothing: see `fit_logistic`.
        strengths: to choose from.
    """
    shown = _limited(shown, max_rows(num_classes), seed)
    images, position = shown.images.unique(return_inverse=True)  # n, M
    labels = torch.zeros(len(images), dtype=torch.int64).index_put_((position,), shown.labels)
    fold_of, folds = _folds(labels.numpy(), None if groups is None else [groups[i] for i in images.tolist()], seed)
    if folds < 2:
        return None
    data = Standardized(shown.features)
    rows = data.rows.float()  # half the time of float64; the strength does not need more
    weights = None if class_weights is None else class_weights.float()[shown.labels]
    out_of_fold = torch.zeros(len(strengths), len(images), num_classes, dtype=torch.float64)
    is_known = torch.zeros(len(images), dtype=torch.bool)
    for fold in range(folds):
        of_fold = torch.from_numpy(fold_of == fold)  # n
        known_classes = torch.zeros(num_classes, dtype=torch.bool).index_fill_(0, labels[~of_fold], True)
        if int(known_classes.sum()) < 2:
            continue
        is_known |= of_fold & known_classes[labels]
        held_out = of_fold[position]  # M
        fitted = None
        for number, l2 in enumerate(strengths):  # from strong to weak: each fit starts from the last one
            fitted = fit_logistic(
                rows[~held_out],
                shown.labels[~held_out],
                num_classes,
                l2,
                weights=None if weights is None else weights[~held_out],
                label_smoothing=label_smoothing,
                start=fitted,
            )
            weight, bias = fitted
            logits = (rows[held_out] @ weight.T + bias).double()
            out_of_fold[number].index_add_(0, position[held_out], logits)
    out_of_fold /= position.bincount()[:, None]
    # An image whose class is only in its own fold cannot be predicted, which says nothing of a strength.
    images, labels, out_of_fold = images[is_known], labels[is_known], out_of_fold[:, is_known]
    if len(labels.unique()) < 2:
        return None
    losses = [_calibrated_loss(logits, labels) for logits in out_of_fold]
    best = int(np.argmin(losses))
    by_strength = dict(zip(strengths, losses, strict=True))
    return CrossFit(strengths[best], images, labels, out_of_fold[best], by_strength, folds)


def _folds(labels: NDArray[np.int64], groups: Sequence[str] | None, seed: int) -> tuple[NDArray[np.int64], int]:
    """Returns the fold of each image, int64 [n], and the number of folds; fewer than two where nothing can be split."""
    numbers = np.arange(len(labels)) if groups is None else group_numbers(groups)
    folds = min(FOLDS, len(np.unique(numbers)))
    if folds < 2 or groups is None or not any(groups):
        return stratified_folds(labels, folds, seed), folds
    return grouped_folds(labels, groups, folds, seed), folds


def _calibrated_loss(logits: Tensor, labels: Tensor) -> float:
    return float(F.cross_entropy(logits / fit_temperature(logits, labels), labels))


def _limited(shown: Shown, limit: int, seed: int) -> Shown:
    """Returns at most about `limit` rows: of many images each once, drawn class by class if even these are too many."""
    if len(shown.labels) <= limit:
        return shown
    order = shown.images.argsort(stable=True)  # M
    counts = shown.images.bincount()
    counts = counts[counts > 0]  # n
    firsts = counts.cumsum(0) - counts
    times = torch.empty_like(order)
    times[order] = torch.arange(len(order)) - firsts.repeat_interleave(counts)  # how often each image came before
    shown = shown.at(times < max(1, limit // len(counts)))
    if len(shown.labels) <= limit:
        return shown
    shuffled = torch.randperm(len(counts), generator=generator_for(seed, "rows"))
    by_class = shuffled[shown.labels[shuffled].argsort(stable=True)]
    return shown.at(by_class[torch.linspace(0, len(counts) - 1, limit).long()])
