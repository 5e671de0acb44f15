"""Mean, standard deviation and interval of several runs. S runs that differ in their seed.

Student: "The probable error of a mean", Biometrika 6 (1908) 1–25. MOVER: G. Y. Zou and A. Donner, "Construction of
confidence limits about effect measures: a general approach", Statistics in Medicine 27 (2008) 1693–1702. C. Nadeau and
Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003) 239–281.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from statistics import NormalDist

from tenfold.evaluate.intervals import mean_and_std, wilson

_NEARLY_NORMAL = 10_000.0  # above so many degrees of freedom the first terms of a series are exact to 1e-11
_FRACTION_TERMS = 100  # enough for 15 digits below that


@dataclass(frozen=True)
class Spread:
    """Summary statistics of several values of one quantity.

    Args:
        count: number of values, at least 1.
        mean: mean of the values.
        std: sample standard deviation (n − 1); None for a single value.
        interval: 95 % interval, of the mean from `spread`, for new images too from `accuracy_spread`; None if unknown.
        lowest: smallest value.
        highest: largest value.
    """

    count: int
    mean: float
    std: float | None
    interval: tuple[float, float] | None
    lowest: float
    highest: float

    def to_json(self) -> dict[str, object]:
        """Returns plain values for JSON files, where `std` is called `deviation`."""
        return {"deviation" if name == "std" else name: value for name, value in asdict(self).items()}


def spread(values: Sequence[float]) -> Spread:
    """Returns the summary statistics of values such as the accuracies of several seeds.

    Raises:
        ValueError: when there are no values.

    Example:
        >>> s = spread([0.70, 0.71, 0.72])
        >>> round(s.mean, 4), round(s.std, 4), [round(bound, 4) for bound in s.interval]
        (0.71, 0.01, [0.6852, 0.7348])
    """
    mean, std = mean_and_std(values)
    interval = None
    if std is not None:
        half = t_quantile(len(values) - 1) * std / math.sqrt(len(values))
        interval = (mean - half, mean + half)
    return Spread(len(values), mean, std, interval, min(values), max(values))


def accuracy_spread(accuracies: Sequence[float], num_images: int | None, num_train: int | None = None) -> Spread:
    """Returns the summary statistics of the accuracies of several seeds.

    Args:
        accuracies: of runs that differ in their seed, each in [0, 1].
        num_images: number of images that each was evaluated on; None if it is not known, then there is no interval.
        num_train: number of training images where each seed has a random split of its own; None for one split.

    Returns:
        Their spread, with Wilson's interval for one run, else `seeds_interval` or `resplit_interval`.

    Raises:
        ValueError: when there are no values.

    Example:
        >>> [round(bound, 3) for bound in accuracy_spread([0.925, 0.925, 0.925], 40).interval]
        [0.801, 0.974]
    """
    found = spread(accuracies)
    if num_images is None:
        return replace(found, interval=None)
    if num_train is not None:
        return replace(found, interval=resplit_interval(accuracies, num_images, num_train))
    return replace(found, interval=seeds_interval(accuracies, num_images))


def seeds_interval(accuracies: Sequence[float], num_images: int) -> tuple[float, float]:
    """Returns a 95 % interval of the accuracy for new images and new seeds, from seeds with the same test images.

    Two errors are combined by MOVER (Zou and Donner, 2008): Wilson's interval (w, W) of the mean p for the images, and
    h = t · std / √S for the seeds. The lower bound is p − √((p − w)² + h²), the upper one likewise, so it is never
    narrower than the test images allow. Chance differences between runs on single images are in both, which makes it a
    little too wide.

    Args:
        accuracies: S of them, each in [0, 1].
        num_images: number of test images.

    Example:
        >>> [round(bound, 4) for bound in seeds_interval([0.70, 0.71, 0.72], 10_000)]
        [0.6836, 0.7364]
    """
    mean, std = mean_and_std(accuracies)
    half = 0.0 if std is None else t_quantile(len(accuracies) - 1) * std / math.sqrt(len(accuracies))
    low, high = wilson(mean * num_images, num_images)
    return max(0.0, mean - math.hypot(mean - low, half)), min(1.0, mean + math.hypot(high - mean, half))


def resplit_interval(accuracies: Sequence[float], num_images: int, num_train: int) -> tuple[float, float]:
    """Returns a 95 % interval of the accuracy for new images, splits and seeds, from seeds with a split of their own.

    The splits of one dataset overlap. Nadeau and Bengio (2003) correct for it: p ± t · std · √(1 / S + test / train).
    The interval is at least Wilson's for one test split.

    Args:
        accuracies: S of them, each in [0, 1].
        num_images: number of test images of each split.
        num_train: number of training images of each split.

    Example:
        >>> [round(bound, 4) for bound in resplit_interval([0.68, 0.71, 0.74], 1_000, 9_000)]
        [0.6239, 0.7961]
    """
    mean, std = mean_and_std(accuracies)
    low, high = wilson(mean * num_images, num_images)
    if std is None:
        return low, high
    factor = math.sqrt(1 / len(accuracies) + num_images / num_train)
    half = t_quantile(len(accuracies) - 1) * std * factor
    return max(0.0, min(low, mean - half)), min(1.0, max(high, mean + half))


def t_p_value(t: float, degrees: float) -> float:
    """Returns the two-sided p-value of Student's t, in [0, 1].

    Args:
        t: the difference in units of its standard error.
        degrees: degrees of freedom, at least 1; may be fractional or infinite.

    Example:
        >>> round(t_p_value(2.776445, 4), 4), round(t_p_value(1.959964, math.inf), 4)
        (0.05, 0.05)
    """
    if degrees >= _NEARLY_NORMAL:  # Abramowitz and Stegun, 26.7.8
        return math.erfc(abs(t) * (1 - 1 / (4 * degrees)) / math.sqrt(2 * (1 + t * t / (2 * degrees))))
    return _t_outside(t, degrees)


@lru_cache(maxsize=1024)
def t_quantile(degrees: float, confidence: float = 0.95) -> float:
    """Returns t such that a Student variable lies in (−t, t) with probability `confidence`.

    Args:
        degrees: degrees of freedom, at least 1; may be fractional or infinite.
        confidence: probability of the interval, in (0, 1).

    Raises:
        ValueError: when an argument is out of range.

    Example:
        >>> round(t_quantile(4), 3), round(t_quantile(math.inf), 3)
        (2.776, 1.96)
    """
    if not degrees >= 1:
        raise ValueError(f"{degrees} degrees of freedom; expected 1 or more")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected more than 0 and less than 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    if degrees >= _NEARLY_NORMAL:  # Abramowitz and Stegun, 26.7.5
        return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    low, high = z, 2 * z
    while _t_outside(high, degrees) > 1 - confidence:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _t_outside(middle, degrees) > 1 - confidence else (low, middle)
    return high


def _t_outside(t: float, degrees: float) -> float:
    """Returns the probability of a Student variable outside (−t, t) (Abramowitz and Stegun, 26.7.1, 26.5.27)."""
    inside, outside = t * t / (degrees + t * t), degrees / (degrees + t * t)
    if inside == 0:
        return 1.0
    front = math.exp(
        math.lgamma((degrees + 1) / 2)
        - math.lgamma(degrees / 2)
        - math.lgamma(0.5)
        + 0.5 * math.log(inside)
        + 0.5 * degrees * math.log(outside)
    )
    if inside < 3 / (degrees + 5):  # where the continued fraction converges fast
        return max(0.0, 1 - front * _beta_fraction(0.5, degrees / 2, inside) / 0.5)
    return front * _beta_fraction(degrees / 2, 0.5, outside) / (degrees / 2)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Returns the continued fraction of the incomplete beta function (Abramowitz and Stegun, 26.5.8)."""
    value = 1.0
    for term in range(_FRACTION_TERMS, 0, -1):
        m, odd = divmod(term, 2)
        numerator = -(a + m) * (a + b + m) if odd else m * (b - m)
        value = 1 + numerator * x / ((a + term - 1) * (a + term)) / value
    return 1 / value
