"""Comparison of two classifiers on the same images, and correction for several comparisons.

N images. Bonett and Price: D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of
binomial proportions based on paired data", Journal of Educational and Behavioral Statistics 37 (2012) 479–488;
recommended by M. W. Fagerland, S. Lydersen and P. Laake, Statistics in Medicine 33 (2014) 2850–2875. Holm: S. Holm,
"A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979) 65–70.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tenfold.evaluate.intervals import mcnemar

SIGNIFICANCE_LEVEL = 0.05
"""Probability of a false positive among all tests that belong together."""


@dataclass(frozen=True)
class PairedDifference:
    """Difference of two classifiers on the same images.

    Args:
        total: number of images, at least 1.
        only_first: number of images that only the first predicted correctly.
        only_second: number of images that only the second predicted correctly.
        difference: accuracy of the second minus accuracy of the first, in [-1, 1].
        interval: 95 % interval of the difference, see `paired_interval`.
        p: p-value of McNemar's exact test, in (0, 1].
    """

    total: int
    only_first: int
    only_second: int
    difference: float
    interval: tuple[float, float]
    p: float


def paired_difference(correct_first: NDArray[np.bool_], correct_second: NDArray[np.bool_]) -> PairedDifference:
    """Compares two classifiers image by image.

    Args:
        correct_first: bool [N], images that the first predicted correctly, N at least 1.
        correct_second: bool [N], images that the second predicted correctly, in the same order.

    Raises:
        ValueError: when there are no images, or the numbers of images differ.

    Example:
        >>> paired_difference(np.array([True, False, False]), np.array([True, True, False])).only_second
        1
    """
    total = len(correct_first)
    if not total or correct_first.shape != correct_second.shape:
        raise ValueError(f"{total} and {len(correct_second)} images; expected equal numbers, at least 1")
    only_first = int(np.count_nonzero(correct_first & ~correct_second))
    only_second = int(np.count_nonzero(correct_second & ~correct_first))
    return PairedDifference(
        total=total,
        only_first=only_first,
        only_second=only_second,
        difference=(only_second - only_first) / total,
        interval=paired_interval(only_first, only_second, total),
        p=mcnemar(only_first, only_second),
    )


def paired_interval(only_first: int, only_second: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the bounds of Bonett and Price's interval (2012) for a difference of accuracies, second minus first.

    With p₁ = (only_first + 1) / (total + 2) and p₂ likewise: p₂ − p₁ ± z √((p₁ + p₂ − (p₂ − p₁)²) / (total + 2)).

    Args:
        only_first: number of images that only the first predicted correctly, at least 0.
        only_second: number of images that only the second predicted correctly, at least 0.
        total: number of all images, at least 1.
        confidence: probability that the interval contains the true difference, in (0, 1).

    Raises:
        ValueError: when an argument is out of range.

    Example:
        >>> low, high = paired_interval(4, 26, 48)
        >>> round(low, 4), round(high, 4)
        (0.2548, 0.6252)
    """
    if min(only_first, only_second) < 0 or total < 1 or only_first + only_second > total:
        raise ValueError(f"{only_first} and {only_second} of {total} images; expected counts that add up")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected more than 0 and less than 1")
    first, second = (only_first + 1) / (total + 2), (only_second + 1) / (total + 2)
    middle = second - first
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    half = z * math.sqrt((first + second - middle**2) / (total + 2))
    return max(-1.0, middle - half), min(1.0, middle + half)


def holm(p_values: Sequence[float], num_tests: int | None = None) -> list[float]:
    """Returns p-values corrected for multiple tests by Holm's method (1979), in the given order.

    Corrected p-values below 0.05 keep the probability of any false positive among all tests below 5 %, also for
    dependent tests.

    Args:
        p_values: of the tests that are wanted.
        num_tests: number of tests that they were picked from after looking; theirs by default.

    Example:
        >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    corrected, highest, count = [0.0] * len(p_values), 0.0, num_tests or len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (count - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
