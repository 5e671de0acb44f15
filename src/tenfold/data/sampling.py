"""Dynamic data pruning: pictures that are learnt already give way to those that are not.

After "InfoBatch" (arXiv:2303.04947) and its forerunners. An epoch stays as long as it is: the pictures with the lowest
losses are shown less often, and the time that they leave goes to the others, each showing changed by draws of its own.

Shapes: N pictures of the split.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from tenfold.core.randomness import generator_for
from tenfold.data.types import Batch

RARER = 6
"""How many times more often a picture is shown that is not among the learnt ones."""


def most_showings(count: int, share: float) -> int:
    """Returns how often an epoch shows a picture at most, in [1, 6].

    Args:
        count: pictures of the split, at least 1.
        share: of them that count as learnt, in [0, 1).

    Example:
        >>> [most_showings(1000, share) for share in (0.0, 0.5, 0.65, 0.9)]
        [1, 2, 3, 4]
    """
    learnt, shown = _learnt(count, share)
    return -(-(count - shown) // (count - learnt))


def _learnt(count: int, share: float) -> tuple[int, int]:
    """Returns how many pictures count as learnt, and how many of those an epoch shows."""
    learnt = int(share * count)
    return learnt, round(learnt * count / (learnt + RARER * (count - learnt)))


def pruned_order(losses: Tensor, share: float, *, seed: int, epoch: int) -> Tensor:
    """Returns the order of an epoch in which the share of the pictures with the lowest losses is shown more rarely.

    A pure function of its arguments; nothing in it waits for a GPU.

    Args:
        losses: float [N], of each picture when it was last seen; infinite for one that was not.
        share: of the pictures that count as learnt, in [0, 1).
        seed: of the run.
        epoch: number of the epoch, from 0.

    Returns:
        int64 [N] on the device of `losses`: a picture's place, plus N for each time that it was shown before.
    """
    count, device = len(losses), losses.device
    generator = generator_for(seed, "pruning", epoch)

    def shuffled(values: Tensor) -> Tensor:
        return values[torch.randperm(len(values), generator=generator).to(device)]

    learnt, shown = _learnt(count, share)
    places = losses.argsort(stable=True)
    turns = torch.arange(count - shown, device=device)
    others = shuffled(places[learnt:])[turns % (count - learnt)] + turns // (count - learnt) * count
    return shuffled(torch.cat([shuffled(places[:learnt])[:shown], others]))  # N


_FROM, _UNTIL = 0.1, 0.85
"""Shares of the run between which pictures are pruned: before it few are learnt; after it the network sees the classes
as often as they are, which its last statistics should rest on."""


class Difficulty:
    """The latest loss of each training picture, kept on the device.

    Args:
        count: pictures in the split.
        device: where batches are.

    Attributes:
        ranked: losses that the present epoch is ordered by, float [N]; None where it shows every picture once.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self._losses = torch.full((count,), torch.inf, device=device)  # N
        self.ranked: Tensor | None = None

    def record(self, batch: Batch, logits: Tensor) -> None:
        """Takes down the losses of a batch, for its logits, float [B, C], before the update; waits for nothing."""
        losses = F.cross_entropy(logits.float(), batch.labels, reduction="none")  # B
        # Of a picture that is shown twice in a batch the greater one, whatever the order in which a GPU writes them.
        self._losses.scatter_reduce_(0, batch.indices.to(losses.device), losses, "amax", include_self=False)

    def begin_epoch(self, epoch: int, done: float) -> None:
        """Decides by what the coming epoch is ordered; each picture has been seen once after the first.

        Args:
            epoch: its number, from 0.
            done: share of the run that is done.
        """
        prunes = epoch > 0 and _FROM <= done < _UNTIL
        self.ranked = self._losses.clone() if prunes else None

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns what a checkpoint must hold."""
        return {"losses": self._losses} | ({} if self.ranked is None else {"ranked": self.ranked})

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_tensors` returned."""
        self._losses.copy_(tensors["losses"])
        self.ranked = tensors["ranked"].to(self._losses.device) if "ranked" in tensors else None
