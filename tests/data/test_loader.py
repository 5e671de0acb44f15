"""Batches: which, in which order, and that nothing but (seed, epoch) decides it."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tenfold.data import loader as loader_module
from tenfold.data.augment import Augmentation
from tenfold.data.loader import Loader, Order, in_order, pixels
from tenfold.data.types import Batch, Split

CPU = torch.device("cpu")
AUGMENTED = Augmentation(flip="random", shift=2, cutout=3)
MIXED = Augmentation(flip="random", shift=2, cutout=3, mixup=1.0, cutmix=1.0)
PICTURE = 8 * 6 * 3  # bytes of one of the pictures below
KINDS = pytest.mark.parametrize("augmentation", [Augmentation(), AUGMENTED, MIXED])


def split(count: int = 23, height: int = 8, width: int = 6) -> Split:
    """Pictures whose every pixel tells their place, with labels that do so too."""
    places = np.arange(count)
    images = np.broadcast_to(places[:, None, None, None].astype(np.uint8), (count, height, width, 3)).copy()
    return Split(images, places % 7)


def noise(count: int = 23) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 6, 3), dtype=np.uint8)
    return Split(images, np.arange(count) % 7)


def loader(pictures: Split, batch_size: int = 4, augmentation: Augmentation = AUGMENTED, **order: object) -> Loader:
    return Loader(pictures, Order(len(pictures), batch_size, seed=1, **order), augmentation, CPU)  # type: ignore[arg-type]


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [*batch[:3], *(batch.mixture or ())]


orders = st.builds(Order, st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**40), st.booleans(), st.booleans())


@given(orders, st.integers(0, 100))
def test_an_order_is_a_permutation_less_at_most_the_rest(order: Order, epoch: int) -> None:
    indices = order.indices(epoch).tolist()
    assert len(set(indices)) == len(indices)
    assert set(indices) <= set(range(order.count))
    rest = order.count % order.batch_size if order.drop_last and order.count > order.batch_size else 0
    assert len(indices) == order.count - rest
    assert order.batches == -(-len(indices) // order.batch_size)
    assert order.indices(epoch).tolist() == indices


def test_each_epoch_and_seed_has_an_order_of_its_own() -> None:
    orders = [Order(50, 4, seed).indices(epoch).tolist() for seed in range(3) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 9


def test_without_shuffling_the_stored_order_is_kept() -> None:
    assert Order(5, 2, seed=0, shuffle=False).indices(3).tolist() == [0, 1, 2, 3, 4]


def test_images_labels_and_indices_of_a_batch_belong_together() -> None:
    seen = []
    for batch in loader(split(), augmentation=Augmentation()).epoch(2):
        assert batch.images.shape == (len(batch.labels), 3, 8, 6)
        assert batch.images.dtype == torch.uint8
        assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.indices)
        assert torch.equal(batch.labels, batch.indices % 7)
        seen += batch.indices.tolist()
    assert sorted(seen) == list(range(23))


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 4, 4, 4, 3]), (True, [4, 4, 4, 4, 4])])
def test_the_last_batch_is_smaller_or_left_out(drop_last: bool, sizes: list[int]) -> None:
    pictures = loader(noise(), drop_last=drop_last)
    assert [len(batch.labels) for batch in pictures.epoch(0)] == sizes
    assert pictures.order.batches == len(sizes)


@KINDS
@pytest.mark.parametrize("block", [1, 5, 8, 1024])
def test_starting_in_the_middle_leaves_out_exactly_what_was_seen(
    block: int, augmentation: Augmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = loader(noise(), augmentation=augmentation)
    whole = list(pictures.epoch(3))
    monkeypatch.setattr(loader_module, "_BLOCK", block * PICTURE)
    for start in range(len(whole) + 1):
        assert_same(list(pictures.epoch(3, start=start)), whole[start:])


@KINDS
def test_batches_do_not_depend_on_the_block_size(augmentation: Augmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(loader(noise(), augmentation=augmentation).epoch(1))
    for block in (1, 4, 7, 12):
        monkeypatch.setattr(loader_module, "_BLOCK", block * PICTURE)
        assert_same(list(loader(noise(), augmentation=augmentation).epoch(1)), expected)


@KINDS
def test_what_happens_to_a_picture_does_not_depend_on_batch_size_or_order(
    augmentation: Augmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_module, "_BLOCK", 1)

    def by_place(batch_size: int, *, shuffle: bool) -> dict[int, tuple[torch.Tensor, ...]]:
        batches = list(loader(noise(), batch_size, augmentation, shuffle=shuffle).epoch(4))
        return {int(row[2]): row for batch in batches for row in zip(*tensors(batch), strict=True)}

    small, large = by_place(2, shuffle=True), by_place(23, shuffle=False)
    assert small.keys() == large.keys() == set(range(23))
    for place, row in small.items():
        assert all(torch.equal(a, b) for a, b in zip(row, large[place], strict=True))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_mixed_batch_tells_the_partners_labels_and_the_share_of_the_own(kind: str) -> None:
    pictures, augmentation = split(), Augmentation(**{kind: 1.0})  # type: ignore[arg-type]
    partner = augmentation.draw(23, seed=1, epoch=2)["partner"]
    for batch in loader(pictures, augmentation=augmentation).epoch(2):
        assert batch.mixture is not None
        labels, share = batch.mixture
        assert torch.equal(batch.labels, batch.indices % 7)
        assert torch.equal(labels, partner[batch.indices] % 7)
        blend = share * batch.indices + (1 - share) * partner[batch.indices]
        mean = batch.images.float().mean((1, 2, 3))  # every pixel of this split tells its place
        torch.testing.assert_close(mean, blend, rtol=0, atol=0.5 if kind == "mixup" else 1e-4)


def test_without_mixing_a_batch_says_so() -> None:
    assert all(batch.mixture is None for batch in loader(noise()).epoch(0))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("augmentation", [Augmentation(), AUGMENTED, MIXED, Augmentation(flip="random")])
def test_pictures_lie_in_memory_as_asked(memory_format: torch.memory_format, augmentation: Augmentation) -> None:
    batches = Loader(noise(), Order(23, 4, 0), augmentation, CPU, memory_format).epoch(0)
    assert all(batch.images.is_contiguous(memory_format=memory_format) for batch in batches)


def test_the_split_is_never_written_to() -> None:
    pictures = noise()
    pictures.images.flags.writeable = False
    before = pictures.images.copy()
    for batch in loader(pictures).epoch(0):
        batch.images.zero_()
    assert np.array_equal(pictures.images, before)


def test_in_order_yields_every_picture_once_in_its_place() -> None:
    pictures = noise()
    batches = list(in_order(pictures, 10, CPU))
    assert [len(batch) for batch in batches] == [10, 10, 3]
    assert np.array_equal(torch.cat(batches).permute(0, 2, 3, 1).numpy(), pictures.images)


def test_in_order_takes_pictures_that_must_not_be_written_to() -> None:
    pictures = noise(3)
    pictures.images.flags.writeable = False
    next(in_order(pictures, 3, CPU)).zero_()
    assert pictures.images.any()


def test_without_shuffling_a_mixed_order_is_the_same_in_every_epoch() -> None:
    order = Order(count=50, batch_size=4, seed=3, shuffle=False, mixed=True)
    assert torch.equal(order.indices(0), order.indices(7))
    assert sorted(order.indices(0).tolist()) == list(range(50)) != order.indices(0).tolist()


@pytest.mark.parametrize(("side", "blocks"), [(8, [23]), (512, [4, 4, 4, 4, 4, 3])])
def test_large_pictures_are_prepared_by_the_batch_and_small_ones_many_at_once(
    side: int, blocks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    plain = Augmentation.prepare

    def counted(self: Augmentation, places: torch.Tensor, *rest: Any) -> Any:
        found.append(len(places))
        return plain(self, places, *rest)

    monkeypatch.setattr(Augmentation, "prepare", counted)
    list(loader(split(23, side, side)).epoch(0))
    assert found == blocks


def test_pictures_of_a_store_are_mapped_and_not_copied() -> None:
    pictures = noise()
    assert np.shares_memory(pixels(pictures).numpy(), pictures.images)
    upside_down = Split(pictures.images[:, ::-1], pictures.labels)  # no tensor can lie like this
    assert (pixels(upside_down).numpy() == upside_down.images).all()


def test_seconds_are_those_of_gathering_and_not_of_whoever_takes_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(loader_module, "perf_counter", lambda: now)
    monkeypatch.setattr(loader_module, "_BLOCK", 2 * 4 * PICTURE)  # two batches

    plain = Augmentation.prepare

    def prepare(*arguments: Any) -> Any:
        nonlocal now
        now += 2.0
        return plain(*arguments)

    monkeypatch.setattr(Augmentation, "prepare", prepare)
    batches = loader(split(24))
    for _ in batches.epoch(0):
        now += 100.0
    assert batches.seconds == 3 * 2.0
    for _ in batches.epoch(1, start=4):
        now += 100.0
    assert batches.seconds == 4 * 2.0


@KINDS
def test_pictures_that_give_way_are_missing_and_others_are_seen_twice_in_different_ways(
    augmentation: Augmentation,
) -> None:
    pictures = Loader(noise(), Order(23, 4, seed=1), augmentation, CPU, pruning=0.5)
    losses = torch.arange(23.0)
    batches = list(pictures.epoch(3, losses=losses))
    places = torch.cat([batch.indices for batch in batches])
    showings = torch.bincount(places, minlength=23)
    assert len(places) == 23
    assert showings[:11].sum() < 11
    assert showings[11:].min() >= 1
    assert showings[11:].max() == 2
    assert torch.equal(torch.cat([batch.labels for batch in batches]), places % 7)
    assert_same(list(pictures.epoch(3, start=2, losses=losses)), batches[2:])
    if augmentation.shift:
        images = torch.cat([batch.images for batch in batches])
        again = [images[places == place] for place in torch.nonzero(showings == 2).flatten()]
        assert all(not torch.equal(first, second) for first, second in again)


def test_a_picture_seen_twice_in_an_epoch_is_seen_from_both_sides() -> None:
    sides = noise()
    sides.images[..., :3, :], sides.images[..., 3:, :] = 0, 255
    pictures = Loader(sides, Order(23, 4, seed=1), Augmentation(flip="alternating"), CPU, pruning=0.5)
    for epoch in (1, 2):
        left = torch.zeros(23, 2, dtype=torch.int64)
        for batch in pictures.epoch(epoch, losses=torch.arange(23.0)):
            mirrored = batch.images[:, 0, 0, 0] == 255
            left.index_put_((batch.indices, mirrored.long()), torch.tensor(1), accumulate=True)
        assert (left[left.sum(1) == 2] == 1).all()
