import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tenfold.data.resizing import share_at, shrink, smaller

shares = st.floats(0.05, 1.0)


@given(done=st.floats(0, 1))
def test_the_size_rises_with_the_run_to_its_own(done: float) -> None:
    course = [(0.4, 0.5), (0.7, 0.75)]
    assert share_at(course, done) == (0.5 if done < 0.4 else 0.75 if done < 0.7 else 1.0)
    assert share_at([], done) == 1.0


@given(height=st.integers(1, 300), width=st.integers(8, 300), share=shares)
def test_no_side_grows_or_falls_below_eight_pixels(height: int, width: int, share: float) -> None:
    for own, side in zip((height, width), smaller((height, width), share), strict=True):
        assert min(own, 8) <= side <= own


@given(share=shares, channels_last=st.booleans(), value=st.integers(0, 255))
def test_pictures_of_one_colour_keep_it_and_their_memory_order(share: float, channels_last: bool, value: int) -> None:
    order = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.full((2, 3, 32, 24), value, dtype=torch.uint8).contiguous(memory_format=order)
    small = shrink(images, share)
    assert small.dtype == torch.uint8
    assert tuple(small.shape) == (2, 3, *smaller((32, 24), share))
    assert small.is_contiguous(memory_format=order)
    assert bool((small == value).all())


def test_a_pixel_is_the_mean_of_the_area_that_it_covers() -> None:
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = images.double().unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5)).round()
    # Half-way cases round to even, as the mean in float does.
    assert torch.equal(shrink(images, 0.5).double(), expected)


@pytest.mark.parametrize("share", [1.0, 0.99])
def test_pictures_that_keep_their_size_are_passed_through(share: float) -> None:
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    assert shrink(images, share) is images
