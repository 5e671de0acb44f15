"""Comparison of settings, each run with several seeds: for new images and new seeds.

K settings, S seeds, N test images, P pairs of settings.

The variance of a difference of mean accuracies has a part for the images and one for the seeds. Where all settings have
the same seeds, a seed's common effect is removed. Two or three seeds alone say little about a variance, so it is pooled
over the settings; a setting whose own variance is larger keeps its own (F. E. Grubbs, Journal of the American
Statistical Association 43 (1948) 243–264), because pooling would hide one noisy setting. Degrees of freedom: F. E.
Satterthwaite, Biometrics Bulletin 2 (1946) 110–114, where an own and a pooled variance count as fully correlated,
because the pooled one is mostly that of the noisy setting. Chance differences between runs on single images are in both
parts; they are not subtracted, which makes the tests a little too careful.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.evaluate.paired import SIGNIFICANCE_LEVEL, holm
from tenfold.evaluate.spread import t_p_value, t_quantile

USUAL_STD = 0.005
"""Standard deviation between seeds that is assumed where each setting was run once."""

_POWER_QUANTILE = 1.2816  # of the normal distribution at 90 %; own variances bring it to about 80 %
_MAX_SEEDS = 100

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)  # == of arrays gives no single truth value
class SeedResults:
    """The accuracies of one setting.

    Args:
        accuracies: by seed, at least one, each in [0, 1].
        num_images: number of images that each run was evaluated on.
        correct: float64 [N], fraction of the runs that predicted each image correctly; None if it is not known.
    """

    accuracies: Mapping[int, float]
    num_images: int
    correct: Array | None = None

    @property
    def mean(self) -> float:
        """Mean of the accuracies."""
        return float(np.mean(list(self.accuracies.values())))


@dataclass(frozen=True)
class SettingPair:
    """Two settings, of which at least one was run with several seeds.

    Args:
        first: index of a setting.
        second: index of another setting.
        difference: mean accuracy of the second minus that of the first.
        error: standard error of the difference, for new images and new seeds.
        degrees: degrees of freedom of `error`.
        p: two-sided p-value of no difference.
        p_holm: `p`, corrected for the number of tests.
    """

    first: int
    second: int
    difference: float
    error: float
    degrees: float
    p: float
    p_holm: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference, not corrected for the number of tests."""
        half = t_quantile(self.degrees) * self.error
        return max(-1.0, self.difference - half), min(1.0, self.difference + half)

    @property
    def within_noise(self) -> bool:
        """Whether the difference is not significant after the correction."""
        return self.p_holm >= SIGNIFICANCE_LEVEL


@dataclass(frozen=True)
class SeedVariance:
    """Variance of a single run's accuracy between seeds. Leading dimensions are independent experiments.

    Args:
        own: float64 [..., K], of each setting.
        own_degrees: degrees of freedom of each setting's own variance, int64 [K]; 0 for a setting with one seed.
        pooled: float64 [...], over all settings.
        pooled_degrees: its degrees of freedom.
    """

    own: Array
    own_degrees: NDArray[np.int64]
    pooled: Array
    pooled_degrees: int


def compare_settings(
    settings: Sequence[SeedResults], pairs: Sequence[tuple[int, int]], num_tests: int | None = None
) -> list[SettingPair]:
    """Tests pairs of settings for a difference that new images and new seeds would show too.

    Args:
        settings: K of them; arrays `correct` of equal length belong to the same images.
        pairs: indices of the settings to compare.
        num_tests: number of pairs that these were picked from after looking, such as K (K − 1) / 2 for the best and
            each other; theirs by default.

    Returns:
        One result per pair, in order; none where every setting has one run, as that says nothing about seeds.

    Example:
        >>> a, b = (SeedResults({0: 0.7 + d, 1: 0.71 + d, 2: 0.72 + d}, 10_000) for d in (0, 0.05))
        >>> [(round(pair.difference, 3), pair.within_noise) for pair in compare_settings([a, b], [(0, 1)])]
        [(0.05, False)]
    """
    variance = seed_variance([setting.accuracies for setting in settings])
    if variance is None or not pairs:
        return []
    counts = np.array([len(setting.accuracies) for setting in settings])
    images = np.array([image_variance(settings[a], settings[b]) for a, b in pairs])
    errors, degrees = difference_errors(variance, counts, images, pairs)
    differences = [settings[b].mean - settings[a].mean for a, b in pairs]
    p_values = [
        t_p_value(d / error, max(1.0, df))
        for d, error, df in zip(differences, errors.tolist(), degrees.tolist(), strict=True)
    ]
    return [
        SettingPair(a, b, d, error, max(1.0, df), p, p_holm)
        for (a, b), d, error, df, p, p_holm in zip(
            pairs, differences, errors.tolist(), degrees.tolist(), p_values, holm(p_values, num_tests), strict=True
        )
    ]


def seed_variance(accuracies: Sequence[Mapping[int, float]]) -> SeedVariance | None:
    """Returns the variance between seeds; None where every setting has one seed.

    Args:
        accuracies: of each of K settings, by seed.
    """
    seeds = list(accuracies[0]) if accuracies else []
    if len(seeds) > 1 and len(accuracies) > 1 and all(set(one) == set(seeds) for one in accuracies):
        return block_variance(np.array([[one[seed] for seed in seeds] for one in accuracies]))
    degrees = np.array([len(one) - 1 for one in accuracies], np.int64)
    if not degrees.sum():
        return None
    own = np.array([np.var(list(one.values()), ddof=1) if len(one) > 1 else 0.0 for one in accuracies])
    return SeedVariance(own, degrees, np.array((own * degrees).sum() / degrees.sum()), int(degrees.sum()))


def block_variance(accuracies: Array) -> SeedVariance:
    """Returns the variance between seeds without the effect that a seed has on all settings.

    Args:
        accuracies: float64 [..., K, S], K and S at least 2.
    """
    num_settings, num_seeds = accuracies.shape[-2:]
    of_settings, of_seeds = accuracies.mean(-1, keepdims=True), accuracies.mean(-2, keepdims=True)
    residuals = accuracies - of_settings - of_seeds + accuracies.mean((-2, -1), keepdims=True)  # ... K S
    squares = (residuals**2).sum(-1) / (num_seeds - 1)  # ... K
    total = squares.sum(-1)
    own = np.zeros_like(squares)  # two settings have equal residuals, which do not tell them apart
    if num_settings > 2:
        others = total[..., None] / (num_settings * (num_settings - 1))
        own = num_settings / (num_settings - 2) * (squares - others)  # Grubbs, 1948
    degrees = np.full(num_settings, num_seeds - 1, np.int64)
    return SeedVariance(own, degrees, total / (num_settings - 1), (num_settings - 1) * (num_seeds - 1))


def difference_errors(
    variance: SeedVariance, counts: NDArray[np.int64], images: Array, pairs: Sequence[tuple[int, int]]
) -> tuple[Array, Array]:
    """Returns standard error and degrees of freedom of each pair's difference, float64 [..., P] each.

    Args:
        variance: between seeds.
        counts: number of seeds of each setting, int64 [K].
        images: float64 [..., P], variance of each pair's difference for new images.
        pairs: P pairs of indices of settings.
    """
    first, second = np.array(pairs).T
    is_own = (variance.own > variance.pooled[..., None]) & (variance.own_degrees > 0)  # ... K
    of_means = np.where(is_own, variance.own, variance.pooled[..., None]) / counts
    degrees = np.where(is_own, variance.own_degrees, variance.pooled_degrees)
    seeds = of_means[..., first] + of_means[..., second]  # ... P
    first_part, second_part = (of_means[..., one] / np.sqrt(degrees[..., one]) for one in (first, second))
    both_own = is_own[..., first] & is_own[..., second]
    # the pooled variance contains the own one of a noisy setting, so their errors add up
    inverse = np.where(both_own, first_part**2 + second_part**2, (first_part + second_part) ** 2)
    total = seeds + images
    with np.errstate(divide="ignore"):
        return np.sqrt(total), total**2 / inverse


def image_variance(first: SeedResults, second: SeedResults) -> float:
    """Returns the variance of a difference of accuracies for new images, from the differences on the same images.

    It is the variance of Bonett and Price's interval (see `evaluate.paired`), so never 0. Where single images are not
    known it is the sum of both variances, which is larger.

    Example:
        >>> results = [SeedResults({0: 0.5}, 4, np.array(correct)) for correct in ([1.0, 1, 0, 0], [1.0, 0, 1, 0])]
        >>> round(image_variance(*results), 4)  # (2 + 2) / 6 / 6
        0.1111
    """
    if first.correct is None or second.correct is None or len(first.correct) != len(second.correct):
        return _binomial_variance(first) + _binomial_variance(second)
    differences, total = second.correct - first.correct, len(first.correct) + 2
    mean, square = differences.sum() / total, (differences @ differences + 2) / total
    return float((square - mean**2) / total)


def _binomial_variance(setting: SeedResults) -> float:
    total = setting.num_images + 2
    fraction = (setting.mean * setting.num_images + 1) / total
    return fraction * (1 - fraction) / total


def seeds_needed(
    difference: float, std: float, image_variance_of_runs: float, num_settings: int, *, fixed_variance: float = 0.0
) -> int | None:
    """Returns how many seeds of each setting find a difference in four of five sweeps; None for more than 100.

    Args:
        difference: true difference of two settings, more than 0.
        std: standard deviation between runs that differ only in the seed.
        image_variance_of_runs: `image_variance` of two single runs. It is taken to be chance of the seeds, which
            averages out; what the settings' images have in common does not, so the answer is a lower limit.
        num_settings: number of settings of the sweep, at least 2.
        fixed_variance: `image_variance` where single images are not known: more seeds do not reduce it.

    Example:
        >>> seeds_needed(0.01, 0.005, 0.00001, num_settings=8)
        13
    """
    num_pairs = num_settings * (num_settings - 1) // 2
    for count in range(2, _MAX_SEEDS + 1):
        error = math.sqrt((2 * std**2 + image_variance_of_runs) / count + fixed_variance)
        critical = t_quantile((num_settings - 1) * (count - 1), 1 - SIGNIFICANCE_LEVEL / num_pairs)
        if (critical + _POWER_QUANTILE) * error <= difference:
            return count
    return None
