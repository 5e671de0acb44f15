"""Likely wrong labels, against hand-worked cases, cleanlab and what must hold of any probabilities."""

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
    estimate_wrong,
    likeliest_other,
    normalized_margin,
    off_diagonal,
    rank,
    self_confidence,
)

# What cleanlab 2.9.0 says of these (cleanlab.rank, cleanlab.count).
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
def judged_pictures(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draws probabilities, some of them equal or 0, and labels, some classes of which may have no picture."""
    classes, count = draw(st.integers(2, 5)), draw(st.integers(1, 30))
    weights = draw(arrays(np.int64, (count, classes), elements=st.integers(0, 6)))
    weights[:, 0] += weights.sum(1) == 0
    return weights / weights.sum(1, keepdims=True), draw(arrays(np.int64, count, elements=st.integers(0, classes - 1)))


@pytest.mark.parametrize("function", CLEANLAB, ids=lambda function: function.__name__)
def test_cleanlab_says_the_same(function):
    assert np.asarray(function(PROBABILITIES, LABELS)) == pytest.approx(np.array(CLEANLAB[function]), abs=1e-6)


def test_cleanlab_estimates_as_many_wrong_labels():
    # Its joint is scaled to [[2, 1, 1], [1, 3, 0], [1, 0, 3]], and num_label_issues is 4.
    assert estimate_wrong(PROBABILITIES, LABELS) == (4, ((0, 1, 1), (0, 2, 1), (1, 0, 1), (2, 0, 1)))


def test_a_case_worked_by_hand():
    probabilities = np.array([[0.75, 0.25, 0.0], [0.75, 0.25, 0.0], [0.25, 0.5, 0.25], [0.0, 1.0, 0.0]])
    labels = np.array([0, 0, 0, 1])
    # Class 0 is reached from (0.75 + 0.75 + 0.25) / 3 on, class 1 from 1 on, class 2 has no picture.
    assert class_thresholds(probabilities, labels).tolist() == [pytest.approx(7 / 12), 1.0, np.inf]
    assert confident_class(probabilities, labels).tolist() == [0, 0, -1, 1]
    assert confident_joint(probabilities, labels).tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert estimate_wrong(probabilities, labels) == (0, ())
    ranking = rank(probabilities, labels)
    assert ranking.order.tolist() == [2, 0, 1, 3]
    assert ranking.scores.tolist() == [0.75, 0.75, 0.25, 1.0]
    assert ranking.suggested.tolist() == [1, 1, 1, 0]


def test_the_joint_is_scaled_to_the_pictures_of_a_label():
    sure = [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]  # of label 0, for which 0.525 will do, and the last reaches only 1
    unsure = [[0.2, 0.8]] * 1
    probabilities = np.array([*sure, *unsure, [0.1, 0.9], [0.1, 0.9]])
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert confident_joint(probabilities, labels).tolist() == [[2, 1], [0, 2]]
    assert estimate_wrong(probabilities, labels) == (1, ((0, 1, 1),))  # 4 pictures × 1 of 3


def test_a_picture_counts_to_the_likeliest_of_the_classes_that_it_reaches():
    probabilities = np.array([[0.3, 0.0, 0.7], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [0.0, 0.0, 1.0]])
    labels = np.array([0, 1, 1, 2])  # reached from 0.3, 0.4 and 1 on
    assert confident_class(probabilities, labels).tolist() == [0, 0, -1, 2]


def test_pictures_that_are_equally_sure_reach_their_own_threshold():
    probabilities = np.tile([0.1, 0.9], (3, 1))  # three times 0.1, divided by three, is more than 0.1
    assert confident_joint(probabilities, np.zeros(3, np.int64)).tolist() == [[3, 0], [0, 0]]


def test_pictures_off_the_diagonal_come_first():
    scores = off_diagonal(PROBABILITIES, LABELS)
    assert set(np.flatnonzero(scores < 0.5)) == {0, 1, 6, 11}
    assert rank(PROBABILITIES, LABELS, "off-diagonal").order[:4].tolist() == [6, 1, 11, 0]


def test_an_answer_without_any_doubt_is_judged_by_the_label():
    probabilities = np.array([[0.0, 0.5, 0.5], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    scores = confidence_weighted_entropy(probabilities, np.array([0, 0, 0]))
    assert scores[:2] == pytest.approx(0, abs=1e-4)
    assert scores[2] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("score", SCORES)
@given(judged_pictures())
def test_scores_lie_between_0_and_1_and_the_order_follows_them(score, judged):
    probabilities, labels = judged
    ranking = rank(probabilities, labels, score)
    assert ((ranking.scores >= 0) & (ranking.scores <= 1)).all()
    assert sorted(ranking.order) == list(range(len(labels)))
    assert (np.diff(ranking.scores[ranking.order]) >= 0).all()
    assert (ranking.suggested != labels).all()


@given(judged_pictures())
def test_the_suggestion_is_the_likeliest_class_beside_the_label(judged):
    probabilities, labels = judged
    suggested = likeliest_other(probabilities, labels)
    for row, label, other in zip(probabilities, labels, suggested, strict=True):
        assert row[other] == max(value for place, value in enumerate(row) if place != label)


@given(judged_pictures(), st.randoms(use_true_random=False))
def test_the_order_of_the_pictures_changes_nothing_but_their_places(judged, random):
    probabilities, labels = judged
    shuffled = list(range(len(labels)))
    random.shuffle(shuffled)
    assert estimate_wrong(probabilities[shuffled], labels[shuffled]) == estimate_wrong(probabilities, labels)
    moved = rank(probabilities[shuffled], labels[shuffled])
    assert (moved.scores == rank(probabilities, labels).scores[shuffled]).all()


@given(judged_pictures())
def test_no_more_labels_are_estimated_wrong_than_there_are(judged):
    probabilities, labels = judged
    total, pairs = estimate_wrong(probabilities, labels)
    assert 0 <= total <= len(labels)
    assert all(given != other and count > 0 for given, other, count in pairs)
    assert [count for *_, count in pairs] == sorted((count for *_, count in pairs), reverse=True)


@given(judged_pictures())
def test_classifiers_that_are_sure_of_every_label_find_none_wrong(judged):
    probabilities, labels = judged
    sure = np.eye(probabilities.shape[1])[labels]
    assert estimate_wrong(sure, labels) == (0, ())
    assert (rank(sure, labels).scores == 1).all()


def test_flipped_labels_come_first_and_their_number_is_told():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 4, 2000)
    flipped = generator.permutation(2000)[:100]
    labels = true.copy()
    labels[flipped] = (true[flipped] + generator.integers(1, 4, 100)) % 4
    strength = np.eye(4)[true] * generator.uniform(2, 6, (2000, 1)) + generator.normal(0, 1, (2000, 4))
    probabilities = np.exp(strength) / np.exp(strength).sum(1, keepdims=True)
    found = set(rank(probabilities, labels).order[:100])
    assert len(found & set(flipped)) >= 80
    assert 70 <= estimate_wrong(probabilities, labels).total <= 180
