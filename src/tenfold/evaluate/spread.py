"""Mean, standard deviation and interval of several runs, and the significance of a difference between runs.

Student: "The probable error of a mean", Biometrika 6 (1908) 1–25. Welch: B. L. Welch, "The generalization of
'Student's' problem when several different population variances are involved", Biometrika 34 (1947) 28–35.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

from tenfold.evaluate.intervals import mean_and_std

_NEARLY_NORMAL = 10_000.0  # above so many degrees of freedom the first terms of a series are exact to 1e-11
_FRACTION_TERMS = 100  # enough for 15 digits below that


@dataclass(frozen=True)
class Spread:
    """Summary statistics of several values of one quantity.

    Args:
        count: number of values, at least 1.
        mean: mean of the values.
        std: sample standard deviation (n − 1); None for a single value.
        interval: 95 % interval of the mean, by Student's t; None for a single value.
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


@dataclass(frozen=True)
class Estimate:
    """A measured value with its standard error.

    Args:
        value: the measured value.
        error: its standard error, at least 0.
        degrees: degrees of freedom of the estimated error; infinite where the error is known.
    """

    value: float
    error: float
    degrees: float = math.inf


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


def difference_margin(a: Estimate, b: Estimate, confidence: float = 0.95) -> float:
    """Returns the smallest significant difference of two estimates, by Welch's approximation.

    Two known errors, such as binomial ones, give z · √(errorₐ² + error_b²).

    Args:
        a: one estimate.
        b: the other estimate, measured independently.
        confidence: probability that the difference stays below the margin by chance alone, in (0, 1).

    Returns:
        The margin, at least 0, in the unit of the values.

    Example:
        >>> round(difference_margin(Estimate(0.71, 0.0045), Estimate(0.70, 0.0046)), 4)
        0.0126
    """
    variance_a, variance_b = a.error**2, b.error**2
    total = variance_a + variance_b
    if total == 0:
        return 0.0
    inverse = (variance_a / total) ** 2 / a.degrees + (variance_b / total) ** 2 / b.degrees  # Welch–Satterthwaite
    return t_quantile(1 / inverse if inverse else math.inf, confidence) * math.sqrt(total)


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
    while _t_within(high, degrees) < confidence:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _t_within(middle, degrees) < confidence else (low, middle)
    return high


def _t_within(t: float, degrees: float) -> float:
    """Returns the probability that a Student variable lies in (−t, t) (Abramowitz and Stegun, 26.7.1, 26.5.27)."""
    inside, outside = t * t / (degrees + t * t), degrees / (degrees + t * t)
    front = math.exp(
        math.lgamma((degrees + 1) / 2)
        - math.lgamma(degrees / 2)
        - math.lgamma(0.5)
        + 0.5 * math.log(inside)
        + 0.5 * degrees * math.log(outside)
    )
    if inside < 3 / (degrees + 5):  # where the continued fraction converges fast
        return front * _beta_fraction(0.5, degrees / 2, inside) / 0.5
    return 1 - front * _beta_fraction(degrees / 2, 0.5, outside) / (degrees / 2)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Returns the continued fraction of the incomplete beta function (Abramowitz and Stegun, 26.5.8)."""
    value = 1.0
    for term in range(_FRACTION_TERMS, 0, -1):
        m, odd = divmod(term, 2)
        numerator = -(a + m) * (a + b + m) if odd else m * (b - m)
        value = 1 + numerator * x / ((a + term - 1) * (a + term)) / value
    return 1 / value
