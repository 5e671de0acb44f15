"""Tests of stratified splits, with and without groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.data.splits import grouped_folds, grouped_split, num_groups, stratified_split

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


def groups_of(labels: np.ndarray, size: int) -> list[str]:
    """Returns groups of `size` images of one class each, of some images none."""
    return ["" if i % 7 == 6 else f"{label}-{i // size}" for i, label in enumerate(labels.tolist())]


@given(st.integers(2, 4), st.integers(1, 6), st.floats(0.05, 0.9), seeds)
def test_groups_stay_together_and_each_class_is_on_both_sides(classes, size, fraction, seed):
    labels = np.repeat(np.arange(classes), 40)
    groups = groups_of(labels, size)
    rest, drawn = grouped_split(labels, groups, fraction, seed)
    assert sorted([*rest, *drawn]) == list(range(len(labels)))
    assert not {groups[i] for i in rest} & {groups[i] for i in drawn} - {""}
    assert set(labels[rest]) == set(labels[drawn]) == set(range(classes))
    for label in range(classes):
        assert abs((labels[drawn] == label).sum() - 40 * fraction) <= size


def test_ten_patients_of_ten_images_give_one_of_each_class_for_testing():
    labels, groups = np.repeat([0, 1], 50), [f"patient{i // 10}" for i in range(100)]
    draws = [grouped_split(labels, groups, 0.2, seed)[1] for seed in range(5)]
    assert all(np.bincount(labels[drawn]).tolist() == [10, 10] for drawn in draws)
    assert len({tuple(drawn) for drawn in draws}) > 1  # the seed draws other patients


def test_a_class_with_two_groups_has_one_for_testing_also_where_that_is_more_than_the_fraction():
    drawn = grouped_split(np.array([0, 0, 0, 0, 1, 1]), ["a", "a", "b", "b", "c", "d"], 0.05, 0)[1]
    assert len(drawn) == 3


def test_a_class_in_one_group_cannot_be_on_both_sides():
    with pytest.raises(ValueError, match="class 1 cannot be on both sides"):
        grouped_split(np.array([0, 0, 1, 1]), ["a", "b", "c", "c"], 0.5, 0)


def test_the_groups_of_each_class_are_counted():
    labels = np.array([0, 0, 0, 1, 1])
    assert num_groups(labels, ["a", "a", "", "b", "a"], 3).tolist() == [2, 2, 0]


@given(st.integers(2, 6), st.integers(1, 5), seeds)
def test_folds_keep_groups_together_and_spread_the_classes(folds, size, seed):
    labels = np.repeat(np.arange(3), 60)
    groups = groups_of(labels, size)
    fold_of = grouped_folds(labels, groups, folds, seed)
    where = {(group, int(fold)) for group, fold in zip(groups, fold_of, strict=True) if group}
    assert len(where) == len({group for group, _ in where})
    for label in range(3):
        counts = np.bincount(fold_of[labels == label], minlength=folds)
        assert counts.max() - counts.min() <= size
