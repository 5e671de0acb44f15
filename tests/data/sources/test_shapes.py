"""Tests of the drawn shapes: equal on every machine, balanced, and of the right form."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.data.sources.outlines import OUTLINES
from tenfold.data.sources.shapes import build_shapes


def test_a_seed_gives_the_same_bits_on_every_machine():
    data = build_shapes(train=200, test=100, seed=0)
    digest = hashlib.sha256(data.train.images.tobytes() + data.train.labels.tobytes() + data.test.images.tobytes())
    assert digest.hexdigest() == "6616e1ecc233004378e357eb43c87b03a0d458857a0b0534a27defc84191a05b"


def test_images_are_32_by_32_rgb_in_ten_classes():
    data = build_shapes(train=30, test=20)
    assert data.name == "shapes"
    assert data.image_size == (32, 32)
    assert len(data.classes) == 10
    assert list(data.classes) == sorted(data.classes)
    assert (len(data.train), len(data.test), data.val) == (30, 20, None)
    assert data.train.images.flags.c_contiguous


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**63 - 1))
def test_classes_are_balanced_to_within_one_image(train, test, seed):
    data = build_shapes(train, test, seed)
    for split in data.splits().values():
        counts = np.bincount(split.labels, minlength=10)
        assert counts.max() - counts.min() <= 1


def test_the_order_of_classes_is_shuffled():
    labels = build_shapes(train=500, test=10).train.labels
    assert not np.array_equal(labels[:10], np.arange(10))
    assert len(np.unique(labels[:50])) > 5


def test_the_test_split_has_a_random_stream_of_its_own():
    data = build_shapes(train=100, test=100)
    train = {image.tobytes() for image in data.train.images}
    assert not train & {image.tobytes() for image in data.test.images}
    np.testing.assert_array_equal(build_shapes(train=10, test=100).test.images, data.test.images)


def test_another_seed_gives_other_images_and_another_fingerprint():
    first, second = build_shapes(20, 10, seed=0), build_shapes(20, 10, seed=1)
    assert not np.array_equal(first.train.images, second.train.images)
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == build_shapes(20, 10, seed=0).fingerprint != build_shapes(21, 10).fingerprint


def test_images_differ_in_lightness_and_none_is_flat():
    images = build_shapes(train=500, test=1).train.images.astype(float)
    assert images.mean(axis=(1, 2, 3)).std() > 30
    assert images.std(axis=(1, 2)).max(axis=1).min() > 5


@pytest.mark.parametrize("name", OUTLINES)
def test_every_shape_has_sound_proportions_and_is_centered(name):
    axis = np.linspace(-1.5, 1.5, 301, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    for variation in (0.0, 0.5, 0.99):
        inside = OUTLINES[name](x[None], y[None], np.full((1, 1, 1), variation, np.float32))[0] < 0
        assert 0.2 < inside.mean() * 9 < 3  # of the circle's π
        assert np.hypot(x, y)[inside].max() < 1.3
        assert abs(x[inside].mean()) < 0.5
        assert abs(y[inside].mean()) < 0.3


def test_outlines_stay_in_single_precision():
    grid = np.zeros((1, 4, 4), np.float32)
    for outline in OUTLINES.values():
        assert outline(grid, grid, np.zeros((1, 1, 1), np.float32)).dtype == np.float32


@pytest.mark.parametrize(("train", "test"), [(0, 10), (10, 0), (-1, 10)])
def test_a_count_below_one_is_refused(train, test):
    with pytest.raises(DataError, match=rf"cannot draw {train} train and {test} test images; ask for 1 or more"):
        build_shapes(train, test)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(DataError, match=rf"seed {seed}; choose one from 0"):
        build_shapes(10, 10, seed)
