"""Tests of progressive resizing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tenfold.data.resizing import scaled_size, shrink, size_fraction

fractions = st.floats(0.05, 1.0)


@given(done=st.floats(0, 1))
def test_the_size_grows_to_the_full_size(done: float) -> None:
    schedule = [(0.4, 0.5), (0.7, 0.75)]
    assert size_fraction(schedule, done) == (0.5 if done < 0.4 else 0.75 if done < 0.7 else 1.0)
    assert size_fraction([], done) == 1.0


@given(height=st.integers(1, 300), width=st.integers(8, 300), fraction=fractions)
def test_no_side_grows_or_falls_below_eight_pixels(height: int, width: int, fraction: float) -> None:
    for own, side in zip((height, width), scaled_size((height, width), fraction), strict=True):
        assert min(own, 8) <= side <= own


@given(fraction=fractions, channels_last=st.booleans(), value=st.integers(0, 255))
def test_a_constant_image_keeps_its_color_and_memory_format(fraction: float, channels_last: bool, value: int) -> None:
    order = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.full((2, 3, 32, 24), value, dtype=torch.uint8).contiguous(memory_format=order)
    small = shrink(images, fraction)
    assert small.dtype == torch.uint8
    assert tuple(small.shape) == (2, 3, *scaled_size((32, 24), fraction))
    assert small.is_contiguous(memory_format=order)
    assert bool((small == value).all())


def test_a_pixel_is_the_mean_of_the_area_that_it_covers() -> None:
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = images.double().unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5)).round()
    # Half-way cases round to even, as the mean in float does.
    assert torch.equal(shrink(images, 0.5).double(), expected)


@pytest.mark.parametrize("fraction", [1.0, 0.99])
def test_images_that_keep_their_size_are_returned_unchanged(fraction: float) -> None:
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    assert shrink(images, fraction) is images
