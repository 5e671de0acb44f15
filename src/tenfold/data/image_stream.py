"""Images of a split that stays on disk: threads read those of the next batches while a batch is used.

Shapes: N images of the split, B images in a block of batches, H×W pixels.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tenfold.data.store.shards import ShardedImages

_AHEAD = 2
"""Number of blocks that are read ahead."""

_GPU_READERS = 4
"""Number of threads that read a block for a GPU; a CPU needs its cores for training, and is slower than one thread."""


class ImageStream:
    """Reads images of a split in the order in which batches need them.

    Args:
        images: of the split.
        device: where the images are needed; for a GPU they are read into pinned memory, from which it copies by itself.
    """

    def __init__(self, images: ShardedImages, device: torch.device) -> None:
        self._images = images
        self._device = device
        self._readers = _GPU_READERS if device.type == "cuda" else 1
        self._pool = ThreadPoolExecutor(self._readers)

    def read(self, needed: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yields the images of each block on the device, uint8 [B, H, W, 3].

        Args:
            needed: the images of each block, int64 [B] on the CPU; asked for ahead of the blocks.

        Raises:
            StorageError, DataError: when a file cannot be read.
        """
        started: deque[tuple[Tensor, list[Future[NDArray[np.uint8]]]]] = deque()
        for indices in needed:
            started.append(self._start(indices))
            if len(started) > _AHEAD:
                yield self._finish(*started.popleft())
        while started:
            yield self._finish(*started.popleft())

    def will_need(self, indices: Tensor) -> None:
        """Lets the system fetch images, int64 [B] on the CPU, from a slow disk meanwhile."""
        if len(indices):
            self._pool.submit(self._images.will_need, indices.sort().values.numpy())

    def _start(self, indices: Tensor) -> tuple[Tensor, list[Future[NDArray[np.uint8]]]]:
        shape = (len(indices), *self._images.shape[1:])
        block = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        parts = zip(indices.chunk(self._readers), block.chunk(self._readers), strict=True)
        tasks = [self._pool.submit(self._images.read, part.numpy(), into.numpy()) for part, into in parts]
        return block, tasks

    def _finish(self, block: Tensor, tasks: list[Future[NDArray[np.uint8]]]) -> Tensor:
        for task in tasks:
            task.result()
        return block.to(self._device, non_blocking=True)
