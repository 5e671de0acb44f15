"""Temperature scaling, reliability diagrams, calibration error with its interval, and reject curves."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.torchvision_users import torchmetrics
from tenfold.core.errors import ModelError
from tenfold.evaluate.calibration import (
    PRIOR_STD,
    best_coverage,
    calibration_error,
    fit_temperature,
    reject_curve,
    reliability,
)

SEEDS = st.integers(0, 2**32 - 1)
PREDICTIONS = st.lists(st.tuples(st.floats(0, 1) | st.sampled_from((0.0, 0.2, 0.5, 1.0)), st.booleans()), min_size=1)


def columns(rows):
    confidences, correct = zip(*rows, strict=True)
    return np.array(confidences), np.array(correct)


def drawn_predictions(count, seed, distort=lambda truth: truth):
    """Returns confidences and correctness; `distort` turns true confidences into confidences."""
    generator = np.random.default_rng(seed)
    truth = 0.3 + 0.7 * generator.beta(3, 1, count)
    return distort(truth), generator.random(count) < truth


def random_logits(seed, count=40, classes=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, classes, generator=generator) * 3, torch.randint(classes, (count,), generator=generator)


@given(SEEDS, st.floats(0.05, 20))
@settings(max_examples=60, deadline=None)
def test_no_other_temperature_has_a_lower_loss(seed, other):
    logits, labels = random_logits(seed)
    found = fit_temperature(logits, labels)
    assert 0.05 <= found <= 20
    # at a bound the result is off by the precision of the bisection, a millionth
    assert F.cross_entropy(logits.double() / found, labels) <= F.cross_entropy(logits.double() / other, labels) + 1e-5


@given(SEEDS, st.floats(0.2, 5))
@settings(max_examples=30, deadline=None)
def test_the_temperature_scales_with_the_logits_and_ignores_an_offset(seed, factor):
    logits, labels = random_logits(seed)
    labels[::2] = logits.argmax(1)[::2]
    offset = torch.arange(len(labels))[:, None]
    plain, scaled = fit_temperature(logits, labels), fit_temperature(factor * logits.double() + offset, labels)
    assert plain < 20, "the labels carry information"
    assert scaled == pytest.approx(min(factor * plain, 20), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_the_labels_is_found(temperature):
    logits, _ = random_logits(0, count=20_000, classes=5)
    torch.manual_seed(1)
    labels = torch.distributions.Categorical(logits=logits / temperature).sample()
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_stays_bounded_for_certain_labels():
    always_right, labels = 10 * torch.eye(3), torch.arange(3)
    assert fit_temperature(always_right, labels) == pytest.approx(0.05)
    assert fit_temperature(-always_right, labels) == pytest.approx(20)
    assert 0.05 <= fit_temperature(1e37 * always_right, labels) <= 1
    assert fit_temperature(torch.zeros(5, 3), torch.zeros(5, dtype=torch.int64)) == 1
    assert fit_temperature(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64)) == 1


def test_the_logits_stay_unchanged():
    logits, labels = (
        torch.tensor([[1.0, 3.0], [2.0, 0.0]], dtype=torch.float64, requires_grad=True),
        torch.tensor([1, 1]),
    )
    fit_temperature(logits, labels)
    assert logits.tolist() == [[1, 3], [2, 0]]
    assert logits.grad is None


@pytest.mark.parametrize("count", [1, 5, 20])
def test_a_prior_keeps_few_images_from_making_every_prediction_certain(count):
    always_right, labels = torch.eye(3)[:1].repeat(count, 1), torch.zeros(count, dtype=torch.int64)
    assert fit_temperature(always_right, labels) == pytest.approx(0.05)
    assert 0.3 < fit_temperature(always_right, labels, prior_std=PRIOR_STD) < 1
    assert 1 < fit_temperature(-always_right, labels, prior_std=PRIOR_STD) < 4


def test_a_prior_does_not_matter_for_many_images():
    logits = 3 * torch.randn(5000, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.distributions.Categorical(logits=logits / 2).sample()
    assert fit_temperature(logits, labels, prior_std=PRIOR_STD) == pytest.approx(
        fit_temperature(logits, labels), rel=0.003
    )


def test_a_temperature_without_images_or_of_nan_is_refused():
    with pytest.raises(ValueError, match="no images to fit a temperature to"):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ModelError, match="not all finite"):
        fit_temperature(torch.tensor([[0.0, math.nan]]), torch.tensor([0]))


@given(PREDICTIONS, st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_every_image_is_in_the_bin_of_its_confidence(rows, bins):
    confidences, correct = columns(rows)
    found = reliability(confidences, correct, bins)
    assert sum(b.count for b in found) == len(rows)
    for b in found:
        inside = (confidences > b.low) & (confidences <= b.high) | (confidences == 0) & (b.low == 0)
        assert b.count == inside.sum() >= 1
        assert b.confidence == pytest.approx(confidences[inside].mean())
        assert b.accuracy == pytest.approx(correct[inside].mean())
        assert 0 <= b.interval[0] <= b.accuracy <= b.interval[1] <= 1


@given(PREDICTIONS, SEEDS)
@settings(max_examples=60, deadline=None)
def test_the_error_is_the_mean_gap_of_the_bins_in_any_order(rows, seed):
    confidences, correct = columns(rows)
    found = calibration_error(confidences, correct)
    gaps = [b.count * abs(b.accuracy - b.confidence) for b in reliability(confidences, correct)]
    assert found.value == pytest.approx(sum(gaps) / len(rows))
    assert 0 <= found.interval[0] <= found.value <= found.interval[1] <= 1
    order = np.random.default_rng(seed).permutation(len(rows))
    again = calibration_error(confidences[order], correct[order])
    assert (again.value, *again.interval) == pytest.approx((found.value, *found.interval))


@pytest.mark.parametrize("bins", [10, 15])
def test_the_error_agrees_with_torchmetrics(bins):
    confidences, correct = drawn_predictions(500, 0)
    expected = torchmetrics().binary_calibration_error(
        torch.from_numpy(confidences), torch.from_numpy(correct).long(), n_bins=bins, norm="l1"
    )
    assert calibration_error(confidences, correct, bins).value == pytest.approx(float(expected), abs=1e-6)


def test_the_interval_contains_the_true_error_in_95_percent():
    calibrated = [calibration_error(*drawn_predictions(400, seed)).interval for seed in range(60)]
    assert sum(low == 0 for low, _ in calibrated) >= 54
    overconfident = [calibration_error(*drawn_predictions(400, seed, np.sqrt)).interval for seed in range(60)]
    gaps, _ = drawn_predictions(100_000, 0, lambda truth: np.sqrt(truth) - truth)  # all in one direction
    assert sum(low <= gaps.mean() <= high for low, high in overconfident) >= 54
    assert calibration_error(*drawn_predictions(10_000, 0, np.sqrt)).interval[0] > 0


def test_more_images_narrow_the_interval():
    few, many = (calibration_error(*drawn_predictions(count, 0, np.sqrt)).interval for count in (200, 20_000))
    assert many[1] - many[0] < (few[1] - few[0]) / 4


@given(PREDICTIONS)
@settings(max_examples=100, deadline=None)
def test_the_reject_curve_counts_the_images_above_a_threshold(rows):
    confidences, correct = columns(rows)
    curve = reject_curve(confidences, correct)
    assert curve.threshold == tuple(sorted(set(confidences.tolist()), reverse=True))
    for threshold, coverage, error_rate in zip(curve.threshold, curve.coverage, curve.error_rate, strict=True):
        accepted = confidences >= threshold
        assert coverage == pytest.approx(accepted.mean())
        assert error_rate == pytest.approx(1 - correct[accepted].mean())
    assert curve.coverage[-1] == 1


@given(PREDICTIONS, st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_the_best_coverage_keeps_to_the_error_rate(rows, max_error_rate):
    curve = reject_curve(*columns(rows))
    points = zip(curve.threshold, curve.coverage, curve.error_rate, strict=True)
    allowed = [point[:2] for point in points if point[2] <= max_error_rate]
    assert best_coverage(curve, max_error_rate) == (max(allowed, key=lambda point: point[1]) if allowed else None)


def test_a_curve_without_images_has_no_coverage():
    assert reliability([], []) == ()
    assert best_coverage(reject_curve([], [])) is None


@pytest.mark.parametrize(
    ("confidences", "correct", "message"),
    [
        ([0.5, 0.5], [True], r"\[2\] confidences for \[1\] images; expected one each"),
        ([[0.5]], [[True]], r"\[1, 1\] confidences"),
        ([1.5], [True], r"not in \[0, 1\]"),
        ([math.nan], [True], r"not in \[0, 1\]"),
    ],
)
def test_invalid_confidences_are_refused(confidences, correct, message):
    for function in (reliability, calibration_error, reject_curve):
        with pytest.raises(ValueError, match=message):
            function(confidences, correct)


def test_an_error_without_images_or_bins_is_refused():
    with pytest.raises(ValueError, match="no images to compute a calibration error of"):
        calibration_error([], [])
    with pytest.raises(ValueError, match="0 bins; expected 1 or more"):
        reliability([0.5], [True], num_bins=0)
