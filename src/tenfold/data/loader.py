"""Turns a split into batches on the device, in an order that depends on (seed, epoch) alone.

A split that fits is kept on the device. Small batches are cut from larger blocks, so that gathering and augmenting cost
little for a batch of 4. There are no worker processes that could hang or run out of memory.

Shapes: N images of the split, M images that an epoch shows, B images in a batch, R repetitions, H×W pixels.
"""

import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tenfold.data.augment import Augmentation
from tenfold.data.sampling import EpochOrder, Order, max_repetitions, pruned_order
from tenfold.data.types import Batch, Mixture, Split

_BLOCK, _GPU_BLOCK = 3 * 1024**2, 64 * 1024**2
"""Bytes of images that are gathered and augmented at once, but at least a batch: on a CPU 1024 images of 32×32, which
fit its cache; on a GPU more, because each operation takes some time to start."""

_READ_BELOW = 4 * 1024**3
"""Largest split in bytes that is read into memory at the start."""

_PAGE = 4096
"""Size of the smallest memory page, in bytes."""

_RESIDENT_FRACTION = 0.5
"""Fraction of a GPU's free memory that a split may take to be kept on the GPU."""

_REPETITION_STRIDE = 1_000_001
"""Repetition r of an image in epoch e has the augmentation draws of epoch e + r × stride, which no run reaches. The
stride is odd, so that `alternating` flips alternate between repetitions."""


class _Drawn(NamedTuple):
    """The random numbers of one epoch, on the CPU.

    Args:
        indices: see `Order.indices`.
        tables: augmentation draws by name, [R, N, …] each.
    """

    indices: Tensor
    tables: dict[str, Tensor]


class Loader:
    """Yields the batches of one split.

    Args:
        split: images and labels.
        order: assigns images to batches.
        augmentation: changes that are made to each image.
        device: device of the batches.
        memory_format: memory format of a batch's images.
        pruning: fraction of the images that is shown less often once their losses are known, in [0, 1).

    Attributes:
        seconds: host time spent on gathering and augmenting so far; a caller may reset it.

    Example:
        >>> loader = Loader(split, Order(len(split), 4, seed=0), Augmentation(), torch.device("cpu"))  # doctest: +SKIP
        >>> for batch in loader.epoch(0, start=100): ...  # doctest: +SKIP
    """

    def __init__(
        self,
        split: Split,
        order: Order,
        augmentation: Augmentation,
        device: torch.device,
        memory_format: torch.memory_format = torch.channels_last,
        pruning: float = 0.0,
    ) -> None:
        self.order = order
        self.seconds = 0.0
        self._pruning = pruning
        self._augmentation = augmentation
        self._device = device
        self._memory_format = memory_format
        images = image_tensor(split)  # N H W 3
        self._home = device if _fits_on(device, images) else torch.device("cpu")
        self._images = images.to(self._home)
        self._labels = torch.from_numpy(split.labels).to(self._home)
        self._thread = ThreadPoolExecutor(1)  # starts with its first task
        self._ahead: dict[tuple[int, int], Future[_Drawn]] = {}

    def epoch(self, epoch: int, start: int = 0, losses: Tensor | None = None) -> Iterator[Batch]:
        """Yields the batches of an epoch.

        Args:
            epoch: number of the epoch, from 0.
            start: number of batches to skip at the front, for a run that is resumed in the middle of an epoch.
            losses: float [N], the latest loss of each image; with them the epoch is pruned (see `pruned_order`).
        """
        size = self.order.batch_size
        num_repetitions = 1 if losses is None else max_repetitions(self.order.count, self._pruning)
        order, draws = self._epoch_order(epoch, num_repetitions, losses)
        image_bytes = self._images.shape[1:].numel()
        block = max(1, (_GPU_BLOCK if self._home.type == "cuda" else _BLOCK) // (size * image_bytes)) * size
        indices, repetitions = (tensor[start * size :] for tensor in order)
        blocks = zip(indices.split(block), repetitions.split(block), strict=True) if len(indices) else ()
        for index, repetition in blocks:  # int64 [at most `block`] each
            began = perf_counter()
            images, mixture = self._augmented(index, repetition, draws)
            images = images.contiguous(memory_format=self._memory_format)
            self.seconds += perf_counter() - began  # without the transfer: it may wait for other work of the device
            images, labels = self._to_device(images), self._to_device(self._labels[index])
            mixtures: Iterable[Mixture | None] = repeat(None)
            if mixture is not None:
                mixtures = map(Mixture, *(self._to_device(tensor).split(size) for tensor in mixture))
            self._draw_ahead(epoch + 1, num_repetitions)  # now that the device has work
            yield from map(Batch, images.split(size), labels.split(size), index.split(size), mixtures)

    def _epoch_order(
        self, epoch: int, num_repetitions: int, losses: Tensor | None
    ) -> tuple[EpochOrder, dict[str, Tensor]]:
        """Returns the order of an epoch, and its augmentation draws by name: [R, N, …] each."""
        drawn = self._drawn(epoch, num_repetitions)
        indices = drawn.indices.to(self._home, non_blocking=True)
        shown = EpochOrder(indices, torch.zeros_like(indices))
        if losses is not None:
            pruned = pruned_order(losses.to(self._home), self._pruning, seed=self.order.seed, epoch=epoch)
            shown = EpochOrder(*(tensor[: len(indices)] for tensor in pruned))
        return shown, {name: table.to(self._home, non_blocking=True) for name, table in drawn.tables.items()}

    def _drawn(self, epoch: int, num_repetitions: int) -> _Drawn:
        """Returns the random numbers of an epoch, drawn ahead or now."""
        task = self._ahead.pop((epoch, num_repetitions), None)
        self._ahead.clear()
        return self._draw(epoch, num_repetitions) if task is None else task.result()

    def _draw_ahead(self, epoch: int, num_repetitions: int) -> None:
        """Lets a thread draw the random numbers of an epoch while the GPU is busy with the one before it."""
        if self._home.type == "cuda" and not self._ahead:
            self._ahead[epoch, num_repetitions] = self._thread.submit(self._draw, epoch, num_repetitions)

    def _draw(self, epoch: int, num_repetitions: int) -> _Drawn:
        tables = [
            self._augmentation.draw(self.order.count, seed=self.order.seed, epoch=epoch + index * _REPETITION_STRIDE)
            for index in range(num_repetitions)
        ]
        drawn = _Drawn(
            self.order.indices(epoch), {name: torch.stack([table[name] for table in tables]) for name in tables[0]}
        )
        if self._home.type != "cuda":
            return drawn
        # From pinned memory a GPU copies while it computes; otherwise the host would wait for all queued steps.
        return _Drawn(drawn.indices.pin_memory(), {name: table.pin_memory() for name, table in drawn.tables.items()})

    def _augmented(
        self, indices: Tensor, repetitions: Tensor, draws: dict[str, Tensor]
    ) -> tuple[Tensor, Mixture | None]:
        """Returns images as an epoch shows them, uint8 [B, 3, H, W], and what was mixed into them."""
        rows = {name: table[repetitions, indices] for name, table in draws.items()}
        images = self._augmentation.apply(self._gather(indices), rows)
        if "partner" not in rows:
            return images, None
        partners = rows["partner"]
        partner_rows = {name: table[0, partners] for name, table in draws.items()}  # as the epoch shows them first
        partner_images = self._augmentation.apply(self._gather(partners), partner_rows)
        images, weight = self._augmentation.mix(images, partner_images, rows)
        return images, Mixture(self._labels[partners], weight)

    def _gather(self, indices: Tensor) -> Tensor:
        return self._images.index_select(0, indices).permute(0, 3, 1, 2)  # B 3 H W, channels_last in memory

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=True)


def image_tensor(split: Split) -> Tensor:
    """Returns the images of a split as a tensor for reading only, uint8 [N, H, W, 3].

    The tensor shares the memory-mapped file of the store, so the runs of a sweep share one copy. A file of up to 4 GiB
    is read once from front to back, which is the fastest way; a larger one is read as batches need it.
    """
    images = np.ascontiguousarray(split.images)
    if images.nbytes <= _READ_BELOW:
        images.reshape(-1)[::_PAGE].max(initial=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about read-only memory, but nothing here writes to it
        return torch.from_numpy(images)


def _fits_on(device: torch.device, images: Tensor) -> bool:
    """Returns whether all images may be kept on the device; on a CPU they always may."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes < _RESIDENT_FRACTION * free


def image_batches(images: NDArray[np.uint8], batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """Yields all images in order, uint8 [B, 3, H, W] on `device`, for evaluation.

    Args:
        images: uint8 [N, H, W, 3]; may be memory-mapped.
        batch_size: number of images in a batch; the last batch may be smaller.
        device: device of the batches.
    """
    for start in range(0, len(images), batch_size):
        part = torch.from_numpy(np.array(images[start : start + batch_size]))  # B H W 3
        yield part.permute(0, 3, 1, 2).to(device, non_blocking=True)
