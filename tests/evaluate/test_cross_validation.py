"""Tests of the interval of an out-of-fold accuracy: it holds the truth where Wilson's is too narrow."""

from statistics import NormalDist

import numpy as np
import pytest

from tenfold.evaluate.cross_validation import effective_images, out_of_fold_interval
from tenfold.evaluate.intervals import wilson


def test_the_interval_is_wilsons_for_fewer_images():
    correct = np.arange(90) < 60
    assert effective_images(correct, 2) == pytest.approx(60)
    assert out_of_fold_interval(correct, 2) == pytest.approx(wilson(40, 60))


def test_images_of_a_group_that_are_right_or_wrong_together_count_as_few():
    groups = np.repeat(np.arange(10), 10)
    together, apart = groups < 5, np.arange(100) % 2 == 0
    assert effective_images(together, 5, groups) < 10
    assert effective_images(apart, 5, groups) == pytest.approx(effective_images(apart, 5) / 1.3321, rel=0.01)  # t of 9


def test_groups_of_one_image_change_nothing():
    correct = np.arange(50) < 30
    assert effective_images(correct, 5, np.arange(50)) == effective_images(correct, 5)


@pytest.mark.parametrize("right", [True, False])
def test_without_an_error_each_group_counts_as_one_image(right):
    correct = np.full(100, right)
    assert effective_images(correct, 5, np.repeat(np.arange(20), 5)) < 20
    low, high = out_of_fold_interval(correct, 5, np.zeros(100, np.int64))
    assert high - low > 0.7


def test_the_interval_holds_the_truth_in_simulated_cross_validations():
    rng, held, narrow = np.random.default_rng(0), [], []
    found = [_cross_validated(rng) for _ in range(150)]
    truth = np.mean([true for _, true in found])
    for correct, _ in found:
        held.append(_holds(out_of_fold_interval(correct, 5), truth))
        narrow.append(_holds(wilson(int(correct.sum()), len(correct)), truth))
    assert np.mean(held) >= 0.95 > np.mean(narrow)


def _holds(bounds: tuple[float, float], value: float) -> bool:
    return bounds[0] <= value <= bounds[1]


def _cross_validated(rng: np.random.Generator, count: int = 100, size: int = 50) -> tuple[np.ndarray, float]:
    """Returns which of `count` images least squares predicts out of fold, and the mean accuracy on new images."""
    shift = np.zeros(size)
    shift[0] = 0.75
    labels = np.where(np.arange(count) % 2, 1.0, -1.0)
    images = rng.normal(size=(count, size)) + labels[:, None] * shift
    fold_of, correct, true = np.arange(count) // 2 % 5, np.zeros(count, bool), []
    for fold in range(5):
        train = fold_of != fold
        weights = np.linalg.solve(images[train].T @ images[train] + 0.1 * np.eye(size), images[train].T @ labels[train])
        correct[~train] = images[~train] @ weights * labels[~train] > 0
        true.append(NormalDist().cdf(float(weights @ shift / np.linalg.norm(weights))))
    return correct, float(np.mean(true))
