"""Whether two classifiers differ by more than chance, judged on the same pictures. N pictures.

Bonett and Price: D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial
proportions based on paired data", Journal of Educational and Behavioral Statistics 37 (2012) 479–488; recommended
by M. W. Fagerland, S. Lydersen and P. Laake, Statistics in Medicine 33 (2014) 2850–2875. Holm: S. Holm, "A simple
sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979) 65–70.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tenfold.evaluate.intervals import mcnemar


@dataclass(frozen=True)
class PairedDifference:
    """How two classifiers differ on the same pictures.

    Args:
        total: pictures, at least 1.
        only_first: pictures that only the first got right.
        only_second: pictures that only the second got right.
        difference: accuracy of the second less that of the first, in [-1, 1].
        interval: its 95 % interval, see `paired_interval`.
        p: of McNemar's exact test, in (0, 1].
    """

    total: int
    only_first: int
    only_second: int
    difference: float
    interval: tuple[float, float]
    p: float


def paired_difference(right_first: NDArray[np.bool_], right_second: NDArray[np.bool_]) -> PairedDifference:
    """Compares two classifiers picture by picture.

    Args:
        right_first: bool [N], which pictures the first got right, N at least 1.
        right_second: the same of the second, in the same order.

    Raises:
        ValueError: when there is no picture, or not as many of one as of the other.

    Example:
        >>> paired_difference(np.array([True, False, False]), np.array([True, True, False])).only_second
        1
    """
    total = len(right_first)
    if not total or right_first.shape != right_second.shape:
        raise ValueError(f"{total} and {len(right_second)} pictures; expected as many, at least 1")
    only_first = int(np.count_nonzero(right_first & ~right_second))
    only_second = int(np.count_nonzero(right_second & ~right_first))
    return PairedDifference(
        total=total,
        only_first=only_first,
        only_second=only_second,
        difference=(only_second - only_first) / total,
        interval=paired_interval(only_first, only_second, total),
        p=mcnemar(only_first, only_second),
    )


def paired_interval(only_first: int, only_second: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the ends of Bonett and Price's interval for a difference of accuracies, second less first.

    With p₁ = (only_first + 1) / (total + 2) and p₂ likewise: p₂ − p₁ ± z √((p₁ + p₂ − (p₂ − p₁)²) / (total + 2)).

    Args:
        only_first: pictures that only the first got right, at least 0.
        only_second: pictures that only the second got right, at least 0.
        total: pictures in all, at least 1.
        confidence: how often such intervals hold the true difference, in (0, 1).

    Raises:
        ValueError: when an argument is out of range.

    Example:
        >>> low, high = paired_interval(4, 26, 48)
        >>> round(low, 4), round(high, 4)
        (0.2548, 0.6252)
    """
    if min(only_first, only_second) < 0 or total < 1 or only_first + only_second > total:
        raise ValueError(f"{only_first} and {only_second} of {total} pictures; expected counts that add up")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected more than 0 and less than 1")
    first, second = (only_first + 1) / (total + 2), (only_second + 1) / (total + 2)
    middle = second - first
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    half = z * math.sqrt((first + second - middle**2) / (total + 2))
    return max(-1.0, middle - half), min(1.0, middle + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for their number by Holm's method, in the order given.

    Below 0.05 they keep the chance of even one false alarm among all tests below 5 %, however the tests depend on
    one another.

    Example:
        >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected
