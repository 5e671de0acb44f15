"""Which training images an epoch shows, and in which order: shuffling, evening out classes, and pruning by loss.

Shapes: N images of the split, M images that an epoch shows, B images in a batch, C classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tenfold.core.randomness import generator_for
from tenfold.data.types import Batch


class EpochOrder(NamedTuple):
    """The images of one epoch, in order.

    Args:
        indices: int64 [M], of images in the split, each in [0, N).
        repetitions: int64 [M]; 0 where the epoch shows an image for the first time, 1 for the second time, and so on.
            In a balanced epoch 1 for every further time.
        rows: int64 [M], row of the image in the augmentation draws of its repetition; equal pairs of both do not occur.
    """

    indices: Tensor
    repetitions: Tensor
    rows: Tensor

    def at(self, positions: Tensor | slice) -> "EpochOrder":
        """Returns the order at some positions."""
        return EpochOrder(*(tensor[positions] for tensor in self))


@dataclass(frozen=True)
class Order:
    """Assigns images to batches: a pure function of its fields and the epoch.

    Args:
        count: number of images in the split, N.
        batch_size: number of images in a batch.
        seed: seed of the run.
        shuffle: whether each epoch has a different order.
        drop_last: whether a last batch smaller than the others is left out.
        shuffle_once: without `shuffle`, whether all epochs use one random order instead of the stored one. Class
            folders are stored class by class; a network trained in that order remembers only the last class.
        window: number of images that are shuffled among each other in a random order, see `windowed_order`; 0 for all.

    Example:
        >>> Order(count=10, batch_size=4, seed=0).num_batches
        3
    """

    count: int
    batch_size: int
    seed: int
    shuffle: bool = True
    drop_last: bool = False
    shuffle_once: bool = False
    window: int = 0

    @property
    def num_images(self) -> int:
        """Number of images in an epoch, at most N."""
        return min(self.count, self.num_batches * self.batch_size)

    @property
    def num_batches(self) -> int:
        """Number of batches in an epoch, at least 1."""
        full, rest = divmod(self.count, self.batch_size)
        return max(1, full + bool(rest and not self.drop_last))

    def indices(self, epoch: int) -> Tensor:
        """Returns the image indices of an epoch in order, int64 [M] with M at most N, on the CPU."""
        num_used = self.num_images
        if not self.shuffle and not self.shuffle_once:
            return torch.arange(num_used)
        purpose = ("order", epoch) if self.shuffle else ("order",)
        generator = generator_for(self.seed, *purpose)
        if self.window:
            return windowed_order(self.count, self.window, generator)[:num_used]
        return torch.randperm(self.count, generator=generator)[:num_used]


_RUNS_PER_WINDOW = 64
"""Number of places in the store that a window is read from."""


def windowed_order(count: int, window: int, generator: torch.Generator) -> Tensor:
    """Returns a random order in which near images are read together, int64 [count], for disks that are slow to seek.

    The images are cut into runs of neighbors, which are shuffled. Every 64 runs make a window, and images are shuffled
    within their window. So a class folder, which is stored in one piece, is spread over the windows.

    Args:
        count: number of images.
        window: number of images in a window, at least 1.
        generator: its numbers decide the order.

    Example:
        >>> sorted(windowed_order(5, 2, torch.Generator()).tolist())
        [0, 1, 2, 3, 4]
    """
    run = max(1, window // _RUNS_PER_WINDOW)
    runs = torch.randperm(-(-count // run), generator=generator)
    indices = (runs[:, None] * run + torch.arange(run)).flatten()
    indices = indices[indices < count]
    parts = [part[torch.randperm(len(part), generator=generator)] for part in indices.split(window)]
    return torch.cat(parts)


def balanced_counts(labels: Tensor, balance: float) -> Tensor:
    """Returns how many images of each class an epoch shows, int64 [C], in total as many as there are.

    Args:
        labels: int64 [N]; C is the highest label plus 1.
        balance: 0 for as many as are stored, 1 for equally many of each class that has any; in between, linear.

    Example:
        >>> labels = torch.tensor([0] * 8 + [1] * 2)
        >>> [balanced_counts(labels, balance).tolist() for balance in (0.0, 0.5, 1.0)]
        [[8, 2], [7, 3], [5, 5]]
    """
    stored = torch.bincount(labels).double()
    wanted = (1 - balance) * stored + balance * (stored > 0) * (len(labels) / (stored > 0).sum())
    shown = wanted.floor().long()
    largest = (wanted - shown).argsort(descending=True, stable=True)  # remainders decide who gets the last images
    shown[largest[: len(labels) - int(shown.sum())]] += 1
    return shown


def balanced_order(labels: Tensor, balance: float, *, seed: int, epoch: int) -> EpochOrder:
    """Returns the order of an epoch that shows the classes more evenly. It is a pure function of its arguments.

    The images of a small class take turns until they are enough; of a large class each epoch shows others.

    Args:
        labels: int64 [N], on the CPU.
        balance: see `balanced_counts`.
        seed: seed of the run.
        epoch: number of the epoch, from 0.

    Returns:
        An order with M = N, on the CPU.
    """
    generator = generator_for(seed, "balance", epoch)
    classes = labels.argsort(stable=True).split(torch.bincount(labels).tolist())
    parts, repeated = [], []
    for of_class, count in zip(classes, balanced_counts(labels, balance).tolist(), strict=True):
        turns = torch.arange(count)
        parts.append(of_class[torch.randperm(len(of_class), generator=generator)][turns % max(1, len(of_class))])
        repeated.append(turns >= len(of_class))
    indices, is_repeated = torch.cat(parts), torch.cat(repeated)
    rows = torch.where(is_repeated, is_repeated.cumsum(0) - 1, indices)
    mixed = torch.randperm(len(labels), generator=generator)
    return EpochOrder(indices, is_repeated.long(), rows).at(mixed)


_KEEP_RATIO = 6
"""How many times more often an epoch shows an image with a high loss than one with a low loss."""


def max_repetitions(count: int, fraction: float) -> int:
    """Returns how many times a pruned epoch shows an image at most, in [1, 6].

    Args:
        count: number of images in the split, at least 1.
        fraction: fraction of the images that count as easy, in [0, 1).

    Example:
        >>> [max_repetitions(1000, fraction) for fraction in (0.0, 0.5, 0.65, 0.9)]
        [1, 2, 3, 4]
    """
    num_easy, num_easy_shown = _easy_counts(count, fraction)
    return -(-(count - num_easy_shown) // (count - num_easy))


def _easy_counts(count: int, fraction: float) -> tuple[int, int]:
    """Returns how many images count as easy, and how many of those an epoch shows."""
    num_easy = int(fraction * count)
    return num_easy, round(num_easy * count / (num_easy + _KEEP_RATIO * (count - num_easy)))


def pruned_order(losses: Tensor, fraction: float, *, seed: int, epoch: int) -> EpochOrder:
    """Returns the order of an epoch that shows the images with the lowest losses less often.

    Dynamic data pruning after "InfoBatch" (arXiv:2303.04947). The epoch keeps its length: images with high losses take
    the positions that become free, and each repetition has augmentation draws of its own. A pure function of its
    arguments; it never waits for a GPU.

    Args:
        losses: float [N], the latest loss of each image; infinite for an image that was not trained on yet.
        fraction: fraction of the images that count as easy, in [0, 1).
        seed: seed of the run.
        epoch: number of the epoch, from 0.

    Returns:
        An order with M = N, on the device of `losses`.
    """
    count, device = len(losses), losses.device
    generator = generator_for(seed, "pruning", epoch)

    def permutation(size: int) -> Tensor:
        drawn = torch.randperm(size, generator=generator)
        return drawn.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else drawn

    num_easy, num_easy_shown = _easy_counts(count, fraction)
    num_hard = count - num_easy
    by_loss = losses.argsort(stable=True)  # N
    slots = torch.arange(count - num_easy_shown, device=device)  # the hard images take turns in these
    hard = by_loss[num_easy:][permutation(num_hard)][slots % num_hard]
    easy = by_loss[:num_easy][permutation(num_easy)][:num_easy_shown]
    mixed = permutation(count)
    repetitions = torch.cat([torch.zeros_like(easy), slots // num_hard])
    indices = torch.cat([easy, hard])[mixed]
    return EpochOrder(indices, repetitions[mixed], rows=indices)


_PRUNE_FROM, _PRUNE_UNTIL = 0.1, 0.85
"""Fractions of the run between which epochs are pruned. Before, few images have a low loss. After, the network sees the
classes as often as they occur, so that its last running statistics are right."""


class Difficulty:
    """The latest loss of each training image, kept on the device.

    Args:
        count: number of images in the split, N.
        device: device of the batches.
        gather: returns the rows of a whole batch, [B, …], for those of one process's share and B.

    Attributes:
        epoch_losses: losses that order the current epoch, float [N]; None where the epoch shows every image once.
    """

    def __init__(
        self, count: int, device: torch.device, gather: Callable[[Tensor, int], Tensor] = lambda rows, _: rows
    ) -> None:
        self._gather = gather
        self._losses = torch.full((count,), torch.inf, device=device)  # N
        self.epoch_losses: Tensor | None = None

    def record(self, batch: Batch, logits: Tensor) -> None:
        """Stores the losses of a batch without waiting for the device.

        Args:
            batch: the batch, before the update.
            logits: float [B, C], of the batch.
        """
        losses = F.cross_entropy(logits.float(), batch.labels, reduction="none")  # B
        indices = batch.indices.to(losses.device)
        if batch.total is not None:
            indices, losses = self._gather(indices, batch.total), self._gather(losses, batch.total)
        # An image that occurs twice in a batch keeps the greater loss: a GPU writes in no fixed order.
        self._losses.scatter_reduce_(0, indices, losses, "amax", include_self=False)

    def begin_epoch(self, epoch: int, done: float) -> None:
        """Sets `epoch_losses` for the coming epoch. The first epoch is never pruned: after it every image has a loss.

        Args:
            epoch: number of the epoch, from 0.
            done: fraction of the run that is done, in [0, 1].
        """
        prunes = epoch > 0 and _PRUNE_FROM <= done < _PRUNE_UNTIL
        self.epoch_losses = self._losses.clone() if prunes else None

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns the tensors that a checkpoint stores."""
        return {"losses": self._losses} | ({} if self.epoch_losses is None else {"ranked": self.epoch_losses})

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores the tensors that `state_tensors` returned."""
        self._losses.copy_(tensors["losses"])
        self.epoch_losses = tensors["ranked"].to(self._losses.device) if "ranked" in tensors else None
