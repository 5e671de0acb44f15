"""Batches made on a GPU equal those made on the CPU, bit for bit."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.gpu import cuda_only, gpu_tests
from tenfold.core.clock import synchronize
from tenfold.data.augment import Augmentation
from tenfold.data.loader import Loader
from tenfold.data.resizing import shrink
from tenfold.data.sampling import Order, pruned_order
from tenfold.data.types import Batch, Split

pytestmark = gpu_tests

CPU = torch.device("cpu")
COUNT = 50
AUGMENTATIONS = {
    "none": Augmentation(),
    "flip": Augmentation(flip="random"),
    "alternating": Augmentation(flip="alternating"),
    "shift": Augmentation(shift=3),
    "cutout": Augmentation(cutout=5),
    "mixup": Augmentation(mixup=0.4),
    "cutmix": Augmentation(cutmix=1.0),
    "erase": Augmentation(erase=0.5),
    "all": Augmentation(flip="random", shift=2, cutout=4, mixup=1.0, cutmix=1.0),
}
each_augmentation = pytest.mark.parametrize("name", AUGMENTATIONS)
each_pruning = pytest.mark.parametrize("pruning", [0.0, 0.5])


def noise() -> Split:
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 8, 3), dtype=np.uint8)
    return Split(images, np.arange(COUNT) % 7)


def batches(device: torch.device, name: str, pruning: float = 0.0) -> list[Batch]:
    """Returns the batches of two epochs, 8 images each; the last of an epoch has 2."""
    loader = Loader(noise(), Order(COUNT, 8, seed=1), AUGMENTATIONS[name], device, pruning=pruning)
    losses = (torch.arange(COUNT) * 7 % COUNT / COUNT).to(device) if pruning else None
    found = [batch for epoch in (1, 2) for batch in loader.epoch(epoch, losses=losses)]
    synchronize(device)
    return found


def tensors(batch: Batch) -> Iterator[Tensor]:
    yield from batch[:3]
    yield from batch.mixture or ()


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected) == 14
    for one, other in zip(found, expected, strict=True):
        for ours, theirs in zip(tensors(one), tensors(other), strict=True):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours.cpu(), theirs.cpu())


@each_augmentation
@each_pruning
def test_batches_equal_those_of_the_cpu(device: torch.device, name: str, pruning: float) -> None:
    found = batches(device, name, pruning)
    assert {(batch.images.device.type, batch.labels.device.type) for batch in found} == {(device.type, device.type)}
    assert all(batch.images.is_contiguous(memory_format=torch.channels_last) for batch in found)
    assert_same(found, batches(CPU, name, pruning))


@each_pruning
@pytest.mark.parametrize("name", ["none", "all"])
def test_a_split_kept_on_the_host_gives_the_same_batches(
    device: torch.device, name: str, pruning: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = batches(device, name, pruning)
    monkeypatch.setattr("tenfold.data.loader._RESIDENT_FRACTION", 0.0)
    streamed = batches(device, name, pruning)
    assert {(batch.images.device.type, batch.labels.device.type) for batch in streamed} == {(device.type, device.type)}
    assert_same(streamed, resident)


@cuda_only
def test_a_split_on_the_host_stays_there(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.cuda.synchronize()
    images = np.zeros((2000, 64, 64, 3), np.uint8)  # 24 MB
    split, order = Split(images, np.arange(2000) % 2), Order(2000, 10, seed=1)
    before = torch.cuda.memory_allocated()
    resident = Loader(split, order, Augmentation(), device)
    assert torch.cuda.memory_allocated() - before >= images.nbytes
    del resident
    monkeypatch.setattr("tenfold.data.loader._RESIDENT_FRACTION", 0.0)
    streamed = Loader(split, order, Augmentation(), device)
    assert torch.cuda.memory_allocated() - before < images.nbytes / 2
    assert next(streamed.epoch(0)).images.device.type == "cuda"


def test_the_pruned_order_equals_that_of_the_cpu(device: torch.device) -> None:
    losses = torch.rand(5000, generator=torch.Generator().manual_seed(0))
    losses[::10] = torch.inf
    found, expected = (pruned_order(part, 0.6, seed=3, epoch=4) for part in (losses.to(device), losses))
    assert found.indices.device.type == device.type
    assert torch.equal(found.indices.cpu(), expected.indices)
    assert torch.equal(found.repetitions.cpu(), expected.repetitions)


@pytest.mark.parametrize("fraction", [0.5, 0.75, 0.8])
def test_shrunk_images_equal_those_of_the_cpu_within_one_level(device: torch.device, fraction: float) -> None:
    """A mean of pixels adds up in another order; a tie of rounding may fall to the other side."""
    images = torch.from_numpy(noise().images).permute(0, 3, 1, 2)
    ours, theirs = (shrink(part, fraction).cpu().int() for part in (images.to(device), images))
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1
    assert (ours != theirs).float().mean() < 0.05


def test_resampled_and_recolored_images_nearly_equal_those_of_the_cpu(device: torch.device) -> None:
    """A coordinate may round to the other side: by one level, and at the edge of an image to gray."""
    augmentation = Augmentation("random", crop=(0.3, 1.0), trivial=True, image_size=(12, 8))
    images = torch.from_numpy(noise().images).permute(0, 3, 1, 2)
    draws = augmentation.draw(COUNT, seed=0, epoch=0)
    ours = augmentation.apply(images.to(device), {name: rows.to(device) for name, rows in draws.items()})
    assert ours.device.type == device.type
    difference = (ours.cpu().int() - augmentation.apply(images, draws).int()).abs()
    assert (difference > 1).float().mean() < 0.02
