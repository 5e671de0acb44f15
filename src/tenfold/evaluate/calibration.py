"""Calibration of predicted probabilities, and selective classification.

C. Guo et al., "On calibration of modern neural networks" (arXiv:1706.04599): reliability diagram, expected
calibration error, temperature scaling. Y. Geifman and R. El-Yaniv, "Selective classification for deep neural
networks" (arXiv:1705.08500), after R. El-Yaniv and Y. Wiener, "On the foundations of noise-free selective
classification", Journal of Machine Learning Research 11 (2010) 1605–1641: error rate against coverage.

Shapes: N images, C classes, M points of a curve.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tenfold.core.errors import ModelError
from tenfold.evaluate.intervals import wilson

_LOWEST_TEMPERATURE, _HIGHEST_TEMPERATURE = 0.05, 20.0
"""Bounds of the temperature; without them it would be 0 where every prediction is correct."""

PRIOR_STD = 0.5
"""Prior of ln T for few images. In 60 draws of 5 to 500 images, the mean loss of four networks on new images was at
most 1.1 % above that without a temperature; without the prior, a fit to 5 images more than doubled it."""

_BOOTSTRAP_DRAWS = 2000


@dataclass(frozen=True)
class Bin:
    """A range of confidence in a reliability diagram.

    Args:
        low: lower end of the range, exclusive.
        high: upper end of the range, inclusive.
        count: number of images in the bin, at least 1.
        confidence: mean confidence of the images.
        accuracy: fraction of the images predicted correctly.
        interval: 95 % Wilson interval of the accuracy.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error (ECE).

    Args:
        value: the error, in [0, 1].
        interval: interval that contains the true error with probability 95 % or more; it starts at 0 where noise alone
            explains the value.
    """

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class RejectCurve:
    """Coverage and error rate of a classifier that rejects images below a confidence threshold.

    Args:
        threshold: M confidences, decreasing; images with at least this confidence are accepted.
        coverage: fraction of all images that are accepted, increasing to 1.
        error_rate: fraction of the accepted images that are predicted wrongly.
    """

    threshold: tuple[float, ...]
    coverage: tuple[float, ...]
    error_rate: tuple[float, ...]


def fit_temperature(logits: Tensor, labels: Tensor, *, prior_std: float = math.inf) -> float:
    """Returns the temperature T with the lowest cross-entropy of softmax(logits / T) (Guo et al., arXiv:1706.04599).

    Scaling changes no prediction, only its confidence; T above 1 means that the network was overconfident.
    Bisection finds where the slope of the loss in 1/T is zero, to a relative precision of 1e-6. Without a prior the
    loss is convex in 1/T, so that is the minimum. The prior is convex for T above 1/e only; should there be several
    minima, bisection finds one of them.

    Args:
        logits: float [N, C] of images that were not trained on, N at least 1.
        labels: int64 [N], each in [0, C).
        prior_std: std of a normal prior of ln T around 0, above 0. Few images that are all predicted correctly would
            otherwise make every probability 1; for hundreds of images the prior does not matter.

    Returns:
        T, in [0.05, 20]; 1 where every T gives the same loss.

    Raises:
        ValueError: when there are no images.
        ModelError: when the logits are not all finite.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0]]).repeat(10, 1)  # class 0 with confidence 88 %
        >>> T = fit_temperature(logits, torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1, 1]))  # accuracy 70 %
        >>> [round(p, 4) for p in (logits / T).softmax(1)[0].tolist()]
        [0.7, 0.3]
    """
    if not len(labels):
        raise ValueError("no images to fit a temperature to; expected 1 or more")
    if not logits.isfinite().all():
        raise ModelError("the logits are not all finite: the training diverged; use an earlier checkpoint")
    scores = logits.detach().cpu().double()
    scores = scores - scores.amax(1, keepdim=True)  # N C, so that no exponential overflows
    own = scores.gather(1, labels.cpu()[:, None])[:, 0]  # N
    low, high = 1 / _HIGHEST_TEMPERATURE, 1 / _LOWEST_TEMPERATURE  # of 1/T; the first middle is 1
    while high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        expected = ((middle * scores).softmax(1) * scores).sum(1)  # N
        slope = float((expected - own).sum()) + math.log(middle) / (middle * prior_std**2)  # of the loss in 1/T
        if slope == 0:
            return 1 / middle
        low, high = (middle, high) if slope < 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def reliability(confidences: ArrayLike, correct: ArrayLike, num_bins: int = 15) -> tuple[Bin, ...]:
    """Returns the bins of a reliability diagram (Guo et al., arXiv:1706.04599): accuracy against confidence.

    Args:
        confidences: float [N] in [0, 1], probability of the predicted class of each image.
        correct: bool [N], whether the predicted class is the true class.
        num_bins: number of bins of equal width from 0 to 1; each includes its upper end only.

    Returns:
        The bins that contain images, the lowest first.

    Raises:
        ValueError: when an argument is out of range.

    Example:
        >>> [(b.count, b.accuracy) for b in reliability([0.6, 0.9, 0.95], [False, True, True], num_bins=2)]
        [(3, 0.6666666666666666)]
    """
    edges, sums = _binned(*_checked(confidences, correct), num_bins)
    rows = zip(*(column.tolist() for column in (edges[:-1], edges[1:], *sums)), strict=True)
    return tuple(
        Bin(low, high, count, confidence / count, num_correct / count, wilson(num_correct, count))
        for low, high, count, confidence, num_correct in rows
        if count
    )


def calibration_error(confidences: ArrayLike, correct: ArrayLike, num_bins: int = 15) -> CalibrationError:
    """Returns the expected calibration error (Guo et al., arXiv:1706.04599) with a 95 % interval.

    The error is the mean distance of accuracy and confidence within a bin. Noise moves the accuracies of the bins
    away from their true values, so even a calibrated network has an error above 0, and resampled images have a larger
    one: the usual bootstrap intervals miss the true error. Here a parametric bootstrap measures how far noise alone
    moves the accuracies: the number of correct images in a bin is drawn from a binomial distribution around Agresti
    and Coull's estimate (The American Statistician 52 (1998) 119–126). By the triangle inequality the true error is
    no further from the measured one.

    Args:
        confidences: see `reliability`; N at least 1.
        correct: see `reliability`.
        num_bins: see `reliability`.

    Returns:
        The error with its interval. It does not depend on the order of the images.

    Raises:
        ValueError: when an argument is out of range, or there are no images.
    """
    checked = _checked(confidences, correct)
    total = len(checked[0])
    if not total:
        raise ValueError("no images to compute a calibration error of; expected 1 or more")
    _, sums = _binned(*checked, num_bins)
    value = float(np.abs(sums.correct - sums.confidence).sum() / total)
    accuracy = (sums.correct + 2) / (sums.num_images + 4)
    drawn = np.random.default_rng(0).binomial(sums.num_images, accuracy, (_BOOTSTRAP_DRAWS, num_bins))  # draws × bins
    noise = np.abs(drawn - sums.num_images * accuracy).sum(1) / total
    margin = float(np.quantile(noise, 0.95))
    return CalibrationError(value, (max(0.0, value - margin), min(1.0, value + margin)))


def reject_curve(confidences: ArrayLike, correct: ArrayLike) -> RejectCurve:
    """Returns coverage and error rate for every confidence threshold (Geifman and El-Yaniv, arXiv:1705.08500).

    Args:
        confidences: see `reliability`.
        correct: see `reliability`.

    Returns:
        One point per distinct confidence, the highest first.

    Raises:
        ValueError: when an argument is out of range.

    Example:
        >>> reject_curve([0.9, 0.6, 0.9, 0.5], [True, False, True, True]).error_rate
        (0.0, 0.3333333333333333, 0.25)
    """
    values, is_correct = _checked(confidences, correct)
    order = np.argsort(-values, kind="stable")
    decreasing = values[order]
    last = np.flatnonzero(np.diff(decreasing, append=-1.0))  # M, the last image of each distinct confidence
    num_wrong = np.cumsum(~is_correct[order])[last]
    num_accepted = last + 1
    fractions = num_accepted / max(1, len(values)), num_wrong / num_accepted
    return RejectCurve(tuple(decreasing[last].tolist()), *(tuple(column.tolist()) for column in fractions))


def best_coverage(curve: RejectCurve, max_error_rate: float = 0.02) -> tuple[float, float] | None:
    """Returns the threshold of the highest coverage with at most `max_error_rate`, and that coverage.

    The threshold is optimistic: it is read off the images that it is applied to. On new images the error rate varies.

    Args:
        curve: see `reject_curve`.
        max_error_rate: allowed fraction of errors among the accepted images, in [0, 1].

    Returns:
        Threshold and coverage; None where no threshold keeps to the error rate.

    Example:
        >>> best_coverage(reject_curve([0.9, 0.6, 0.9, 0.5], [True, False, True, True]))
        (0.9, 0.5)
    """
    allowed = np.flatnonzero(np.asarray(curve.error_rate) <= max_error_rate)
    return (curve.threshold[allowed[-1]], curve.coverage[allowed[-1]]) if len(allowed) else None


class _BinSums(NamedTuple):
    """Sums over the images of each bin: their number, their confidences, the number predicted correctly."""

    num_images: NDArray[np.int64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.int64]


def _binned(
    values: NDArray[np.float64], is_correct: NDArray[np.bool_], num_bins: int
) -> tuple[NDArray[np.float64], _BinSums]:
    """Returns the edges of the bins, float64 [num_bins + 1], and the sums of each bin."""
    if num_bins < 1:
        raise ValueError(f"{num_bins} bins; expected 1 or more")
    edges = np.linspace(0, 1, num_bins + 1)
    index = np.searchsorted(edges[1:-1], values)  # N
    count, num_correct = (np.bincount(indices, minlength=num_bins) for indices in (index, index[is_correct]))
    return edges, _BinSums(count, np.bincount(index, values, num_bins).astype(np.float64), num_correct)


def _checked(confidences: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, is_correct = np.asarray(confidences, np.float64), np.asarray(correct, np.bool_)
    if values.ndim != 1 or values.shape != is_correct.shape:
        raise ValueError(f"{list(values.shape)} confidences for {list(is_correct.shape)} images; expected one each")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("some confidences are not in [0, 1]")
    return values, is_correct
