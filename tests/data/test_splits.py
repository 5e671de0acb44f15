"""Tests of stratified splits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.data.splits import stratified_split

label_lists = st.lists(st.integers(0, 6), max_size=200).map(lambda values: np.array(values, dtype=np.int64))
fractions = st.floats(0, 0.999)
seeds = st.integers(-(2**70), 2**70)


@given(label_lists, fractions, seeds)
def test_the_two_sides_are_disjoint_complete_and_ascending(labels, fraction, seed):
    rest, drawn = stratified_split(labels, fraction, seed)
    assert sorted([*rest, *drawn]) == list(range(len(labels)))
    assert (np.diff(rest) > 0).all()
    assert (np.diff(drawn) > 0).all()
    assert rest.dtype == drawn.dtype == np.int64


@given(label_lists, fractions, seeds)
def test_each_class_is_drawn_to_within_one_image(labels, fraction, seed):
    _, drawn = stratified_split(labels, fraction, seed)
    for label in np.unique(labels):
        total, count = (labels == label).sum(), (labels[drawn] == label).sum()
        assert abs(count - total * fraction) <= 1
        if total >= 2 and fraction > 0:
            assert 1 <= count < total


@given(label_lists, fractions, seeds)
def test_equal_seeds_draw_equal_images(labels, fraction, seed):
    first, second = stratified_split(labels, fraction, seed), stratified_split(labels.copy(), fraction, seed)
    assert all((one == other).all() for one, other in zip(first, second, strict=True))


@given(label_lists, st.floats(0.01, 0.99), st.integers(0, 9))
def test_the_draw_of_a_class_does_not_depend_on_the_others(labels, fraction, seed):
    members = labels == 3
    _, drawn = stratified_split(labels, fraction, seed)
    alone = np.full(int(members.sum()), 3, dtype=np.int64)
    _, drawn_alone = stratified_split(alone, fraction, seed)
    assert (np.flatnonzero(members)[drawn_alone] == drawn[labels[drawn] == 3]).all()


def test_another_seed_draws_other_images():
    labels = np.zeros(1000, dtype=np.int64)
    assert (stratified_split(labels, 0.5, 0)[1] != stratified_split(labels, 0.5, 1)[1]).any()


def test_the_draw_never_changes():
    assert stratified_split(np.repeat([0, 1], 10), 0.3, 7)[1].tolist() == [3, 4, 8, 16, 17, 19]


def test_fractions_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"fraction is 1\.0"):
        stratified_split(np.zeros(3, dtype=np.int64), 1.0, 0)
