"""Calibration: temperature, reliability, its error with an interval, and what is gained by keeping silent."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_calibration_error

from tenfold.core.errors import ModelError
from tenfold.evaluate.calibration import (
    answered_at,
    calibration_error,
    fit_temperature,
    reject_curve,
    reliability,
)
from tenfold.evaluate.metrics import log_loss

torch.set_num_threads(1)

SEEDS = st.integers(0, 2**32 - 1)
JUDGED = st.lists(st.tuples(st.floats(0, 1) | st.sampled_from((0.0, 0.2, 0.5, 1.0)), st.booleans()), min_size=1)


def _apart(rows):
    probabilities, correct = zip(*rows, strict=True)
    return np.array(probabilities), np.array(correct)


def _drawn(count, seed, believed=lambda truth: truth):
    """Returns probabilities and successes whose true rate `believed` distorts."""
    generator = np.random.default_rng(seed)
    truth = 0.3 + 0.7 * generator.beta(3, 1, count)
    return believed(truth), generator.random(count) < truth


def _logits(seed, count=40, classes=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, classes, generator=generator) * 3, torch.randint(classes, (count,), generator=generator)


@given(SEEDS, st.floats(0.05, 20))
@settings(max_examples=60, deadline=None)
def test_no_other_temperature_has_a_lower_loss(seed, other):
    logits, labels = _logits(seed)
    found = fit_temperature(logits, labels)
    assert 0.05 <= found <= 20
    # where the least loss lies beyond a bound, it is missed by what the bound is missed by: a millionth
    assert log_loss(logits.double() / found, labels) <= log_loss(logits.double() / other, labels) + 1e-5


@given(SEEDS, st.floats(0.2, 5))
@settings(max_examples=30, deadline=None)
def test_the_temperature_scales_with_the_logits_and_ignores_an_offset(seed, factor):
    logits, labels = _logits(seed)
    labels[::2] = logits.argmax(1)[::2]
    offset = torch.arange(len(labels))[:, None]
    plain, scaled = fit_temperature(logits, labels), fit_temperature(factor * logits.double() + offset, labels)
    assert plain < 20, "the labels say something"
    assert scaled == pytest.approx(min(factor * plain, 20), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_the_labels_were_drawn_with_is_found(temperature):
    logits, _ = _logits(0, count=20_000, classes=5)
    torch.manual_seed(1)
    labels = torch.distributions.Categorical(logits=logits / temperature).sample()
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_stays_bounded_where_the_labels_know_no_doubt():
    always_right, labels = 10 * torch.eye(3), torch.arange(3)
    assert fit_temperature(always_right, labels) == pytest.approx(0.05)
    assert fit_temperature(-always_right, labels) == pytest.approx(20)
    assert 0.05 <= fit_temperature(1e37 * always_right, labels) <= 1
    assert fit_temperature(torch.zeros(5, 3), torch.zeros(5, dtype=torch.int64)) == 1
    assert fit_temperature(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64)) == 1


def test_the_logits_stay_as_they_were():
    logits, labels = (
        torch.tensor([[1.0, 3.0], [2.0, 0.0]], dtype=torch.float64, requires_grad=True),
        torch.tensor([1, 1]),
    )
    fit_temperature(logits, labels)
    assert logits.tolist() == [[1, 3], [2, 0]]
    assert logits.grad is None


def test_a_temperature_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no pictures to fit a temperature to"):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ModelError, match="not all finite"):
        fit_temperature(torch.tensor([[0.0, math.nan]]), torch.tensor([0]))


@given(JUDGED, st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_every_picture_is_in_the_bin_of_its_probability(rows, bins):
    probabilities, correct = _apart(rows)
    found = reliability(probabilities, correct, bins)
    assert sum(b.count for b in found) == len(rows)
    for b in found:
        inside = (probabilities > b.low) & (probabilities <= b.high) | (probabilities == 0) & (b.low == 0)
        assert b.count == inside.sum() >= 1
        assert b.confidence == pytest.approx(probabilities[inside].mean())
        assert b.accuracy == pytest.approx(correct[inside].mean())
        assert 0 <= b.interval[0] <= b.accuracy <= b.interval[1] <= 1


@given(JUDGED, SEEDS)
@settings(max_examples=60, deadline=None)
def test_the_error_is_the_mean_gap_of_the_bins_in_any_order_of_the_pictures(rows, seed):
    probabilities, correct = _apart(rows)
    found = calibration_error(probabilities, correct)
    gaps = [b.count * abs(b.accuracy - b.confidence) for b in reliability(probabilities, correct)]
    assert found.value == pytest.approx(sum(gaps) / len(rows))
    assert 0 <= found.interval[0] <= found.value <= found.interval[1] <= 1
    order = np.random.default_rng(seed).permutation(len(rows))
    again = calibration_error(probabilities[order], correct[order])
    assert (again.value, *again.interval) == pytest.approx((found.value, *found.interval))


@pytest.mark.parametrize("bins", [10, 15])
def test_the_error_is_that_of_torchmetrics(bins):
    probabilities, correct = _drawn(500, 0)
    expected = binary_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(correct).long(), n_bins=bins, norm="l1"
    )
    assert calibration_error(probabilities, correct, bins).value == pytest.approx(float(expected), abs=1e-6)


def test_the_interval_holds_the_true_error_about_as_often_as_it_says():
    calibrated = [calibration_error(*_drawn(400, seed)).interval for seed in range(60)]
    assert sum(low == 0 for low, _ in calibrated) >= 54
    too_sure = [calibration_error(*_drawn(400, seed, np.sqrt)).interval for seed in range(60)]
    gaps, _ = _drawn(100_000, 0, lambda truth: np.sqrt(truth) - truth)  # all in one direction
    assert sum(low <= gaps.mean() <= high for low, high in too_sure) >= 54
    assert calibration_error(*_drawn(10_000, 0, np.sqrt)).interval[0] > 0


def test_the_interval_narrows_with_the_pictures():
    few, many = (calibration_error(*_drawn(count, 0, np.sqrt)).interval for count in (200, 20_000))
    assert many[1] - many[0] < (few[1] - few[0]) / 4


@given(JUDGED)
@settings(max_examples=100, deadline=None)
def test_the_reject_curve_counts_what_a_threshold_lets_through(rows):
    probabilities, correct = _apart(rows)
    curve = reject_curve(probabilities, correct)
    assert curve.threshold == tuple(sorted(set(probabilities.tolist()), reverse=True))
    for threshold, answered, errors in zip(curve.threshold, curve.answered, curve.errors, strict=True):
        through = probabilities >= threshold
        assert answered == pytest.approx(through.mean())
        assert errors == pytest.approx(1 - correct[through].mean())
    assert curve.answered[-1] == 1


@given(JUDGED, st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_most_pictures_are_answered_within_the_errors_that_are_allowed(rows, errors):
    curve = reject_curve(*_apart(rows))
    allowed = [
        pair[:2] for pair in zip(curve.threshold, curve.answered, curve.errors, strict=True) if pair[2] <= errors
    ]
    assert answered_at(curve, errors) == (max(allowed, key=lambda pair: pair[1]) if allowed else None)


def test_a_curve_of_nothing_answers_nothing():
    assert reliability([], []) == ()
    assert answered_at(reject_curve([], [])) is None


@pytest.mark.parametrize(
    ("probabilities", "correct", "message"),
    [
        ([0.5, 0.5], [True], r"\[2\] probabilities for \[1\] pictures; expected one each"),
        ([[0.5]], [[True]], r"\[1, 1\] probabilities"),
        ([1.5], [True], r"not in \[0, 1\]"),
        ([math.nan], [True], r"not in \[0, 1\]"),
    ],
)
def test_what_are_no_probabilities_is_refused(probabilities, correct, message):
    for judge in (reliability, calibration_error, reject_curve):
        with pytest.raises(ValueError, match=message):
            judge(probabilities, correct)


def test_an_error_of_nothing_and_no_bins_are_refused():
    with pytest.raises(ValueError, match="no calibration error of no pictures"):
        calibration_error([], [])
    with pytest.raises(ValueError, match="0 bins; expected 1 or more"):
        reliability([0.5], [True], bins=0)
