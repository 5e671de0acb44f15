"""Which rows of each batch a process trains, where several processes train one network.

Shapes: B images in a batch of all processes, W processes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def part(count: int, index: int, parts: int) -> range:
    """Returns the indices of one of several nearly equal parts of `count` things, in order.

    Example:
        >>> [list(part(5, index, 2)) for index in range(2)]
        [[0, 1], [2, 3, 4]]
    """
    return range(count * index // parts, count * (index + 1) // parts)


@dataclass(frozen=True)
class Share:
    """The rows of each batch that one process trains.

    A batch is cut into micro-batches, and each of these into one part for every process, so that what is trained
    together does not depend on the number of processes. Parts differ by one image at most, and may be empty.

    Args:
        rank: index of the process, in [0, size).
        size: number of processes, W.
        micro_batch: largest number of images that one forward and backward pass of all processes has; 0 for a batch.

    Example:
        >>> Share(rank=1, size=2).counts(5), Share(micro_batch=2).counts(5)
        ([[2, 3]], [[1], [2], [2]])
    """

    rank: int = 0
    size: int = 1
    micro_batch: int = 0

    def alone(self) -> "Share":
        """Returns the share of a process that trains batches of its present size alone, for a measurement."""
        return Share(micro_batch=-(-self.micro_batch // self.size))

    def counts(self, batch: int) -> list[list[int]]:
        """Returns how many images of each micro-batch each process trains, for a batch of `batch` images."""
        return [[len(part(len(rows), rank, self.size)) for rank in range(self.size)] for rows in self._micro(batch)]

    def count(self, batch: int) -> int:
        """Returns how many images of a batch of `batch` images this process trains."""
        return sum(counts[self.rank] for counts in self.counts(batch))

    def rows(self, batch: int) -> Tensor:
        """Returns the rows that this process trains of a batch of `batch` images, int64 [b], ascending."""
        own = (rows[index] for rows in self._micro(batch) for index in part(len(rows), self.rank, self.size))
        return torch.tensor(list(own), dtype=torch.int64)

    def positions(self, block: slice, batch_size: int) -> Tensor | slice:
        """Returns which positions of a block of whole batches in an epoch this process trains.

        Args:
            block: from where a batch begins to where one ends.
            batch_size: number of images in a batch; the last one of the block may be smaller.
        """
        if self.size == 1:
            return block
        full, rest = divmod(block.stop - block.start, batch_size)
        starts = torch.arange(block.start, block.start + full * batch_size, batch_size)[:, None]
        last = block.stop - rest + self.rows(rest)
        return torch.cat([(starts + self.rows(batch_size)).flatten(), last])

    def _micro(self, batch: int) -> list[range]:
        """Returns the rows of each micro-batch of a batch of `batch` images."""
        number = max(1, -(-batch // self.micro_batch)) if self.micro_batch else 1
        return [part(batch, index, number) for index in range(number)]


WHOLE = Share()
"""The share of a process that trains alone: everything."""
