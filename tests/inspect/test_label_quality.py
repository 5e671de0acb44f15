"""Label quality agrees with cleanlab, with cases worked by hand, and with properties of any probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tenfold.inspect.label_quality import (
    SCORES,
    class_thresholds,
    confidence_weighted_entropy,
    confident_class,
    confident_joint,
    estimate_label_errors,
    likeliest_other,
    normalized_margin,
    off_diagonal,
    rank,
    self_confidence,
)

# Reference values from cleanlab 2.9.0 (cleanlab.rank, cleanlab.count).
LABELS = np.repeat([0, 1, 2], 4)
PROBABILITIES = np.array(
    [
        *([0.46, 0.53, 0.01], [0.1, 0.1, 0.8], [0.56, 0.37, 0.07], [0.9, 0.0, 0.1]),
        *([0.47, 0.53, 0.0], [0.4, 0.5, 0.1], [0.9, 0.05, 0.05], [0.05, 0.72, 0.23]),
        *([0.07, 0.16, 0.77], [0.23, 0.28, 0.49], [0.12, 0.26, 0.62], [0.55, 0.0, 0.45]),
    ]
)
CLEANLAB = {
    self_confidence: [0.46, 0.1, 0.56, 0.9, 0.53, 0.5, 0.05, 0.72, 0.77, 0.49, 0.62, 0.45],
    normalized_margin: [0.465, 0.15, 0.595, 0.9, 0.53, 0.55, 0.075, 0.745, 0.805, 0.605, 0.68, 0.45],
    confidence_weighted_entropy: [
        *(0.616005, 0.329976, 0.621153, 0.864594, 0.659193, 0.582093),
        *(0.292717, 0.709926, 0.733711, 0.555952, 0.637104, 0.62654),
    ],
    class_thresholds: [0.505, 0.45, 0.5825],
    confident_joint: [[2, 1, 1], [1, 3, 0], [1, 0, 2]],
}


@st.composite
def predictions_and_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draws probabilities, some equal or 0, and labels; a class may have no image."""
    classes, count = draw(st.integers(2, 5)), draw(st.integers(1, 30))
    weights = draw(arrays(np.int64, (count, classes), elements=st.integers(0, 6)))
    weights[:, 0] += weights.sum(1) == 0
    return weights / weights.sum(1, keepdims=True), draw(arrays(np.int64, count, elements=st.integers(0, classes - 1)))


@pytest.mark.parametrize("function", CLEANLAB, ids=lambda function: function.__name__)
def test_scores_equal_those_of_cleanlab(function):
    assert np.asarray(function(PROBABILITIES, LABELS)) == pytest.approx(np.array(CLEANLAB[function]), abs=1e-6)


def test_the_estimate_equals_that_of_cleanlab():
    # Its scaled joint is [[2, 1, 1], [1, 3, 0], [1, 0, 3]]; num_label_issues is 4.
    assert estimate_label_errors(PROBABILITIES, LABELS) == (4, ((0, 1, 1), (0, 2, 1), (1, 0, 1), (2, 0, 1)))


def test_a_small_case_is_right_by_hand():
    probabilities = np.array([[0.75, 0.25, 0.0], [0.75, 0.25, 0.0], [0.25, 0.5, 0.25], [0.0, 1.0, 0.0]])
    labels = np.array([0, 0, 0, 1])
    # Thresholds: class 0 (0.75 + 0.75 + 0.25) / 3, class 1 1, class 2 has no image.
    assert class_thresholds(probabilities, labels).tolist() == [pytest.approx(7 / 12), 1.0, np.inf]
    assert confident_class(probabilities, labels).tolist() == [0, 0, -1, 1]
    assert confident_joint(probabilities, labels).tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert estimate_label_errors(probabilities, labels) == (0, ())
    ranking = rank(probabilities, labels)
    assert ranking.order.tolist() == [2, 0, 1, 3]
    assert ranking.scores.tolist() == [0.75, 0.75, 0.25, 1.0]
    assert ranking.suggested.tolist() == [1, 1, 1, 0]


def test_the_joint_is_scaled_to_the_images_of_each_label():
    # Label 0 has the threshold 0.525, label 1 0.9; the third image reaches only class 1, the fourth none.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.1, 0.9]])
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert confident_joint(probabilities, labels).tolist() == [[2, 1], [0, 2]]
    assert estimate_label_errors(probabilities, labels) == (1, ((0, 1, 1),))  # 4 images × 1 of 3


def test_an_image_belongs_to_the_most_likely_class_it_reaches():
    probabilities = np.array([[0.3, 0.0, 0.7], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [0.0, 0.0, 1.0]])
    labels = np.array([0, 1, 1, 2])  # thresholds 0.3, 0.4 and 1
    assert confident_class(probabilities, labels).tolist() == [0, 0, -1, 2]


def test_equal_probabilities_reach_their_own_mean():
    probabilities = np.tile([0.1, 0.9], (3, 1))  # 3 × 0.1 / 3 is more than 0.1
    assert confident_joint(probabilities, np.zeros(3, np.int64)).tolist() == [[3, 0], [0, 0]]


def test_images_off_the_diagonal_come_first():
    scores = off_diagonal(PROBABILITIES, LABELS)
    assert set(np.flatnonzero(scores < 0.5)) == {0, 1, 6, 11}
    assert rank(PROBABILITIES, LABELS, "off-diagonal").order[:4].tolist() == [6, 1, 11, 0]


def test_the_label_decides_where_the_prediction_is_certain():
    probabilities = np.array([[0.0, 0.5, 0.5], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    scores = confidence_weighted_entropy(probabilities, np.array([0, 0, 0]))
    assert scores[:2] == pytest.approx(0, abs=1e-4)
    assert scores[2] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("score", SCORES)
@given(predictions_and_labels())
def test_scores_are_in_0_1_and_the_order_follows_them(score, drawn):
    probabilities, labels = drawn
    ranking = rank(probabilities, labels, score)
    assert ((ranking.scores >= 0) & (ranking.scores <= 1)).all()
    assert sorted(ranking.order) == list(range(len(labels)))
    assert (np.diff(ranking.scores[ranking.order]) >= 0).all()
    assert (ranking.suggested != labels).all()


@given(predictions_and_labels())
def test_the_suggestion_is_the_most_likely_other_class(drawn):
    probabilities, labels = drawn
    suggested = likeliest_other(probabilities, labels)
    for row, label, other in zip(probabilities, labels, suggested, strict=True):
        assert row[other] == max(value for index, value in enumerate(row) if index != label)


@given(predictions_and_labels(), st.randoms(use_true_random=False))
def test_scores_do_not_depend_on_the_image_order(drawn, random):
    probabilities, labels = drawn
    shuffled = list(range(len(labels)))
    random.shuffle(shuffled)
    assert estimate_label_errors(probabilities[shuffled], labels[shuffled]) == estimate_label_errors(
        probabilities, labels
    )
    ranking = rank(probabilities[shuffled], labels[shuffled])
    assert (ranking.scores == rank(probabilities, labels).scores[shuffled]).all()


@given(predictions_and_labels())
def test_the_estimate_is_at_most_the_number_of_labels(drawn):
    probabilities, labels = drawn
    total, pairs = estimate_label_errors(probabilities, labels)
    assert 0 <= total <= len(labels)
    assert all(given != other and count > 0 for given, other, count in pairs)
    assert [count for *_, count in pairs] == sorted((count for *_, count in pairs), reverse=True)


@given(predictions_and_labels())
def test_certain_and_right_predictions_give_no_label_errors(drawn):
    probabilities, labels = drawn
    certain = np.eye(probabilities.shape[1])[labels]
    assert estimate_label_errors(certain, labels) == (0, ())
    assert (rank(certain, labels).scores == 1).all()


def test_flipped_labels_come_first_and_are_counted():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 4, 2000)
    flipped = generator.permutation(2000)[:100]
    labels = true.copy()
    labels[flipped] = (true[flipped] + generator.integers(1, 4, 100)) % 4
    logits = np.eye(4)[true] * generator.uniform(2, 6, (2000, 1)) + generator.normal(0, 1, (2000, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = set(rank(probabilities, labels).order[:100])
    assert len(found & set(flipped)) >= 80
    assert 70 <= estimate_label_errors(probabilities, labels).total <= 180
