"""Running training metrics: loss and accuracy since the last row of the log, without waiting for the device.

Shapes: B images in a batch, C classes, K steps since the last row of the log.
"""

from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from tenfold.engine.eager import LossNotFiniteError

_COMPACT_AFTER = 1000
"""Steps whose logits are kept before they are reduced to counts; bounds the memory between two rows of the log."""


class TrainMetrics(NamedTuple):
    """Training metrics over several steps.

    Args:
        loss: mean of the steps' losses.
        accuracy: fraction of their images predicted correctly, before each update. Mixed images count by their own
            label, which makes it lower than on plain images.
    """

    loss: float
    accuracy: float


class RunningMetrics:
    """Collects losses, logits and labels on the device until `compute` is called.

    A loss that is not finite is found by `compute` or `state_tensors`, so before anything is saved. On a CPU the step
    itself finds it, before the update.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._compacted: dict[str, Tensor] = {}

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Adds one step.

        Args:
            loss: float [].
            logits: float [B, C].
            labels: int64 [B].
        """
        self._losses.append(loss)
        self._logits.append(logits)
        self._labels.append(labels)
        if len(self._losses) >= _COMPACT_AFTER:
            self._compact()

    def compute(self) -> TrainMetrics:
        """Returns the metrics of all steps since the last call and resets them.

        Raises:
            LossNotFiniteError: when a loss was not finite.
        """
        if len(self._losses) == 1 and not self._compacted:
            return self._compute_one()
        tensors = self.state_tensors()
        self._compacted = {}
        losses, hits, seen = tensors["losses"], tensors["hits"], tensors["seen"]
        return TrainMetrics(float(losses.double().mean()), int(hits.sum()) / int(seen.sum()))

    def _compute_one(self) -> TrainMetrics:
        """Computes the metrics of a single step, in a third of the time: the log may ask after each step."""
        loss, labels = float(self._losses[0].float()), self._labels[0]
        if not isfinite(loss):
            raise LossNotFiniteError(steps_ago=1)
        hits = int((self._logits[0].argmax(1) == labels).sum())
        self._losses, self._logits, self._labels = [], [], []
        return TrainMetrics(loss, hits / len(labels))

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns what a checkpoint stores of the steps since the last row of the log.

        Returns:
            `losses` float32 [K], `hits` and `seen` int64 [parts].

        Raises:
            LossNotFiniteError: when a loss was not finite; nothing of such a run must be saved.
        """
        self._compact()
        losses = self._compacted["losses"]
        finite = losses.isfinite()
        if not finite.all():
            raise LossNotFiniteError(steps_ago=len(losses) - int((~finite).int().argmax()))
        return dict(self._compacted)

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_tensors` returned."""
        self._compacted = dict(tensors)

    def _compact(self) -> None:
        """Reduces the collected steps to losses, hits and number of images, still on the device."""
        if not self._losses:
            self._compacted = self._compacted or _no_steps()
            return
        labels = torch.cat(self._labels)
        hits = (torch.cat(self._logits).argmax(1) == labels).sum()[None]
        new = {
            "losses": torch.stack(self._losses).float(),
            "hits": hits,
            "seen": torch.full_like(hits, len(labels)),
        }
        previous = self._compacted
        self._compacted = {
            name: torch.cat([previous[name].to(value.device), value]) if previous else value
            for name, value in new.items()
        }
        self._losses, self._logits, self._labels = [], [], []


def _no_steps() -> dict[str, Tensor]:
    counts = torch.zeros(0, dtype=torch.int64)
    return {"losses": torch.zeros(0), "hits": counts, "seen": counts}
