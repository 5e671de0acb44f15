"""Spread of several runs, against closed forms and published tables."""

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.evaluate.spread import spread, t_quantile


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


def test_json_keeps_the_key_deviation() -> None:
    assert spread([0.5, 0.7]).to_json().keys() == {"count", "mean", "deviation", "interval", "lowest", "highest"}
