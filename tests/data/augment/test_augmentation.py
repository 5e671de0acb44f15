"""Tests of augmentation: against the formulas of the papers, and draws that depend on seed and epoch alone."""

from dataclasses import replace
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tenfold.core.errors import RecipeError
from tenfold.data.augment.augmentation import Augmentation
from tenfold.data.augment.erasing import cutout
from tenfold.data.augment.geometry import flip, shift
from tenfold.data.augment.mixing import cutmix, draw_mixing, mixup
from tenfold.data.augment.trivial import OPERATIONS

FORMATS = [torch.contiguous_format, torch.channels_last]
COUNT = 4000
quickly = settings(max_examples=60, deadline=None)
weights = st.integers(0, 4096).map(lambda part: part / 4096)
positions = st.floats(0, 0.9990234375, width=32)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    shape = draw(st.integers(1, 5)), 3, draw(st.integers(1, 9)), draw(st.integers(1, 9))
    memory_format = draw(st.sampled_from(FORMATS))
    images, partners = (
        noise(*shape, seed=draw(st.integers(0, 9))).contiguous(memory_format=memory_format) for _ in "ab"
    )
    return images, partners


def one_each(data: st.DataObject, values: st.SearchStrategy[float], images: Tensor) -> Tensor:
    count = len(images)
    return torch.tensor(data.draw(st.lists(values, min_size=count, max_size=count)), dtype=torch.float32)


@quickly
@given(pairs(), st.data())
def test_mixup_blends_as_the_formula_says(pair: tuple[Tensor, Tensor], data: st.DataObject) -> None:
    images, partners = pair
    weight = one_each(data, weights, images)
    mixed = mixup(images, partners, weight)
    for own, other, part, found in zip(images.numpy(), partners.numpy(), weight.tolist(), mixed.numpy(), strict=True):
        exact = part * own.astype(np.float64) + (1 - part) * other.astype(np.float64)
        assert np.array_equal(found, np.rint(exact).astype(np.uint8))
        assert np.all((np.minimum(own, other) <= found) & (found <= np.maximum(own, other)))
    assert (mixed.dtype, mixed.shape) == (torch.uint8, images.shape)


@quickly
@given(pairs(), st.data())
def test_cutmix_pastes_a_rectangle_around_the_center(pair: tuple[Tensor, Tensor], data: st.DataObject) -> None:
    images, partners = pair
    weight = one_each(data, weights, images)
    centers = torch.stack([one_each(data, positions, images), one_each(data, positions, images)], 1)
    mixed, kept = cutmix(images, partners, weight, centers)
    height, width = images.shape[2:]
    for i, (down, right) in enumerate(centers.numpy()):
        side = np.sqrt(np.float32(1) - weight.numpy()[i])
        tall, wide = (int(np.rint(np.float32(length) * side)) for length in (height, width))
        top, left = int(down * np.float32(height)) - tall // 2, int(right * np.float32(width)) - wide // 2
        box = slice(max(top, 0), max(top + tall, 0)), slice(max(left, 0), max(left + wide, 0))
        expected = images[i].numpy().copy()
        expected[:, *box] = partners[i].numpy()[:, *box]
        own = np.ones((height, width), bool)
        own[box] = False
        assert np.array_equal(mixed[i].numpy(), expected)
        assert kept[i].item() == np.float32(own.sum()) / np.float32(height * width)
    assert (mixed.dtype, mixed.shape, kept.dtype) == (torch.uint8, images.shape, torch.float32)


@quickly
@given(weights, positions, positions, st.integers(1, 12), st.integers(1, 12))
def test_the_weight_of_cutmix_is_the_fraction_of_own_pixels(
    weight: float, down: float, right: float, height: int, width: int
) -> None:
    own, other = torch.full((1, 3, height, width), 7, dtype=torch.uint8), torch.zeros(1, 3, height, width).byte()
    mixed, kept = cutmix(own, other, torch.tensor([weight]), torch.tensor([[down, right]]))
    assert kept.item() == ((mixed == 7).sum() / mixed.numel()).item()


def test_a_rectangle_inside_the_image_has_the_requested_area() -> None:
    weight = torch.tensor([0.75, 0.4375, 1.0])
    _, kept = cutmix(noise(3, 3, 16, 32), noise(3, 3, 16, 32), weight, torch.full((3, 2), 0.5))
    assert torch.equal(kept, weight)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_weight_of_0_or_1_is_one_of_the_two_images(weight: float) -> None:
    images, partners = noise(2, 3, 4, 6), noise(2, 3, 4, 6, seed=1)
    expected = images if weight else partners
    assert torch.equal(mixup(images, partners, torch.full((2,), weight)), expected)
    mixed, kept = cutmix(images, partners, torch.full((2,), weight), torch.full((2, 2), 0.5))
    assert torch.equal(mixed, expected)
    assert kept.tolist() == [weight, weight]


@pytest.mark.parametrize("memory_format", FORMATS)
def test_mixing_keeps_the_memory_format_and_its_inputs(memory_format: torch.memory_format) -> None:
    pair = [noise(3, 3, 5, 7, seed=seed).contiguous(memory_format=memory_format) for seed in (0, 1)]
    before = [images.clone() for images in pair]
    weight = torch.tensor([0.25, 0.5, 0.75])
    mixed = mixup(pair[0], pair[1], weight), cutmix(pair[0], pair[1], weight, torch.full((3, 2), 0.5))[0]
    assert all(images.is_contiguous(memory_format=memory_format) for images in mixed)
    assert all(map(torch.equal, pair, before))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_weights_follow_the_beta_distribution(kind: str, alpha: float) -> None:
    drawn = draw_mixing(COUNT, **({"mixup": 0.0, "cutmix": 0.0} | {kind: alpha}), seed=1, epoch=2)[kind]
    weight = drawn if kind == "mixup" else drawn[:, 0]
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(weight.mean().item() - 0.5) < 4 * sqrt(variance / COUNT)
    assert weight.var().item() == pytest.approx(variance, rel=0.1)
    assert (weight.dtype, weight.shape) == (torch.float32, (COUNT,))
    assert 0 <= weight.min() < 0.25
    assert 0.75 < weight.max() <= 1
    assert torch.equal(weight * 4096, (weight * 4096).round())


@pytest.mark.parametrize("alpha", [1e-300, 1e-3, 1e9])
def test_extreme_alphas_give_equal_weights(alpha: float) -> None:
    weight = draw_mixing(COUNT, mixup=alpha, cutmix=0, seed=0, epoch=0)["mixup"]
    assert abs(weight.mean().item() - 0.5) < 4 * 0.5 / sqrt(COUNT)
    assert 0 <= weight.min() <= weight.max() <= 1


def test_every_image_is_the_partner_of_one_other() -> None:
    partner = draw_mixing(COUNT, mixup=1, cutmix=0, seed=0, epoch=0)["partner"]
    assert partner.dtype == torch.int64
    assert sorted(partner.tolist()) == list(range(COUNT)) != partner.tolist()


def test_with_both_each_image_gets_one_with_equal_probability() -> None:
    draws = draw_mixing(COUNT, mixup=1, cutmix=1, seed=0, epoch=0)
    blended, cut = draws["mixup"] < 1, draws["cutmix"][:, 0] < 1
    assert not (blended & cut).any()
    assert abs(cut.sum().item() - COUNT / 2) < 4 * sqrt(COUNT / 4)
    assert (blended | cut).sum() > 0.99 * COUNT


def test_centers_cover_the_image_and_are_independent() -> None:
    draws = draw_mixing(COUNT, mixup=0, cutmix=1, seed=0, epoch=0)["cutmix"]
    assert draws.shape == (COUNT, 3)
    assert 0 <= draws[:, 1:].min() < 0.01 < 0.99 < draws[:, 1:].max() < 1
    assert (torch.corrcoef(draws.T) - torch.eye(3)).abs().max() < 4 / sqrt(COUNT)


@pytest.mark.parametrize(("mixup_alpha", "cutmix_alpha"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_draws_depend_on_seed_and_epoch_alone(mixup_alpha: float, cutmix_alpha: float) -> None:
    def draw(seed: int, epoch: int) -> dict[str, Tensor]:
        return draw_mixing(50, mixup=mixup_alpha, cutmix=cutmix_alpha, seed=seed, epoch=epoch)

    torch.manual_seed(1)
    np.random.seed(1)
    first = draw(3, 4)
    torch.manual_seed(2)
    np.random.seed(2)
    for name, rows in first.items():
        assert torch.equal(rows, draw(3, 4)[name])
        assert (rows != draw(3, 5)[name]).sum(0).min() > 25
        assert (rows != draw(4, 4)[name]).sum(0).min() > 25


def test_mixing_leaves_the_other_draws_as_they_are() -> None:
    plain = Augmentation(flip="random", shift=2, cutout=3).draw(20, seed=0, epoch=1)
    mixed = Augmentation(flip="random", shift=2, cutout=3, mixup=1.0, cutmix=1.0).draw(20, seed=0, epoch=1)
    assert all(torch.equal(rows, mixed[name]) for name, rows in plain.items())
    assert mixed.keys() - plain.keys() == {"partner", "mixup", "cutmix"}
    alone = Augmentation(mixup=1.0).draw(20, seed=0, epoch=1)
    assert alone.keys() == {"partner", "mixup"}


@pytest.mark.parametrize("kinds", [{"mixup"}, {"cutmix"}, {"mixup", "cutmix"}])
def test_mixing_combines_augmented_images(kinds: set[str]) -> None:
    images = noise(20, 3, 8, 10)
    augmentation = Augmentation(flip="random", shift=2, cutout=3, **dict.fromkeys(kinds, 1.0))  # type: ignore[arg-type]
    draws = augmentation.draw(20, seed=0, epoch=1)
    augmented = augmentation.apply(images, draws)
    chosen = torch.tensor([3, 17, 0, 5, 11, 8, 9])
    rows = {name: table[chosen] for name, table in draws.items()}
    mixed, weights = augmentation.mix(augmented[chosen], augmented[rows["partner"]], rows)
    for index, image, weight in zip(chosen.tolist(), mixed, weights, strict=True):
        pair = augmented[index][None], augmented[draws["partner"][index]][None]
        cut = draws["cutmix"][index][None] if "cutmix" in kinds else torch.ones(1, 3)
        if cut[0, 0] < 1:
            expected, kept = cutmix(*pair, cut[:, 0], cut[:, 1:])
        else:
            kept = draws["mixup"][index][None]
            expected = mixup(*pair, kept)
        assert torch.equal(image, expected[0])
        assert weight == kept[0]


@st.composite
def batches(draw: st.DrawFn, smallest: int = 1) -> Tensor:
    count, height, width = (draw(st.integers(low, high)) for low, high in [(1, 5), (smallest, 9), (smallest, 9)])
    return noise(count, 3, height, width, seed=draw(st.integers(0, 9))).contiguous(
        memory_format=draw(st.sampled_from(FORMATS))
    )


@quickly
@given(batches(), st.data())
def test_flip_mirrors_the_chosen_images_only(images: Tensor, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.booleans(), min_size=len(images), max_size=len(images)))
    before = images.clone()
    expected = [p[:, :, ::-1] if mirrored else p for p, mirrored in zip(images.numpy(), chosen, strict=True)]
    assert np.array_equal(flip(images, torch.tensor(chosen)).numpy(), np.stack(expected))
    assert torch.equal(images, before)


@quickly
@given(batches(smallest=4), st.integers(1, 3), st.data())
def test_shift_is_a_crop_of_the_reflect_padded_image(images: Tensor, pixels: int, data: st.DataObject) -> None:
    offset = st.integers(0, 2 * pixels)
    offsets = data.draw(st.lists(st.tuples(offset, offset), min_size=len(images), max_size=len(images)))
    height, width = images.shape[2:]
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (pixels, pixels), (pixels, pixels)], mode="reflect")
    expected = [p[:, y : y + height, x : x + width] for p, (y, x) in zip(padded, offsets, strict=True)]
    before = images.clone()
    assert np.array_equal(shift(images, torch.tensor(offsets), pixels).numpy(), np.stack(expected))
    assert torch.equal(images, before)


def test_the_largest_shift_of_the_smallest_image_is_exact() -> None:
    images = noise(1, 3, 4, 4)
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (3, 3), (3, 3)], mode="reflect")
    for y in range(7):
        for x in range(7):
            found = shift(images, torch.tensor([[y, x]]), 3).numpy()
            assert np.array_equal(found, padded[:, :, y : y + 4, x : x + 4])


@quickly
@given(batches(), st.integers(1, 12), st.data())
def test_cutout_fills_a_square_around_the_center(images: Tensor, side: int, data: st.DataObject) -> None:
    weight = st.floats(0, 0.9990234375, width=32)
    centers = data.draw(st.lists(st.tuples(weight, weight), min_size=len(images), max_size=len(images)))
    height, width = images.shape[2:]
    expected = images.numpy().copy()
    for image, (down, right) in zip(expected, centers, strict=True):
        top = int(np.float32(down) * np.float32(height)) - side // 2
        left = int(np.float32(right) * np.float32(width)) - side // 2
        image[:, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 128
    before = images.clone()
    assert np.array_equal(cutout(images, torch.tensor(centers), side).numpy(), expected)
    assert torch.equal(images, before)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_flip_and_cutout_keep_shape_type_and_memory_format(memory_format: torch.memory_format) -> None:
    images = noise(3, 3, 5, 7).contiguous(memory_format=memory_format)
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


def test_alternating_flip_shows_both_sides_in_two_epochs() -> None:
    alternating = Augmentation(flip="alternating")
    ways = [alternating.draw(100, seed=5, epoch=epoch)["flip"] for epoch in range(4)]
    for first, second in pairwise(ways):
        assert torch.equal(first, ~second)
    assert 20 < int(ways[0].sum()) < 80


def test_the_first_epoch_can_be_left_unaugmented() -> None:
    spared = Augmentation(flip="random", shift=2, cutout=3, first_epoch=False)
    assert spared.draw(20, seed=0, epoch=0) == {}
    for name, rows in spared.draw(20, seed=0, epoch=1).items():
        assert torch.equal(rows, EVERYTHING.draw(20, seed=0, epoch=1)[name])


def test_an_image_is_augmented_the_same_alone_and_in_a_batch() -> None:
    images, draws = noise(6, 3, 8, 10), EVERYTHING.draw(6, seed=0, epoch=1)
    together = EVERYTHING.apply(images, draws)
    for i in range(6):
        alone = EVERYTHING.apply(images[i : i + 1], {name: rows[i : i + 1] for name, rows in draws.items()})
        assert torch.equal(alone[0], together[i])


def test_the_order_is_flip_shift_cutout() -> None:
    images, draws = noise(6, 3, 8, 10), EVERYTHING.draw(6, seed=0, epoch=1)
    expected = cutout(shift(flip(images, draws["flip"]), draws["shift"], 2), draws["cutout"], 3)
    assert torch.equal(EVERYTHING.apply(images, draws), expected)


def test_no_augmentation_draws_nothing_and_changes_nothing() -> None:
    images = noise(2, 3, 8, 8)
    assert Augmentation().draw(2, seed=0, epoch=0) == {}
    assert Augmentation().apply(images, {}) is images


@pytest.mark.parametrize("size", [(8, 20), (20, 8)])
def test_a_shift_by_the_whole_image_is_refused(size: tuple[int, int]) -> None:
    Augmentation(shift=7).check(size)
    with pytest.raises(
        RecipeError, match=f"data.augment.shift = 8 for images of {size[1]}×{size[0]}; expected at most 7"
    ):
        Augmentation(shift=8).check(size)


PHOTO = Augmentation(flip="random", crop=(0.2, 1.0), trivial=True, erase=0.5, image_size=(16, 12))
WINDOW = Augmentation(flip="random", shift=3, trivial=True, erase=0.5, image_size=(16, 12))


@pytest.mark.parametrize("augmentation", [PHOTO, WINDOW])
def test_stored_images_become_those_of_the_network_whatever_their_batch(augmentation: Augmentation) -> None:
    images = noise(40, 3, 20, 16).contiguous(memory_format=torch.channels_last)
    draws = augmentation.draw(40, seed=0, epoch=1)
    together, before = augmentation.apply(images, draws), images.clone()
    assert (together.shape, together.dtype) == ((40, 3, 16, 12), torch.uint8)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    for chosen in (order, order[:7], *order[:, None]):
        rows = {name: table[chosen] for name, table in draws.items()}
        assert torch.equal(augmentation.apply(images[chosen], rows), together[chosen])
    assert torch.equal(images, before)


def test_new_augmentations_leave_the_other_draws_as_they_are() -> None:
    plain = EVERYTHING.draw(20, seed=0, epoch=1)
    more = replace(EVERYTHING, trivial=True, erase=0.5).draw(20, seed=0, epoch=1)
    assert all(torch.equal(rows, more[name]) for name, rows in plain.items())
    assert more.keys() - plain.keys() == {"operation", "level", "motion", "erase", "noise"}


def test_a_crop_is_cut_out_of_the_stored_image() -> None:
    ramp = torch.arange(0, 160, 4, dtype=torch.uint8).expand(50, 3, 40, 40)
    augmentation = Augmentation(flip="random", crop=(0.25, 0.25), image_size=(20, 20))
    draws = augmentation.draw(50, seed=0, epoch=0)
    found = augmentation.apply(ramp, draws).float()
    for image, box, mirrored in zip(found, draws["crop"].tolist(), draws["flip"].tolist(), strict=True):
        across = (image[0, 0, -1] - image[0, 0, 0]).item()
        assert abs(across) == pytest.approx(160 * box[3] * 19 / 20, abs=2)
        assert (across < 0) == mirrored
        assert image.mean().item() == pytest.approx(160 * box[1] - 2, abs=2)


def test_a_small_crop_of_a_large_image_is_as_sharp_as_it_can_be() -> None:
    """One resampling does it all, so pixels in the middle of an enlarged one keep its value."""
    images = noise(1, 3, 8, 8)
    found = Augmentation(crop=(1.0, 1.0), image_size=(24, 24)).apply(images, {"crop": torch.tensor([[0.5, 0.5, 1, 1]])})
    assert torch.equal(found[:, :, 1::3, 1::3], images)


def test_an_unaugmented_epoch_shows_the_center() -> None:
    images = noise(4, 3, 20, 16)
    spared = replace(PHOTO, first_epoch=False)
    assert spared.draw(4, seed=0, epoch=0) == {}
    assert torch.equal(spared.apply(images, {}), images[:, :, 2:18, 2:14])


def test_images_of_the_size_of_the_result_are_augmented_as_before() -> None:
    images, draws = noise(6, 3, 8, 10), EVERYTHING.draw(6, seed=0, epoch=1)
    assert torch.equal(replace(EVERYTHING, image_size=(8, 10)).apply(images, draws), EVERYTHING.apply(images, draws))
    assert Augmentation(image_size=(8, 10)).apply(images, {}) is images


def test_an_operation_that_moves_is_applied_after_the_window() -> None:
    images, augmentation = noise(30, 3, 20, 20), Augmentation(trivial=True, image_size=(16, 16))
    draws = augmentation.draw(30, seed=0, epoch=0)
    draws["operation"][:] = OPERATIONS.index("rotate")
    draws["motion"][:] = torch.tensor([[0.0, -1, 0], [1, 0, 0]])
    assert torch.equal(augmentation.apply(images, draws), images[:, :, 2:18, 2:18].rot90(1, (2, 3)))
