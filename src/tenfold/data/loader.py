"""From a split to batches on the device, in an order that depends on (seed, epoch) alone.

A split that fits lies whole on the device; small batches are cut from larger blocks, so that gathering and
augmenting cost a batch of 4 next to nothing. No worker processes: nothing to start, hang or run out of memory.

Shapes: N pictures of the split, B pictures of a batch, H×W pixels.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from tenfold.core.randomness import generator_for
from tenfold.data.augment import Augmentation
from tenfold.data.sampling import most_showings, pruned_order
from tenfold.data.types import Batch, Mixture, Split

_BLOCK = 3 * 1024**2
"""Bytes of pictures gathered and augmented at once, and at least a batch: 1024 pictures of 32×32."""

_READ_BELOW = 4 * 1024**3
"""Bytes up to which a split is read into memory at once."""

_PAGE = 4096
"""Bytes that the smallest pages of memory hold."""

_RESIDENT_SHARE = 0.5
"""Share of a GPU's free memory that a split may take to lie on it whole."""

_NEVER = 1_000_001
"""An epoch that no run reaches; odd, so that pictures shown again in an epoch are flipped the other way."""


@dataclass(frozen=True)
class Order:
    """Which pictures make up which batch of which epoch: a pure function of its fields and the epoch.

    Args:
        count: pictures in the split.
        batch_size: pictures in a batch.
        seed: of the run.
        shuffle: whether each epoch has an order of its own.
        drop_last: whether a last batch smaller than the others is left out.
        mixed: whether all epochs share one random order where `shuffle` is off, instead of the stored one: class
            folders are stored class by class, and learnt so, only the last class would be remembered.

    Example:
        >>> Order(count=10, batch_size=4, seed=0).batches
        3
    """

    count: int
    batch_size: int
    seed: int
    shuffle: bool = True
    drop_last: bool = False
    mixed: bool = False

    @property
    def batches(self) -> int:
        """Batches in an epoch, at least 1."""
        whole, rest = divmod(self.count, self.batch_size)
        return max(1, whole + bool(rest and not self.drop_last))

    def indices(self, epoch: int) -> Tensor:
        """Returns the order of an epoch, int64 [at most N], on the CPU."""
        used = min(self.count, self.batches * self.batch_size)
        if not self.shuffle and not self.mixed:
            return torch.arange(used)
        purpose = ("order", epoch) if self.shuffle else ("order",)
        return torch.randperm(self.count, generator=generator_for(self.seed, *purpose))[:used]


class Loader:
    """Batches of one split.

    Args:
        split: pictures and labels.
        order: see `Order`.
        augmentation: what happens to each picture.
        device: where batches are needed.
        memory_format: how the pictures of a batch lie in memory.
        pruning: share of the pictures that are shown more rarely, once it is known which are learnt.

    Attributes:
        seconds: of the host, spent so far on gathering and augmenting pictures; anyone may set it back.

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
        self._pruning = pruning
        self.seconds = 0.0
        self._augmentation = augmentation
        self._device = device
        self._memory_format = memory_format
        self._images = pixels(split)  # N H W 3
        self._labels = torch.from_numpy(split.labels)
        self._home = device if fits(self._images, device) else torch.device("cpu")
        self._images = self._images.to(self._home)
        self._labels = self._labels.to(self._home)

    def epoch(self, epoch: int, start: int = 0, losses: Tensor | None = None) -> Iterator[Batch]:
        """Yields the batches of an epoch.

        Args:
            epoch: number of the epoch, from 0.
            start: batches to leave out at the front, when a run is resumed in the middle of an epoch.
            losses: float [N], of each picture when it was last seen; with them, those that are learnt give way to the
                others (see `pruned_order`).
        """
        size = self.order.batch_size
        indices, draws = self._chances(epoch, losses)
        picture = self._images.shape[1:].numel()  # bytes
        block = max(1, _BLOCK // (size * picture)) * size
        rest = indices[start * size :]
        for rows in rest.split(block) if len(rest) else ():
            began = perf_counter()
            images, share = self._augmentation.prepare(rows, self._gather, draws)
            images = images.contiguous(memory_format=self._memory_format)
            self.seconds += perf_counter() - began  # sending is left out: it may wait for the device's other work
            images = self._sent(images)
            chosen = rows % len(self._labels)
            labels = self._sent(self._labels[chosen])
            mixtures: Iterable[Mixture | None] = repeat(None)
            if share is not None:
                others = self._sent(self._labels[draws["partner"][rows]])
                mixtures = map(Mixture, others.split(size), self._sent(share).split(size))
            yield from map(Batch, images.split(size), labels.split(size), chosen.split(size), mixtures)

    def _chances(self, epoch: int, losses: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the order of an epoch, and the draws whose rows it names: N for each time that a picture is shown."""
        order, showings = self.order, 1
        indices = order.indices(epoch)
        if losses is not None:
            showings = most_showings(order.count, self._pruning)
            indices = pruned_order(losses.to(self._home), self._pruning, seed=order.seed, epoch=epoch)[: len(indices)]
        tables = [
            self._augmentation.draw(order.count, seed=order.seed, epoch=epoch + showing * _NEVER)
            for showing in range(showings)
        ]
        draws = {name: torch.cat([table[name] for table in tables]).to(self._home) for name in tables[0]}
        return indices.to(self._home), draws

    def _gather(self, places: Tensor) -> Tensor:
        places = places % len(self._images)  # of pictures that are shown again
        return self._images.index_select(0, places).permute(0, 3, 1, 2)  # B 3 H W, channels_last as it lies

    def _sent(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=True)


def pixels(split: Split) -> Tensor:
    """Returns the pictures of a split as a tensor, uint8 [N, H, W, 3]; only to be read.

    They stay in the store's file, mapped into memory: read once from front to back, as a disk does that fastest, they
    are found there at once in any order, and the runs of a sweep share one copy. A split too large for that is read
    as batches need it.
    """
    images = np.ascontiguousarray(split.images)
    if images.nbytes <= _READ_BELOW:
        images.reshape(-1)[::_PAGE].max(initial=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of memory that must not be written, and nothing here does
        return torch.from_numpy(images)


def fits(images: Tensor, device: torch.device) -> bool:
    """Returns whether `images` may lie on `device` whole; on a CPU they always do."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes < _RESIDENT_SHARE * free


def in_order(split: Split, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """Yields all pictures of a split in their order, uint8 [B, 3, H, W] on `device`, for judging them.

    Args:
        split: pictures and labels.
        batch_size: pictures in a batch; the last may be smaller.
        device: where batches are needed.
    """
    for start in range(0, len(split), batch_size):
        part = torch.from_numpy(np.array(split.images[start : start + batch_size]))  # B H W 3
        yield part.permute(0, 3, 1, 2).to(device, non_blocking=True)
