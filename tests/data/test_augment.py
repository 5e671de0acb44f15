"""Augmentations against loops that a person can follow, and draws that depend on nothing they should not."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tenfold.core.errors import RecipeError
from tenfold.data.augment import Augmentation, cutout, flip, shift

FORMATS = [torch.contiguous_format, torch.channels_last]
quickly = settings(max_examples=60, deadline=None)


def pictures(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator).to(torch.uint8)


@st.composite
def batches(draw: st.DrawFn, smallest: int = 1) -> Tensor:
    count, height, width = (draw(st.integers(low, high)) for low, high in [(1, 5), (smallest, 9), (smallest, 9)])
    return pictures(count, height, width, draw(st.integers(0, 9))).contiguous(
        memory_format=draw(st.sampled_from(FORMATS))
    )


@quickly
@given(batches(), st.data())
def test_flip_mirrors_the_chosen_pictures_only(images: Tensor, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.booleans(), min_size=len(images), max_size=len(images)))
    before = images.clone()
    expected = [p[:, :, ::-1] if mirrored else p for p, mirrored in zip(images.numpy(), chosen, strict=True)]
    assert np.array_equal(flip(images, torch.tensor(chosen)).numpy(), np.stack(expected))
    assert torch.equal(images, before)


@quickly
@given(batches(smallest=4), st.integers(1, 3), st.data())
def test_shift_is_a_crop_of_the_reflect_padded_picture(images: Tensor, pixels: int, data: st.DataObject) -> None:
    offset = st.integers(0, 2 * pixels)
    offsets = data.draw(st.lists(st.tuples(offset, offset), min_size=len(images), max_size=len(images)))
    height, width = images.shape[2:]
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (pixels, pixels), (pixels, pixels)], mode="reflect")
    expected = [p[:, y : y + height, x : x + width] for p, (y, x) in zip(padded, offsets, strict=True)]
    before = images.clone()
    assert np.array_equal(shift(images, torch.tensor(offsets), pixels).numpy(), np.stack(expected))
    assert torch.equal(images, before)


def test_the_largest_shift_of_the_smallest_picture_is_still_exact() -> None:
    images = pictures(1, 4, 4)
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (3, 3), (3, 3)], mode="reflect")
    for y in range(7):
        for x in range(7):
            found = shift(images, torch.tensor([[y, x]]), 3).numpy()
            assert np.array_equal(found, padded[:, :, y : y + 4, x : x + 4])


@quickly
@given(batches(), st.integers(1, 12), st.data())
def test_cutout_paints_a_square_around_the_centre(images: Tensor, side: int, data: st.DataObject) -> None:
    share = st.floats(0, 0.9990234375, width=32)
    centers = data.draw(st.lists(st.tuples(share, share), min_size=len(images), max_size=len(images)))
    height, width = images.shape[2:]
    expected = images.numpy().copy()
    for picture, (down, right) in zip(expected, centers, strict=True):
        top = int(np.float32(down) * np.float32(height)) - side // 2
        left = int(np.float32(right) * np.float32(width)) - side // 2
        picture[:, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 128
    before = images.clone()
    assert np.array_equal(cutout(images, torch.tensor(centers), side).numpy(), expected)
    assert torch.equal(images, before)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_flip_and_cutout_keep_shape_type_and_memory_format(memory_format: torch.memory_format) -> None:
    images = pictures(3, 5, 7).contiguous(memory_format=memory_format)
    for changed in (flip(images, torch.tensor([True, False, True])), cutout(images, torch.rand(3, 2), 3)):
        assert (changed.shape, changed.dtype) == (images.shape, torch.uint8)
        assert changed.is_contiguous(memory_format=memory_format)


EVERYTHING = Augmentation(flip="random", shift=2, cutout=3)


def test_draws_depend_on_seed_and_epoch() -> None:
    def draw(seed: int, epoch: int) -> dict[str, Tensor]:
        return EVERYTHING.draw(50, seed=seed, epoch=epoch)

    for name, rows in draw(3, 4).items():
        assert torch.equal(rows, draw(3, 4)[name])
        assert not torch.equal(rows, draw(3, 5)[name])
        assert not torch.equal(rows, draw(4, 4)[name])


def test_draws_ignore_the_process_wide_generator() -> None:
    torch.manual_seed(1)
    first = EVERYTHING.draw(20, seed=0, epoch=0)
    torch.manual_seed(2)
    assert all(torch.equal(rows, first[name]) for name, rows in EVERYTHING.draw(20, seed=0, epoch=0).items())


def test_draws_cover_their_whole_range() -> None:
    draws = EVERYTHING.draw(2000, seed=0, epoch=0)
    assert 900 < int(draws["flip"].sum()) < 1100
    assert sorted(draws["shift"].unique().tolist()) == [0, 1, 2, 3, 4]
    assert 0 <= draws["cutout"].min() < 0.01 < 0.99 < draws["cutout"].max() < 1


def test_alternating_flip_shows_each_picture_once_each_way_in_two_epochs() -> None:
    alternating = Augmentation(flip="alternating")
    ways = [alternating.draw(100, seed=5, epoch=epoch)["flip"] for epoch in range(4)]
    for first, second in pairwise(ways):
        assert torch.equal(first, ~second)
    assert 20 < int(ways[0].sum()) < 80


def test_the_first_epoch_can_be_left_plain() -> None:
    spared = Augmentation(flip="random", shift=2, cutout=3, first_epoch=False)
    assert spared.draw(20, seed=0, epoch=0) == {}
    for name, rows in spared.draw(20, seed=0, epoch=1).items():
        assert torch.equal(rows, EVERYTHING.draw(20, seed=0, epoch=1)[name])


def test_a_picture_fares_the_same_alone_and_in_a_batch() -> None:
    images, draws = pictures(6, 8, 10), EVERYTHING.draw(6, seed=0, epoch=1)
    together = EVERYTHING.apply(images, draws)
    for i in range(6):
        alone = EVERYTHING.apply(images[i : i + 1], {name: rows[i : i + 1] for name, rows in draws.items()})
        assert torch.equal(alone[0], together[i])


def test_the_order_is_flip_shift_cutout() -> None:
    images, draws = pictures(6, 8, 10), EVERYTHING.draw(6, seed=0, epoch=1)
    expected = cutout(shift(flip(images, draws["flip"]), draws["shift"], 2), draws["cutout"], 3)
    assert torch.equal(EVERYTHING.apply(images, draws), expected)


def test_no_augmentation_draws_nothing_and_changes_nothing() -> None:
    images = pictures(2, 8, 8)
    assert Augmentation().draw(2, seed=0, epoch=0) == {}
    assert Augmentation().apply(images, {}) is images


@pytest.mark.parametrize("size", [(8, 20), (20, 8)])
def test_a_shift_by_the_whole_picture_is_refused(size: tuple[int, int]) -> None:
    Augmentation(shift=7).check(size)
    with pytest.raises(
        RecipeError, match=f"data.augment.shift = 8 for pictures of {size[0]}×{size[1]}; expected at most 7"
    ):
        Augmentation(shift=8).check(size)
