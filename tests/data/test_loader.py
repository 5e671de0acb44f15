"""Tests of the loader: batches depend on (seed, epoch) alone."""

import os
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenfold.data import loader as loader_module
from tenfold.data.augment import Augmentation
from tenfold.data.loader import Loader, image_batches, image_tensor
from tenfold.data.sampling import Order
from tenfold.data.store.shards import Shard, ShardedImages
from tenfold.data.types import Batch, Split

CPU = torch.device("cpu")
PLAIN = Augmentation()
AUGMENTED = Augmentation(flip="random", shift=2, cutout=3)
MIXED = Augmentation(flip="random", shift=2, cutout=3, mixup=1.0, cutmix=1.0)
IMAGE_BYTES = 8 * 6 * 3  # of one of the images below
PHOTO = Augmentation("random", crop=(0.3, 1.0), trivial=True, erase=0.3, mixup=0.5, cutmix=1.0, image_size=(6, 5))
each_augmentation = pytest.mark.parametrize("augmentation", [Augmentation(), AUGMENTED, MIXED, PHOTO])


def numbered_split(count: int = 23, height: int = 8, width: int = 6) -> Split:
    """Returns images whose pixels all equal their index; labels are the index modulo 7."""
    indices = np.arange(count)
    images = np.broadcast_to(indices[:, None, None, None].astype(np.uint8), (count, height, width, 3)).copy()
    return Split(images, indices % 7)


def noise_split(count: int = 23) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 6, 3), dtype=np.uint8)
    return Split(images, np.arange(count) % 7)


def loader(split: Split, batch_size: int = 4, augmentation: Augmentation = AUGMENTED, **order: object) -> Loader:
    return Loader(split, Order(len(split), batch_size, seed=1, **order), augmentation, CPU)  # type: ignore[arg-type]


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [*batch[:3], *(batch.mixture or ())]


def test_images_labels_and_indices_of_a_batch_belong_together() -> None:
    seen = []
    for batch in loader(numbered_split(), augmentation=Augmentation()).epoch(2):
        assert batch.images.shape == (len(batch.labels), 3, 8, 6)
        assert batch.images.dtype == torch.uint8
        assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.indices)
        assert torch.equal(batch.labels, batch.indices % 7)
        seen += batch.indices.tolist()
    assert sorted(seen) == list(range(23))


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 4, 4, 4, 3]), (True, [4, 4, 4, 4, 4])])
def test_the_last_batch_is_smaller_or_left_out(drop_last: bool, sizes: list[int]) -> None:
    batches = loader(noise_split(), drop_last=drop_last)
    assert [len(batch.labels) for batch in batches.epoch(0)] == sizes
    assert batches.order.num_batches == len(sizes)


@each_augmentation
@pytest.mark.parametrize("block", [1, 5, 8, 1024])
def test_starting_in_the_middle_skips_exactly_the_first_batches(
    block: int, augmentation: Augmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loader(noise_split(), augmentation=augmentation)
    whole = list(loaded.epoch(3))
    monkeypatch.setattr(loader_module, "_BLOCK", block * IMAGE_BYTES)
    for start in range(len(whole) + 1):
        assert_same(list(loaded.epoch(3, start=start)), whole[start:])


@each_augmentation
def test_batches_do_not_depend_on_the_block_size(augmentation: Augmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(loader(noise_split(), augmentation=augmentation).epoch(1))
    for block in (1, 4, 7, 12):
        monkeypatch.setattr(loader_module, "_BLOCK", block * IMAGE_BYTES)
        assert_same(list(loader(noise_split(), augmentation=augmentation).epoch(1)), expected)


@each_augmentation
def test_augmentation_does_not_depend_on_batch_size_or_order(
    augmentation: Augmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_module, "_BLOCK", 1)

    def by_index(batch_size: int, *, shuffle: bool) -> dict[int, tuple[torch.Tensor, ...]]:
        batches = list(loader(noise_split(), batch_size, augmentation, shuffle=shuffle).epoch(4))
        return {int(row[2]): row for batch in batches for row in zip(*tensors(batch), strict=True)}

    small, large = by_index(2, shuffle=True), by_index(23, shuffle=False)
    assert small.keys() == large.keys() == set(range(23))
    for index, row in small.items():
        assert all(torch.equal(a, b) for a, b in zip(row, large[index], strict=True))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_mixed_batch_has_the_partners_labels_and_the_weights(kind: str) -> None:
    split, augmentation = numbered_split(), Augmentation(**{kind: 1.0})  # type: ignore[arg-type]
    partner = augmentation.draw(23, seed=1, epoch=2)["partner"]
    for batch in loader(split, augmentation=augmentation).epoch(2):
        assert batch.mixture is not None
        labels, weight = batch.mixture
        assert torch.equal(batch.labels, batch.indices % 7)
        assert torch.equal(labels, partner[batch.indices] % 7)
        blend = weight * batch.indices + (1 - weight) * partner[batch.indices]
        mean = batch.images.float().mean((1, 2, 3))  # every pixel equals the index of its image
        torch.testing.assert_close(mean, blend, rtol=0, atol=0.5 if kind == "mixup" else 1e-4)


def test_without_mixing_a_batch_has_no_mixture() -> None:
    assert all(batch.mixture is None for batch in loader(noise_split()).epoch(0))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("augmentation", [Augmentation(), AUGMENTED, MIXED, Augmentation(flip="random")])
def test_images_have_the_requested_memory_format(
    memory_format: torch.memory_format, augmentation: Augmentation
) -> None:
    batches = Loader(noise_split(), Order(23, 4, 0), augmentation, CPU, memory_format).epoch(0)
    assert all(batch.images.is_contiguous(memory_format=memory_format) for batch in batches)


def test_the_split_is_never_written_to() -> None:
    split = noise_split()
    split.images.flags.writeable = False
    before = split.images.copy()
    for batch in loader(split).epoch(0):
        batch.images.zero_()
    assert np.array_equal(split.images, before)


def test_image_batches_yield_every_image_once_in_stored_order() -> None:
    split = noise_split()
    batches = list(image_batches(split.images, 10, CPU))
    assert [len(batch) for batch in batches] == [10, 10, 3]
    assert np.array_equal(torch.cat(batches).permute(0, 2, 3, 1).numpy(), split.images)


def test_image_batches_copy_read_only_images() -> None:
    split = noise_split(3)
    split.images.flags.writeable = False
    next(image_batches(split.images, 3, CPU)).zero_()
    assert split.images.any()


@pytest.mark.parametrize(("side", "blocks"), [(8, [23]), (512, [4, 4, 4, 4, 4, 3])])
def test_small_images_are_augmented_in_blocks_of_many_batches(
    side: int, blocks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    apply = Augmentation.apply

    def counted(self: Augmentation, images: torch.Tensor, rows: Any) -> torch.Tensor:
        found.append(len(images))
        return apply(self, images, rows)

    monkeypatch.setattr(Augmentation, "apply", counted)
    list(loader(numbered_split(23, side, side)).epoch(0))
    assert found == blocks


def test_images_of_a_store_are_mapped_and_not_copied() -> None:
    split = noise_split()
    assert np.shares_memory(image_tensor(split).numpy(), split.images)
    upside_down = Split(split.images[:, ::-1], split.labels)  # tensors have no negative strides
    assert (image_tensor(upside_down).numpy() == upside_down.images).all()


def test_seconds_count_gathering_and_not_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(loader_module, "perf_counter", lambda: now)
    monkeypatch.setattr(loader_module, "_BLOCK", 2 * 4 * IMAGE_BYTES)  # two batches

    apply = Augmentation.apply

    def slow_apply(*arguments: Any) -> torch.Tensor:
        nonlocal now
        now += 2.0
        return apply(*arguments)

    monkeypatch.setattr(Augmentation, "apply", slow_apply)
    batches = loader(numbered_split(24))
    for _ in batches.epoch(0):
        now += 100.0
    assert batches.seconds == 3 * 2.0
    for _ in batches.epoch(1, start=4):
        now += 100.0
    assert batches.seconds == 4 * 2.0


@each_augmentation
def test_a_pruned_epoch_shows_hard_images_twice_with_different_draws(augmentation: Augmentation) -> None:
    loaded = Loader(noise_split(), Order(23, 4, seed=1), augmentation, CPU, pruning=0.5)
    losses = torch.arange(23.0)
    batches = list(loaded.epoch(3, losses=losses))
    indices = torch.cat([batch.indices for batch in batches])
    num_shown = torch.bincount(indices, minlength=23)
    assert len(indices) == 23
    assert num_shown[:11].sum() < 11
    assert num_shown[11:].min() >= 1
    assert num_shown[11:].max() == 2
    assert torch.equal(torch.cat([batch.labels for batch in batches]), indices % 7)
    assert_same(list(loaded.epoch(3, start=2, losses=losses)), batches[2:])
    if augmentation.shift:
        images = torch.cat([batch.images for batch in batches])
        repeated = [images[indices == index] for index in torch.nonzero(num_shown == 2).flatten()]
        assert all(not torch.equal(first, second) for first, second in repeated)


def test_a_repeated_image_is_flipped_the_other_way() -> None:
    split = noise_split()
    split.images[..., :3, :], split.images[..., 3:, :] = 0, 255
    loaded = Loader(split, Order(23, 4, seed=1), Augmentation(flip="alternating"), CPU, pruning=0.5)
    for epoch in (1, 2):
        num_shown = torch.zeros(23, 2, dtype=torch.int64)  # as stored, mirrored
        for batch in loaded.epoch(epoch, losses=torch.arange(23.0)):
            mirrored = batch.images[:, 0, 0, 0] == 255
            num_shown.index_put_((batch.indices, mirrored.long()), torch.tensor(1), accumulate=True)
        assert (num_shown[num_shown.sum(1) == 2] == 1).all()


def test_draws_made_ahead_are_those_of_their_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    split = noise_split(12)
    augmentation = Augmentation(flip="random", shift=2)
    ahead, plain = (Loader(split, Order(12, 4, seed=3), augmentation, torch.device("cpu")) for _ in range(2))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # needs a GPU
    ahead._home = torch.device("cuda")
    for epoch, next_epoch in ((0, 1), (1, 2), (2, 9), (5, 6), (1, 2)):
        drawn, expected = ahead._drawn(epoch, 2), plain._drawn(epoch, 2)
        ahead._draw_ahead(next_epoch, 2)
        assert torch.equal(drawn.order.indices, expected.order.indices)
        torch.testing.assert_close(drawn.tables, expected.tables, rtol=0, atol=0)


def test_a_balanced_epoch_repeats_images_of_a_small_class_with_draws_of_their_own() -> None:
    split = noise_split(40)
    split = Split(split.images, (torch.arange(40) >= 37).long().numpy())
    loaded = Loader(split, Order(40, 6, 1, drop_last=True), Augmentation(shift=2), CPU, balance=1.0)
    batches = list(loaded.epoch(2))
    labels, images, indices = (torch.cat([batch[i] for batch in batches]) for i in (1, 0, 2))
    assert len(labels) == 36
    assert 15 <= int(labels.sum()) <= 20
    of_one = images[indices == 38].flatten(1)
    assert len(of_one) > 1
    assert len(of_one.unique(dim=0)) > len(of_one) / 2  # shifts of two pixels have 25 different results
    assert_same(list(loaded.epoch(2, start=3)), batches[3:])


def test_partners_in_a_balanced_epoch_are_as_even_as_its_images() -> None:
    split = noise_split(40)
    split = Split(split.images, (torch.arange(40) >= 36).long().numpy())
    loaded = Loader(split, Order(40, 40, 1), Augmentation(mixup=1.0), CPU, balance=1.0)
    (batch,) = loaded.epoch(0)
    assert batch.mixture is not None
    assert 12 <= int(batch.mixture.labels.sum()) <= 28  # about 4 of 40 as stored


def in_shards(split: Split, folder: Path) -> Split:
    files = []
    for first in range(0, len(split), 10):
        np.save(folder / f"{first}.npy", part := split.images[first : first + 10])
        files.append(Shard(folder / f"{first}.npy", 128, len(part)))
    return Split(ShardedImages(files, split.images.shape[1:3]).as_array(), split.labels)


@pytest.mark.parametrize("settings", [{}, {"mixup": 1.0, "shift": 2}], ids=str)
def test_a_split_in_shards_gives_the_batches_of_one_in_memory(settings: dict[str, Any], tmp_path: Path) -> None:
    split = noise_split()
    on_disk = in_shards(split, tmp_path)
    extras: list[dict[str, Any]] = [{"pruning": 0.5}, {"balance": 1.0}]
    for extra in extras:
        ours, theirs = (
            Loader(each, Order(23, 4, seed=1), Augmentation(**settings), CPU, **extra) for each in (on_disk, split)
        )
        losses = torch.rand(23) if "pruning" in extra else None
        next(ours.epoch(0))  # an epoch that is left early disturbs no other
        for epoch in (0, 1):
            assert_same(list(ours.epoch(epoch, 1, losses)), list(theirs.epoch(epoch, 1, losses)))


def test_a_window_is_shuffled_alone_and_read_from_few_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.data.sampling._RUNS_PER_WINDOW", 2)
    order = Order(23, 4, seed=1, window=8)
    shown = [order.indices(epoch).tolist() for epoch in (0, 1)]
    assert all(sorted(each) == list(range(23)) for each in shown)
    assert shown[0] != shown[1]
    assert shown[0] == Order(23, 4, seed=1, window=8).indices(0).tolist()
    runs = {tuple(sorted({index // 4 for index in shown[0][first : first + 8]})) for first in (0, 8)}
    assert all(len(run) <= 3 for run in runs), "of 4 images each"

    asked: list[int] = []
    monkeypatch.setattr(ShardedImages, "will_need", lambda _, indices: asked.extend(indices.tolist()))
    split = noise_split()
    ours, theirs = (Loader(each, order, Augmentation(), CPU) for each in (in_shards(split, tmp_path), split))
    assert_same(list(ours.epoch(0)), list(theirs.epoch(0)))
    assert sorted(asked) == list(range(23)), "each image once"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_memory_does_not_grow_with_a_split_in_shards(tmp_path: Path) -> None:
    def resident() -> float:
        """Returns resident memory in MB."""
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024**2

    files = []
    for number in range(64):
        path = tmp_path / f"{number}"
        with path.open("wb") as file:
            file.truncate(2 * 1024**2)  # a hole, which takes no disk
        files.append(Shard(path, 0, 682))
    images = ShardedImages(files, (32, 32))
    loaded = Loader(Split(images.as_array(), np.zeros(len(images), np.int64)), Order(len(images), 512, 0), PLAIN, CPU)
    num_seen = sum(len(batch.images) for batch in islice(loaded.epoch(0), 4))
    before = resident()
    num_seen += sum(len(batch.images) for batch in loaded.epoch(1))
    assert num_seen == len(images) + 4 * 512
    assert resident() - before < 40, "of 128 MB of images"
