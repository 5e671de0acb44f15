"""Which images are labeled first."""

import numpy as np
import pytest

from tenfold.inspect.selection import margins, most_informative


def test_the_margin_is_the_lead_of_the_most_likely_class() -> None:
    assert margins(np.array([[0.1, 0.7, 0.2], [0.4, 0.2, 0.4]])) == pytest.approx([0.5, 0.0])


def test_the_least_certain_image_comes_first_and_copies_of_it_last() -> None:
    probabilities = np.array([[0.9, 0.1], [0.55, 0.45], [0.56, 0.44], [0.6, 0.4]])
    features = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # 2 points where 1 does
    assert most_informative(probabilities, features, 4).tolist() == [1, 3, 0, 2]


def test_an_image_that_the_classifier_is_sure_of_is_not_chosen_for_being_different() -> None:
    probabilities = np.array([[0.5, 0.5], [0.6, 0.4], [1.0, 0.0]])
    features = np.array([[1.0, 0.0], [0.8, 0.6], [-1.0, 0.0]])
    assert most_informative(probabilities, features, 2).tolist() == [0, 1]


def test_each_image_is_chosen_once_also_among_copies_and_blank_features() -> None:
    probabilities = np.full((5, 2), 0.5)
    for features in (np.ones((5, 3)), np.zeros((5, 3))):
        assert sorted(most_informative(probabilities, features, 9).tolist()) == [0, 1, 2, 3, 4]
    certain = np.tile([1.0, 0.0], (4, 1))
    assert sorted(most_informative(certain, np.eye(4), 4).tolist()) == [0, 1, 2, 3]
    assert most_informative(np.zeros((0, 2)), np.zeros((0, 3)), 3).shape == (0,)
