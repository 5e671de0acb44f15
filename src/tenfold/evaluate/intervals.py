"""Confidence intervals and significance tests for measured accuracies.

Wilson: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
American Statistical Association 22 (1927) 209–212. McNemar: Q. McNemar, "Note on the sampling error of the
difference between correlated proportions or percentages", Psychometrika 12 (1947) 153–157, in its exact form.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev


def wilson(correct: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the bounds of Wilson's score interval for a fraction (Wilson, 1927), both in [0, 1].

    Args:
        correct: number of successes, in [0, total]; a mean over several runs need not be whole.
        total: number of trials, or an effective number; with 0 trials nothing is known, and the interval is (0, 1).
        confidence: probability that the interval contains the true fraction, in (0, 1).

    Raises:
        ValueError: when an argument is out of range.

    Example:
        >>> low, high = wilson(81, 263)
        >>> round(low, 4), round(high, 4)
        (0.2553, 0.3662)
    """
    if not 0 <= correct <= total:
        raise ValueError(f"{correct} correct of {total}; expected 0 ≤ correct ≤ total")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected more than 0 and less than 1")
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    fraction, weight = correct / total, 1 + z * z / total
    middle = (fraction + z * z / (2 * total)) / weight
    half = z / weight * math.sqrt(fraction * (1 - fraction) / total + z * z / (4 * total * total))
    # for no or only successes the bound is exactly 0 or 1, but the formula rounds
    low = 0.0 if correct == 0 else max(0.0, middle - half)
    high = 1.0 if correct == total else min(1.0, middle + half)
    return low, high


def mcnemar(only_a: int, only_b: int) -> float:
    """Returns the exact two-sided p-value of McNemar's test (1947) that two classifiers are equally good, in (0, 1].

    The sum uses integers, so it is exact for any count; a p-value below 1e-308 becomes 0.

    Args:
        only_a: number of images that only the first classifier predicted correctly, at least 0.
        only_b: number of images that only the second classifier predicted correctly, at least 0.

    Raises:
        ValueError: when a count is negative.

    Example:
        >>> mcnemar(1, 9)
        0.021484375
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"counts are {only_a} and {only_b}; expected 0 or more")
    total, term, tail = only_a + only_b, 1, 0
    for i in range(min(only_a, only_b) + 1):
        tail += term
        term = term * (total - i) // (i + 1)  # from C(n, i) to C(n, i + 1)
    return min(1.0, 2 * tail / (1 << total))


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean and the sample standard deviation (n − 1), which is None for a single value.

    Raises:
        ValueError: when there are no values.

    Example:
        >>> mean_and_std([1.0, 2.0, 3.0])
        (2.0, 1.0)
    """
    if not values:
        raise ValueError("no values to average; expected 1 or more")
    return fmean(values), stdev(values) if len(values) > 1 else None
