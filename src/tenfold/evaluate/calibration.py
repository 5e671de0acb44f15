"""Whether probabilities can be believed, and what is gained by leaving the doubtful pictures to a person.

C. Guo et al., "On calibration of modern neural networks" (arXiv:1706.04599): reliability diagram, expected
calibration error, temperature scaling. Y. Geifman and R. El-Yaniv, "Selective classification for deep neural
networks" (arXiv:1705.08500), after R. El-Yaniv and Y. Wiener, "On the foundations of noise-free selective
classification", Journal of Machine Learning Research 11 (2010) 1605–1641: share answered against share of errors.

Shapes: N pictures, C classes, M points of a curve.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tenfold.core.errors import ModelError
from tenfold.evaluate.intervals import wilson

_COLDEST, _HOTTEST = 0.05, 20.0
"""Ends of the temperature; without them that of a set without a single error would be 0."""

_DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True)
class Bin:
    """Pictures whose probabilities lie close together.

    Args:
        low: probability above which the bin begins.
        high: the highest that belongs to it.
        count: pictures in it, at least 1.
        confidence: mean of their probabilities.
        accuracy: share of them that was recognised.
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
    """How far probabilities lie from the truth, on average.

    Args:
        value: expected calibration error, in [0, 1].
        interval: which holds the true one in 95 % of all cases or more; from 0 where chance alone explains the value.
    """

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class RejectCurve:
    """What a classifier achieves that keeps silent below a threshold.

    Args:
        threshold: M probabilities, falling: pictures with at least this one are answered.
        answered: share of all pictures, rising to 1.
        errors: share of those answered that are wrong.
    """

    threshold: tuple[float, ...]
    answered: tuple[float, ...]
    errors: tuple[float, ...]


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Returns the temperature T for which softmax(logits / T) has the least cross-entropy.

    It changes no prediction, only how sure each one is; above 1 the network was too sure. The loss is convex in 1/T,
    so that halving finds its least value, to a millionth.

    Args:
        logits: float [N, C] of pictures that were not learnt from, N at least 1.
        labels: int64 [N], each in [0, C).

    Returns:
        T, in [0.05, 20]; 1 where every one is as good as another.

    Raises:
        ValueError: when there are no pictures.
        ModelError: when the logits are not all finite.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0]]).repeat(10, 1)  # 88 % sure of class 0
        >>> T = fit_temperature(logits, torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1, 1]))  # and right in 70 %
        >>> [round(p, 4) for p in (logits / T).softmax(1)[0].tolist()]
        [0.7, 0.3]
    """
    if not len(labels):
        raise ValueError("there are no pictures to fit a temperature to; expected 1 or more")
    if not logits.isfinite().all():
        raise ModelError("the logits are not all finite: the training diverged; use an earlier checkpoint")
    scores = logits.detach().cpu().double()
    scores = scores - scores.amax(1, keepdim=True)  # N C, so that no exponential overflows
    own = scores.gather(1, labels.cpu()[:, None])[:, 0]  # N
    low, high = 1 / _HOTTEST, 1 / _COLDEST  # of 1/T; the first middle is 1
    while high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        expected = ((middle * scores).softmax(1) * scores).sum(1)  # N
        slope = float((expected - own).sum())  # of the loss in 1/T
        if slope == 0:
            return 1 / middle
        low, high = (middle, high) if slope < 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def reliability(probabilities: ArrayLike, correct: ArrayLike, bins: int = 15) -> tuple[Bin, ...]:
    """Returns how often pictures of about the same probability were recognised.

    Args:
        probabilities: float [N] in [0, 1], of each picture's likeliest class.
        correct: bool [N], whether that is its own.
        bins: of equal width from 0 to 1, each without its lower end.

    Returns:
        The bins that hold pictures, the lowest first.

    Raises:
        ValueError: when an argument is out of range.

    Example:
        >>> [(b.count, b.accuracy) for b in reliability([0.6, 0.9, 0.95], [False, True, True], bins=2)]
        [(3, 0.6666666666666666)]
    """
    edges, table = _binned(*_checked(probabilities, correct), bins)
    rows = zip(*(column.tolist() for column in (edges[:-1], edges[1:], *table)), strict=True)
    return tuple(
        Bin(low, high, count, confidence / count, right / count, wilson(right, count))
        for low, high, count, confidence, right in rows
        if count
    )


def calibration_error(probabilities: ArrayLike, correct: ArrayLike, bins: int = 15) -> CalibrationError:
    """Returns the expected calibration error: the mean distance of accuracy and confidence within a bin.

    Noise drives the accuracies of the bins away from the truth, so that even a calibrated network has an error, and
    resampled pictures have more of it still: the usual bootstrap intervals miss the truth. Here a parametric
    bootstrap says how far noise alone moves the accuracies: the pictures that are right in a bin are drawn from a
    binomial distribution, about Agresti and Coull's estimate (The American Statistician 52 (1998) 119–126). By the
    triangle inequality the true error lies no further from the measured one.

    Args:
        probabilities: see `reliability`; N at least 1.
        correct: see `reliability`.
        bins: see `reliability`.

    Returns:
        The error with its interval; the same for the same pictures, in whatever order.

    Raises:
        ValueError: when an argument is out of range, or there are no pictures.
    """
    checked = _checked(probabilities, correct)
    total = len(checked[0])
    if not total:
        raise ValueError("there is no calibration error of no pictures; expected 1 or more")
    _, table = _binned(*checked, bins)
    value = float(np.abs(table.right - table.confidence).sum() / total)
    share = (table.right + 2) / (table.pictures + 4)
    drawn = np.random.default_rng(0).binomial(table.pictures, share, (_DRAWS, bins))  # draws × bins
    noise = np.abs(drawn - table.pictures * share).sum(1) / total
    reach = float(np.quantile(noise, 0.95))
    return CalibrationError(value, (max(0.0, value - reach), min(1.0, value + reach)))


def reject_curve(probabilities: ArrayLike, correct: ArrayLike) -> RejectCurve:
    """Returns what share of the pictures is answered, and with what share of errors, for every threshold.

    Args:
        probabilities: see `reliability`.
        correct: see `reliability`.

    Returns:
        One point for each different probability, the highest first.

    Raises:
        ValueError: when an argument is out of range.

    Example:
        >>> reject_curve([0.9, 0.6, 0.9, 0.5], [True, False, True, True]).errors
        (0.0, 0.3333333333333333, 0.25)
    """
    values, right = _checked(probabilities, correct)
    order = np.argsort(-values, kind="stable")
    falling = values[order]
    last = np.flatnonzero(np.diff(falling, append=-1.0))  # M, the last picture of each probability
    wrong = np.cumsum(~right[order])[last]
    count = last + 1
    shares = count / max(1, len(values)), wrong / count
    return RejectCurve(tuple(falling[last].tolist()), *(tuple(share.tolist()) for share in shares))


def answered_at(curve: RejectCurve, errors: float = 0.02) -> tuple[float, float] | None:
    """Returns the threshold that answers most pictures with no more than a share of errors, and their share.

    The threshold is read off pictures that it fits; on others the share of errors varies about it.

    Args:
        curve: see `reject_curve`.
        errors: the share of those answered that may be wrong, in [0, 1].

    Returns:
        Threshold and share answered; None where no threshold keeps within it.

    Example:
        >>> answered_at(reject_curve([0.9, 0.6, 0.9, 0.5], [True, False, True, True]))
        (0.9, 0.5)
    """
    within = np.flatnonzero(np.asarray(curve.errors) <= errors)
    return (curve.threshold[within[-1]], curve.answered[within[-1]]) if len(within) else None


class _Sums(NamedTuple):
    """What each bin holds: pictures, the sum of their probabilities, pictures that were recognised."""

    pictures: NDArray[np.int64]
    confidence: NDArray[np.float64]
    right: NDArray[np.int64]


def _binned(values: NDArray[np.float64], right: NDArray[np.bool_], bins: int) -> tuple[NDArray[np.float64], _Sums]:
    """Returns the edges of the bins and what lies between them."""
    if bins < 1:
        raise ValueError(f"{bins} bins; expected 1 or more")
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], values)  # N
    pictures, recognised = (np.bincount(places, minlength=bins) for places in (place, place[right]))
    return edges, _Sums(pictures, np.bincount(place, values, bins).astype(np.float64), recognised)


def _checked(probabilities: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, right = np.asarray(probabilities, np.float64), np.asarray(correct, np.bool_)
    if values.ndim != 1 or values.shape != right.shape:
        raise ValueError(f"{list(values.shape)} probabilities for {list(right.shape)} pictures; expected one each")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("some probabilities are not in [0, 1]")
    return values, right
