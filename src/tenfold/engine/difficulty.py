"""How well each training picture was classified when it was last seen, for data pruning.

Shapes: N pictures of the split, B pictures of the batch, C classes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from tenfold.data.types import Batch

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
