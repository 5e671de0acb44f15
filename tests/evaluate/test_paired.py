"""Paired tests and corrections, against published and closed-form values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.evaluate.paired import holm, paired_difference, paired_interval


def test_the_interval_agrees_with_a_published_example():
    # the R package statpsych, ci.prop.ps(.05, 12, 4, 26, 6), by the authors of the method
    assert paired_interval(4, 26, 48) == pytest.approx((0.2548067, 0.6251933), abs=5e-8)


def test_the_interval_without_disagreement_has_the_closed_form():
    half = 1.959963984540054 * math.sqrt(2) / 102
    assert paired_interval(0, 0, 100) == pytest.approx((-half, half))


def test_two_classifiers_are_compared_image_by_image():
    first = np.array([True] * 5 + [False] * 9 + [True] + [False] * 5)
    second = np.array([True] * 5 + [True] * 9 + [False] + [False] * 5)
    found = paired_difference(first, second)
    assert (found.total, found.only_first, found.only_second) == (20, 1, 9)
    assert found.difference == pytest.approx(0.4)
    assert found.p == 2 * (1 + 10) / 2**10


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_the_interval_contains_the_difference_and_is_symmetric(only_first, only_second, rest):
    total = only_first + only_second + rest + 1
    low, high = paired_interval(only_first, only_second, total)
    assert -1 <= low <= (only_second - only_first) / total <= high <= 1
    assert paired_interval(only_second, only_first, total) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize("counts", [(-1, 0, 4), (0, 0, 0), (3, 3, 5)])
def test_counts_that_do_not_add_up_are_refused(counts):
    with pytest.raises(ValueError, match="expected counts that add up"):
        paired_interval(*counts)


def test_both_classifiers_need_the_same_number_of_images():
    with pytest.raises(ValueError, match="2 and 3 images; expected equal numbers"):
        paired_difference(np.ones(2, bool), np.ones(3, bool))
    with pytest.raises(ValueError, match="0 and 0 images"):
        paired_difference(np.ones(0, bool), np.ones(0, bool))


def test_a_confidence_out_of_range_is_refused():
    with pytest.raises(ValueError, match="confidence is 1"):
        paired_interval(1, 1, 4, confidence=1)


@pytest.mark.parametrize(
    ("given_values", "corrected"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 3 · 0.01, then 2 · 0.03 beats 1 · 0.04, 4 · 0.005
        ([0.9, 0.8], [1.0, 1.0]),
    ],
)
def test_holm_agrees_with_values_computed_by_hand(given_values, corrected):
    assert holm(given_values) == pytest.approx(corrected)


@given(st.lists(st.floats(0, 1)))
def test_holm_keeps_the_order_and_never_exceeds_bonferroni(values):
    corrected = holm(values)
    assert all(p <= c <= min(1.0, len(values) * p) for p, c in zip(values, corrected, strict=True))
    by_value = [c for _, c in sorted(zip(values, corrected, strict=True))]
    assert by_value == sorted(by_value)
