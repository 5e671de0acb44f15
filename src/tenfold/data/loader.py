"""Turns a split into batches on the device, in an order that depends on (seed, epoch) alone.

A split that fits is kept on the device; one in shards on disk is read ahead by a thread. Small batches are cut from
larger blocks, so that gathering and augmenting cost little for a batch of 4. There are no worker processes that could
hang or run out of memory.

Shapes: N images of the split, M images that an epoch shows, B images in a batch, R repetitions, H×W pixels.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tenfold.data.augment import Augmentation
from tenfold.data.image_stream import ImageStream
from tenfold.data.sampling import EpochOrder, Order, balanced_order, max_repetitions, pruned_order
from tenfold.data.share import WHOLE, Share
from tenfold.data.store.shards import ShardedImages, sharded
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
        order: of the epoch; a balanced one holds N images, also where the last batch is left out.
        tables: augmentation draws by name, [R, N, …] each.
    """

    order: EpochOrder
    tables: dict[str, Tensor]

    def map(self, change: Callable[[Tensor], Tensor]) -> "_Drawn":
        """Returns the same numbers after a change of each tensor."""
        tables = {name: change(table) for name, table in self.tables.items()}
        return _Drawn(EpochOrder(*map(change, self.order)), tables)

    def rows(self, order: EpochOrder) -> dict[str, Tensor]:
        """Returns the rows of all draws for images as an epoch shows them."""
        return {name: table[order.repetitions, order.rows] for name, table in self.tables.items()}


class Loader:
    """Yields the batches of one split.

    Args:
        split: images and labels.
        order: assigns images to batches.
        augmentation: changes that are made to each image.
        device: device of the batches.
        memory_format: memory format of a batch's images.
        pruning: fraction of the images that is shown less often once their losses are known, in [0, 1).
        balance: how far each epoch evens out the classes, in [0, 1]; see `balanced_order`.
        share: which rows of each batch this process trains; only these are gathered and augmented.

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
        balance: float = 0.0,
        share: Share = WHOLE,
    ) -> None:
        self.order = order
        self.seconds = 0.0
        self._pruning, self._balance, self._share = pruning, balance, share
        self._augmentation = augmentation
        self._device = device
        self._memory_format = memory_format
        images, source = split.images, sharded(split.images)
        self._image_bytes = images[:1].nbytes
        resident = _fits_on(device, images)
        self._stream = ImageStream(source, device) if source is not None and not resident else None
        self._home = device if resident or self._stream is not None else torch.device("cpu")
        self._read = _selected(image_tensor(split, self._home)) if self._stream is None else self._stream.read
        self._all_labels = torch.from_numpy(split.labels)
        self._labels = self._all_labels.to(self._home)
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
        num_repetitions = 2 if self._balance else 1
        if losses is not None:
            num_repetitions = max_repetitions(self.order.count, self._pruning)
        drawn = self._epoch_order(epoch, num_repetitions, losses)
        block = max(1, (_GPU_BLOCK if self._home.type == "cuda" else _BLOCK) // (size * self._image_bytes)) * size
        starts = range(start * size, self.order.num_images, block)
        parts = [slice(first, min(first + block, self.order.num_images)) for first in starts]
        gathered = self._gathered(parts, drawn)
        for positions in parts:
            part = drawn.order.at(self._share.positions(positions, size))
            index = part.indices  # at most `block`
            began = perf_counter()
            images, mixture = self._augmented(part, drawn, gathered)
            images = images.contiguous(memory_format=self._memory_format)
            self.seconds += perf_counter() - began  # without the transfer: it may wait for other work of the device
            images, labels = self._to_device(images), self._to_device(self._labels[index])
            mixtures: Iterable[Mixture | None] = repeat(None)
            totals: Iterable[int | None] = repeat(None)
            sizes: int | list[int] = size
            if self._share.size > 1:
                batches = [min(size, positions.stop - start) for start in range(positions.start, positions.stop, size)]
                totals, sizes = batches, [self._share.count(batch) for batch in batches]
            if mixture is not None:
                mixtures = map(Mixture, *(self._to_device(tensor).split(sizes) for tensor in mixture))
            self._draw_ahead(epoch + 1, num_repetitions)  # now that the device has work
            yield from map(Batch, images.split(sizes), labels.split(sizes), index.split(sizes), mixtures, totals)

    def _epoch_order(self, epoch: int, num_repetitions: int, losses: Tensor | None) -> _Drawn:
        """Returns the order of an epoch and its augmentation draws, where the images are."""
        drawn = self._drawn(epoch, num_repetitions).map(lambda tensor: tensor.to(self._home, non_blocking=True))
        if losses is None:
            return drawn
        pruned = pruned_order(losses.to(self._home), self._pruning, seed=self.order.seed, epoch=epoch)
        return drawn._replace(order=pruned)

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
        drawn = _Drawn(self._shown(epoch), {name: torch.stack([table[name] for table in tables]) for name in tables[0]})
        # From pinned memory a GPU copies while it computes; otherwise the host would wait for all queued steps.
        return drawn.map(Tensor.pin_memory) if self._home.type == "cuda" else drawn

    def _shown(self, epoch: int) -> EpochOrder:
        """Returns the order of an epoch that is not pruned."""
        if self._balance:
            return balanced_order(self._all_labels, self._balance, seed=self.order.seed, epoch=epoch)
        indices = self.order.indices(epoch)
        return EpochOrder(indices, torch.zeros_like(indices), rows=indices)

    def _augmented(self, order: EpochOrder, drawn: _Drawn, gathered: Iterator[Tensor]) -> tuple[Tensor, Mixture | None]:
        """Returns images as an epoch shows them, uint8 [B, 3, H, W], and what was mixed into them.

        A partner is drawn from the images as the epoch shows them: from all of them alike, or from a balanced epoch.
        """
        images, rows = self._changed(order, drawn, gathered)
        if "partner" not in rows:
            return images, None
        partners = self._partners(rows["partner"], drawn)
        partner_images, _ = self._changed(partners, drawn, gathered)
        images, weight = self._augmentation.mix(images, partner_images, rows)
        return images, Mixture(self._labels[partners.indices], weight)

    def _partners(self, chosen: Tensor, drawn: _Drawn) -> EpochOrder:
        return drawn.order.at(chosen) if self._balance else EpochOrder(chosen, torch.zeros_like(chosen), chosen)

    def _changed(
        self, order: EpochOrder, drawn: _Drawn, gathered: Iterator[Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns images after what changes each by itself, and their rows of all draws."""
        images = next(gathered).permute(0, 3, 1, 2)  # B 3 H W, channels_last in memory
        rows = drawn.rows(order)
        return self._augmentation.apply(images, rows), rows

    def _gathered(self, parts: Sequence[slice], drawn: _Drawn) -> Iterator[Tensor]:
        """Yields the stored images of an epoch's parts, uint8 [B, H, W, 3], and after each the partners, if any."""
        return self._read(self._needed(parts, drawn if self._stream is None else drawn.map(Tensor.cpu)))

    def _needed(self, parts: Sequence[slice], drawn: _Drawn) -> Iterator[Tensor]:
        """Yields which images are gathered, int64 [B] each, in the order in which they are needed."""
        window, num_fetched = self.order.window, 0
        for positions in parts:
            part = drawn.order.at(self._share.positions(positions, self.order.batch_size))
            if self._stream is not None and window:
                first = max(num_fetched, positions.start // window)
                num_fetched = positions.stop // window + 2  # one window ahead
                self._stream.will_need(drawn.order.indices[first * window : num_fetched * window])
            yield part.indices
            if "partner" in drawn.tables:
                chosen = drawn.tables["partner"][part.repetitions, part.rows]
                yield self._partners(chosen, drawn).indices

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=True)


def _selected(images: Tensor) -> Callable[[Iterable[Tensor]], Iterator[Tensor]]:
    """Returns a function that yields the images with some indices from a tensor [N, …], as `ImageStream.read` does."""
    return lambda needed: (images.index_select(0, indices) for indices in needed)


def image_tensor(split: Split, device: torch.device | None = None) -> Tensor:
    """Returns the images of a split as a tensor for reading only, uint8 [N, H, W, 3] on a device or the CPU.

    On a CPU the tensor shares the memory-mapped file of the store, so the runs of a sweep share one copy. A file of up
    to 4 GiB is read once from front to back, which is the fastest way; a larger one is read as batches need it.
    """
    if (source := sharded(split.images)) is not None:
        return _copied(source, device)
    images = np.ascontiguousarray(split.images)
    if images.nbytes <= _READ_BELOW:
        images.reshape(-1)[::_PAGE].max(initial=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about read-only memory, but nothing here writes to it
        return torch.from_numpy(images).to(device)


def _copied(images: ShardedImages, device: torch.device | None) -> Tensor:
    """Returns images from disk on a device; they are in host memory a block at a time."""
    tensor = torch.empty(images.shape, dtype=torch.uint8, device=device)
    rows = max(1, _GPU_BLOCK // images.image_bytes)
    for first in range(0, len(images), rows):
        tensor[first : first + rows] = torch.from_numpy(images[first : first + rows])
    return tensor


def _fits_on(device: torch.device, images: NDArray[np.uint8]) -> bool:
    """Returns whether all images are kept in the memory of the device: on a CPU those that are no shards on disk."""
    if device.type != "cuda":
        return sharded(images) is None
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
