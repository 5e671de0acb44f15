"""Confidence intervals and significance tests, against published and closed-form values."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.evaluate.intervals import mcnemar, mean_and_std, wilson


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998) 857–872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_the_published_table(correct, total, low, high):
    assert wilson(correct, total) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_none_or_all_correct_has_the_closed_form():
    z2 = 1.959963984540054**2
    assert wilson(0, 50) == (0.0, pytest.approx(z2 / (50 + z2)))
    assert wilson(50, 50) == (pytest.approx(50 / (50 + z2)), 1.0)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_wilson_contains_the_measured_fraction_and_is_symmetric(total, fraction):
    correct = round(fraction * total)
    low, high = wilson(correct, total)
    assert 0 <= low <= correct / total <= high <= 1
    assert wilson(total - correct, total) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_wilson_without_trials_is_0_to_1():
    assert wilson(0, 0) == (0.0, 1.0)


def test_higher_confidence_widens_the_interval():
    low, high = wilson(80, 100, confidence=0.99)
    assert low < wilson(80, 100)[0]
    assert high > wilson(80, 100)[1]


@pytest.mark.parametrize(("correct", "total"), [(-1, 10), (11, 10), (0, -1)])
def test_wilson_refuses_impossible_counts(correct, total):
    with pytest.raises(ValueError, match=f"{correct} correct of {total}"):
        wilson(correct, total)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_wilson_refuses_a_confidence_outside_0_to_1(confidence):
    with pytest.raises(ValueError, match="expected more than 0 and less than 1"):
        wilson(1, 2, confidence)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 1, 1.0), (0, 6, 2 / 64), (1, 9, 22 / 1024), (3, 9, 598 / 4096)],
)
def test_mcnemar_has_the_closed_form_value(only_a, only_b, p):
    assert mcnemar(only_a, only_b) == p == mcnemar(only_b, only_a)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_tail(only_a, only_b):
    total = only_a + only_b
    tail = sum(math.comb(total, i) for i in range(min(only_a, only_b) + 1))
    assert mcnemar(only_a, only_b) == float(min(Fraction(1), Fraction(2 * tail, 2**total)))


def test_mcnemar_stays_exact_where_floats_would_overflow():
    n = 10_000
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(4801)]
    assert mcnemar(4800, 5200) == pytest.approx(2 * math.fsum(map(math.exp, logs)), rel=1e-8)
    assert mcnemar(0, 1000) == 2.0**-999
    assert mcnemar(0, 5000) == 0.0


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="counts are -1 and 2"):
        mcnemar(-1, 2)


def test_std_is_the_sample_standard_deviation():
    mean, std = mean_and_std([2, 4, 4, 4, 5, 5, 7, 9])
    assert (mean, std) == (5, pytest.approx(math.sqrt(32 / 7)))


def test_a_single_value_has_no_std():
    assert mean_and_std([0.5]) == (0.5, None)
    with pytest.raises(ValueError, match="no values to average"):
        mean_and_std([])
