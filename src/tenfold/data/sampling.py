"""Which training images an epoch shows, and in which order: shuffling, and pruning by loss.

Shapes: N images of the split, M images that an epoch shows, B images in a batch, C classes.
"""

from collections.abc import Mapping
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
    """

    indices: Tensor
    repetitions: Tensor


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

    @property
    def num_batches(self) -> int:
        """Number of batches in an epoch, at least 1."""
        full, rest = divmod(self.count, self.batch_size)
        return max(1, full + bool(rest and not self.drop_last))

    def indices(self, epoch: int) -> Tensor:
        """Returns the image indices of an epoch in order, int64 [M] with M at most N, on the CPU."""
        num_used = min(self.count, self.num_batches * self.batch_size)
        if not self.shuffle and not self.shuffle_once:
            return torch.arange(num_used)
        purpose = ("order", epoch) if self.shuffle else ("order",)
        return torch.randperm(self.count, generator=generator_for(self.seed, *purpose))[:num_used]


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
    return EpochOrder(torch.cat([easy, hard])[mixed], repetitions[mixed])


_PRUNE_FROM, _PRUNE_UNTIL = 0.1, 0.85
"""Fractions of the run between which epochs are pruned. Before, few images have a low loss. After, the network sees the
classes as often as they occur, so that its last running statistics are right."""


class Difficulty:
    """The latest loss of each training image, kept on the device.

    Args:
        count: number of images in the split, N.
        device: device of the batches.

    Attributes:
        epoch_losses: losses that order the current epoch, float [N]; None where the epoch shows every image once.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self._losses = torch.full((count,), torch.inf, device=device)  # N
        self.epoch_losses: Tensor | None = None

    def record(self, batch: Batch, logits: Tensor) -> None:
        """Stores the losses of a batch without waiting for the device.

        Args:
            batch: the batch, before the update.
            logits: float [B, C], of the batch.
        """
        losses = F.cross_entropy(logits.float(), batch.labels, reduction="none")  # B
        # An image that occurs twice in a batch keeps the greater loss: a GPU writes in no fixed order.
        self._losses.scatter_reduce_(0, batch.indices.to(losses.device), losses, "amax", include_self=False)

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
