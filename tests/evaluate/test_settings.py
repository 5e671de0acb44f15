"""Comparison of settings with several seeds: by simulation with a known truth, and against closed forms."""

import math
from functools import cache
from itertools import combinations

import numpy as np
import pytest

from harness.simulated_sweeps import Simulation, simulate
from tenfold.evaluate.paired import paired_interval
from tenfold.evaluate.settings import (
    SeedResults,
    SeedVariance,
    block_variance,
    compare_settings,
    difference_errors,
    image_variance,
    seed_variance,
    seeds_needed,
)
from tenfold.evaluate.spread import t_p_value, t_quantile


def image_variances(correct, pairs):
    """Returns `image_variance` of each experiment and pair, float64 [R, P], with one matrix product."""
    total = correct.shape[-1] + 2
    products, sums = correct @ correct.swapaxes(-1, -2), correct.sum(-1)
    squares = np.einsum("rkk->rk", products)
    a, b = np.array(pairs).T
    square = (squares[:, a] + squares[:, b] - 2 * products[:, a, b] + 2) / total
    return (square - ((sums[:, b] - sums[:, a]) / total) ** 2) / total


INVERSE = np.linspace(0, 1, 40)


@cache
def quantiles(num_tests):
    """Returns the critical values of t for many degrees of freedom; they are smooth in 1 / degrees."""
    return [t_quantile(1 / x if x else math.inf, 1 - 0.05 / num_tests) for x in INVERSE]


def found(simulation: Simulation, *, same_seeds: bool = True):
    """Returns which pairs differ significantly after Bonferroni's correction, bool [R, P].

    Holm's correction finds a pair exactly where Bonferroni's does.
    """
    accuracies, correct = simulation
    _, num_settings, num_seeds = accuracies.shape
    pairs = list(combinations(range(num_settings), 2))
    counts = np.full(num_settings, num_seeds)
    images = image_variances(correct, pairs) if correct.size else np.zeros((len(accuracies), len(pairs)))
    variance = block_variance(accuracies) if same_seeds else separate_variance(accuracies)
    errors, degrees = difference_errors(variance, counts, images, pairs)
    means, (a, b) = accuracies.mean(-1), np.array(pairs).T
    return np.abs(means[:, b] - means[:, a]) > np.interp(1 / degrees, INVERSE, quantiles(len(pairs))) * errors


def separate_variance(accuracies):
    """Returns what `seed_variance` does for settings without common seeds, for many experiments."""
    own, degrees = accuracies.var(-1, ddof=1), np.full(accuracies.shape[1], accuracies.shape[2] - 1)
    return SeedVariance(own, degrees, own.mean(-1), int(degrees.sum()))


def best_against_others(simulation: Simulation, index: int, *, same_seeds: bool = True):
    """Returns the comparisons of one experiment, as a sweep makes them."""
    accuracies, correct = (values[index] for values in simulation)
    count, num_seeds = accuracies.shape
    settings = [
        SeedResults(dict(enumerate(accuracies[k], 0 if same_seeds else k * num_seeds)), correct.shape[1], correct[k])
        for k in range(count)
    ]
    best = int(accuracies.mean(-1).argmax())
    return compare_settings(settings, [(best, k) for k in range(count) if k != best], count * (count - 1) // 2)


@pytest.mark.parametrize(("num_images", "seed_std"), [(10, 0.01), (100, 0.005), (1000, 0.01)])
@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_the_best_of_eight_equal_settings_is_seldom_significant(num_images, seed_std, num_seeds):
    simulation = simulate(60, 8, num_seeds, num_images, seed_std=seed_std, seed=num_images)
    experiments = [best_against_others(simulation, index) for index in range(60)]
    false_alarms = [any(not pair.within_noise for pair in pairs) for pairs in experiments]
    assert np.mean(false_alarms) <= 0.05  # with 60 experiments up to 3; the page on statistics has more of them


@pytest.mark.parametrize("same_seeds", [True, False])
def test_a_sweep_finds_the_same_pairs_as_the_simulation_of_many(same_seeds):
    simulation = simulate(10, 3, 3, 1000, seed_std=0.01, gain=0.05, accuracy=0.88)
    pairs = list(combinations(range(3), 2))
    significant = found(simulation, same_seeds=same_seeds)
    assert significant.any()
    assert not significant.all()
    for index, row in enumerate(significant):
        for pair in best_against_others(simulation, index, same_seeds=same_seeds):
            place = pairs.index((min(pair.first, pair.second), max(pair.first, pair.second)))
            assert row[place] == (pair.p * 3 < 0.05)


def only_seeds(num_settings, num_seeds, noisy=1.0, gain=0.0, num_experiments=2000):
    """Simulates infinitely many test images: the limit in which only the seeds are noise."""
    accuracies = np.random.default_rng(num_seeds).normal(size=(num_experiments, num_settings, num_seeds))
    accuracies[:, -1] *= noisy
    accuracies[:, 0] += gain
    return Simulation(accuracies, np.empty(0))


@pytest.mark.parametrize("noisy", [1, 5, 50])
@pytest.mark.parametrize("num_seeds", [2, 3, 5])
@pytest.mark.parametrize("num_settings", [2, 3, 8])
def test_one_noisy_setting_gives_few_false_alarms(num_settings, num_seeds, noisy):
    false_alarms = found(only_seeds(num_settings, num_seeds, noisy)).any(-1).mean()
    margin = 2 * math.sqrt(0.05 * 0.95 / 2000) if num_settings == 2 else 0  # two settings are at 5 % exactly
    assert false_alarms <= 0.05 + margin


@pytest.mark.parametrize("noisy", [1, 3, 10])
@pytest.mark.parametrize("num_seeds", [2, 3, 5])
@pytest.mark.parametrize("num_settings", [2, 3])
def test_one_noisy_setting_with_seeds_of_its_own_gives_few_false_alarms(num_settings, num_seeds, noisy):
    simulation = only_seeds(num_settings, num_seeds, noisy, num_experiments=4000)
    assert found(simulation, same_seeds=False).any(-1).mean() <= 0.05


def test_pooling_alone_would_hide_a_noisy_setting():
    accuracies, _ = only_seeds(8, 3, noisy=10)
    variance = block_variance(accuracies).pooled * 2 / 3
    means = accuracies.mean(-1)
    margin = t_quantile(14, 1 - 0.05 / 28) * np.sqrt(variance)
    assert (np.ptp(means, axis=-1) > margin).mean() > 0.15


def test_a_difference_of_two_points_is_mostly_found_with_five_seeds():
    simulation = simulate(20, 8, 5, 10_000, seed_std=0.005, gain=0.02, accuracy=0.88)
    assert found(simulation)[:, :7].mean() > 0.6  # the first setting against the seven others
    assert not found(simulation)[:, 7:].any()


def test_one_seed_each_is_no_comparison():
    settings = [SeedResults({0: 0.7}, 100), SeedResults({0: 0.9}, 100)]
    assert compare_settings(settings, [(0, 1)]) == []
    assert seed_variance([{0: 0.7}, {1: 0.8}]) is None
    assert compare_settings([SeedResults({0: 0.7, 1: 0.8}, 100)], []) == []


def test_two_settings_with_the_same_seeds_are_the_paired_t_test():
    first, second = (0.70, 0.72, 0.71, 0.69), (0.73, 0.74, 0.75, 0.71)
    variance = seed_variance([dict(enumerate(first)), dict(enumerate(second))])
    errors, degrees = difference_errors(variance, np.array([4, 4]), np.zeros(1), [(0, 1)])
    differences = np.subtract(second, first)
    assert errors[0] == pytest.approx(differences.std(ddof=1) / 2)
    assert degrees[0] == pytest.approx(3)


def test_settings_with_other_seeds_have_a_pooled_variance_within_settings():
    variance = seed_variance([{0: 0.7, 1: 0.72}, {5: 0.8, 6: 0.81, 7: 0.82}, {0: 0.9}])
    assert variance.own == pytest.approx([0.0002, 0.0001, 0])
    assert variance.own_degrees.tolist() == [1, 2, 0]
    assert (variance.pooled, variance.pooled_degrees) == (pytest.approx(0.0004 / 3), 3)


def test_a_common_effect_of_a_seed_does_not_count():
    accuracies = np.random.default_rng(0).normal(0.8, 0.01, (5, 3))
    shifted = block_variance(accuracies + np.array([0.1, -0.1, 0.05]))
    assert shifted.pooled == pytest.approx(block_variance(accuracies).pooled)
    assert shifted.own == pytest.approx(block_variance(accuracies).own)


def test_the_own_variances_are_unbiased():
    accuracies = np.random.default_rng(0).normal(size=(40_000, 3, 4)) * np.array([1.0, 2.0, 3.0])[:, None]
    assert block_variance(accuracies).own.mean(0) == pytest.approx([1, 4, 9], rel=0.03)


def test_the_image_part_is_that_of_bonett_and_price():
    correct = [np.array([1.0] * (30 + only) + [0.0] * (18 - only)) for only in (0, 7)]
    low, high = paired_interval(0, 7, 48)
    variance = image_variance(*(SeedResults({0: one.mean()}, 48, one) for one in correct))
    assert math.sqrt(variance) * 2 * 1.959964 == pytest.approx(high - low, rel=1e-6)


def test_unknown_images_count_as_unpaired():
    settings = [SeedResults({0: 0.5}, 98), SeedResults({0: 1.0}, 98, np.ones(98))]
    assert image_variance(*settings) == pytest.approx(0.25 / 100 + 0.99 * 0.01 / 100)


def test_equal_results_on_few_images_are_no_evidence():
    correct = [np.array([1.0] * 9 + [0.0]), np.ones(10)]
    ten = [SeedResults({0: one.mean(), 1: one.mean()}, 10, one) for one in correct]
    (pair,) = compare_settings(ten, [(0, 1)])
    assert pair.within_noise
    assert pair.interval[0] < 0 < pair.interval[1]


def test_p_values_are_corrected_for_all_pairs_that_were_looked_at():
    settings = [SeedResults({s: a + s / 1000 for s in range(3)}, 1000) for a in (0.7, 0.72, 0.8)]
    few, many = (compare_settings(settings, [(0, 1), (0, 2)], num_tests) for num_tests in (None, 300))
    assert [pair.p for pair in few] == [pair.p for pair in many]
    assert many[1].p_holm == pytest.approx(min(1, few[1].p * 300))
    assert few[1].p == pytest.approx(t_p_value(few[1].difference / few[1].error, few[1].degrees))


def test_more_seeds_are_needed_for_smaller_differences():
    needed = [seeds_needed(difference, 0.005, 1e-5, 8) for difference in (0.05, 0.02, 0.01, 0.005, 0.0001)]
    assert needed == [2, 4, 13, 48, None]


def test_the_seeds_needed_find_a_difference_in_four_of_five_sweeps():
    count = seeds_needed(2.0, 1.0, 0.0, 8)  # in units of the standard deviation
    pairs = found(only_seeds(8, count, gain=2.0, num_experiments=1000))
    assert 0.7 < pairs[:, :7].mean() < 0.9
