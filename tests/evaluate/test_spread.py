"""Spread of several runs, against closed forms and published tables."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.simulated_sweeps import simulate
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.spread import accuracy_spread, resplit_interval, seeds_interval, spread, t_p_value, t_quantile


@pytest.mark.parametrize("confidence", [0.1, 0.5, 0.9, 0.95, 0.99, 0.999])
def test_quantiles_of_1_2_and_4_degrees_have_the_closed_forms(confidence):
    assert t_quantile(1, confidence) == pytest.approx(math.tan(math.pi * confidence / 2), rel=1e-10)
    assert t_quantile(2, confidence) == pytest.approx(confidence * math.sqrt(2 / (1 - confidence**2)), rel=1e-10)
    root = math.sqrt(1 - confidence**2)  # W. T. Shaw, Journal of Computational Finance 9 (2006) 37–73, equation 36
    expected = 2 * math.sqrt(math.cos(math.acos(root) / 3) / root - 1)
    assert t_quantile(4, confidence) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("degrees", "confidence", "published"),
    [
        # NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2
        (3, 0.95, 3.182),
        (5, 0.99, 4.032),
        (9, 0.95, 2.262),
        (10, 0.90, 1.812),
        (19, 0.95, 2.093),
        (30, 0.998, 3.385),
        (100, 0.95, 1.984),
        (math.inf, 0.95, 1.960),
    ],
)
def test_quantiles_agree_with_the_published_table(degrees, confidence, published):
    assert t_quantile(degrees, confidence) == pytest.approx(published, abs=5e-4)


def test_quantiles_approach_the_normal_quantile_without_a_step():
    below, above = t_quantile(9_999.999), t_quantile(10_000.001)
    assert 0 < below - above < 1e-9
    assert t_quantile(math.inf) == NormalDist().inv_cdf(0.975)


@given(st.floats(1, 1e6), st.floats(1.01, 10))
def test_more_degrees_lower_the_quantile_towards_the_normal_one(degrees, times):
    assert t_quantile(degrees) > t_quantile(degrees * times) > NormalDist().inv_cdf(0.975)


@pytest.mark.parametrize("degrees", [0, 0.5, -1, math.nan])
def test_too_few_degrees_are_refused(degrees):
    with pytest.raises(ValueError, match="degrees of freedom; expected 1 or more"):
        t_quantile(degrees)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_outside_0_to_1_is_refused(confidence):
    with pytest.raises(ValueError, match="expected more than 0 and less than 1"):
        t_quantile(3, confidence)


def test_two_values_have_the_interval_of_the_cauchy_distribution():
    found = spread([1.0, 3.0])
    assert (found.count, found.mean, found.lowest, found.highest) == (2, 2.0, 1.0, 3.0)
    assert found.std == pytest.approx(math.sqrt(2))
    half = math.tan(math.pi * 0.95 / 2)  # t of one degree times the standard error, which is 1
    assert found.interval == pytest.approx((2 - half, 2 + half))


def test_one_value_has_no_std_and_no_values_are_refused():
    found = spread([0.5])
    assert (found.mean, found.std, found.interval) == (0.5, None, None)
    with pytest.raises(ValueError, match="no values to average"):
        spread([])


@given(st.floats(0, 30), st.one_of(st.floats(1, 1e6), st.just(math.inf)))
def test_p_values_are_the_inverse_of_quantiles(t, degrees):
    p = t_p_value(t, degrees)
    assert 0 <= p <= 1
    if 1e-6 < p < 0.99:
        assert t_quantile(degrees, 1 - p) == pytest.approx(t, rel=1e-4)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(1, 10_000))
def test_seeds_never_make_an_interval_narrower_than_the_images_allow(accuracies, num_images):
    mean = spread(accuracies).mean
    low, high = wilson(min(mean * num_images, num_images), num_images)
    for found in (seeds_interval(accuracies, num_images), resplit_interval(accuracies, num_images, 4 * num_images)):
        assert found[0] <= low + 1e-12
        assert found[1] >= high - 1e-12
        assert 0 <= found[0] <= found[1] <= 1


def test_equal_seeds_have_the_interval_of_one_run():
    assert accuracy_spread([0.925] * 3, 40).interval == pytest.approx(wilson(37, 40))
    assert accuracy_spread([0.925], 40).interval == wilson(37, 40)
    assert accuracy_spread([0.925] * 3, None).interval is None


def test_many_images_leave_the_interval_of_the_seeds():
    accuracies = [0.70, 0.72, 0.71, 0.73]
    assert seeds_interval(accuracies, 10**9) == pytest.approx(spread(accuracies).interval, abs=1e-5)


def test_splits_of_their_own_are_corrected_for_their_overlap():
    accuracies = [0.70, 0.74, 0.71, 0.78, 0.75]
    low, high = resplit_interval(accuracies, 1_000, 4_000)
    half = 2.776445 * np.std(accuracies, ddof=1) * math.sqrt(1 / 5 + 1_000 / 4_000)  # Nadeau and Bengio, equation 8
    assert (low, high) == pytest.approx((np.mean(accuracies) - half, np.mean(accuracies) + half), abs=1e-7)


def simulated_coverage(interval, num_images, accuracy, seed_std, num_seeds, num_experiments=1500):
    """Returns how often an interval holds the true mean accuracy, on new images and new seeds in each experiment."""
    accuracies = simulate(num_experiments, 1, num_seeds, num_images, seed_std=seed_std, accuracy=accuracy).accuracies
    bounds = [interval(runs.tolist(), num_images) for runs in accuracies[:, 0]]
    return np.mean([low <= accuracy <= high for low, high in bounds])


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
@pytest.mark.parametrize("seed_std", [0.001, 0.01])
@pytest.mark.parametrize(("num_images", "accuracy"), [(40, 0.9), (40, 0.98), (300, 0.7), (2000, 0.95)])
def test_the_interval_of_seeds_covers_new_images_and_new_seeds(num_images, accuracy, seed_std, num_seeds):
    count = 1500 if num_images < 2000 else 200
    coverage = simulated_coverage(seeds_interval, num_images, accuracy, seed_std, num_seeds, count)
    assert coverage >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / count)


def test_an_interval_of_the_seeds_alone_does_not_cover_new_images():
    coverage = simulated_coverage(lambda runs, _: spread(runs).interval, 300, 0.7, 0.001, 5)
    assert coverage < 0.7


def test_json_keeps_the_key_deviation() -> None:
    assert spread([0.5, 0.7]).to_json().keys() == {"count", "mean", "deviation", "interval", "lowest", "highest"}
