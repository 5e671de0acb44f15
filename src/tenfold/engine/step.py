"""Steps of training, and what is remembered of them.

Shapes: B pictures of the batch, C classes, K steps since the last row of the log.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from tenfold.data.sampling import Difficulty
from tenfold.data.types import Batch
from tenfold.engine.eager import LossNotFiniteError

_COMPACT_AFTER = 1000
"""Steps whose logits are kept before they are reduced to counts; bounds the memory between two rows of the log."""


class Tally(NamedTuple):
    """What the steps since the last row of the log add up to.

    Args:
        loss: mean of their losses.
        accuracy: share of their pictures classified rightly, before each update; where pictures are mixed, by
            their own label, which makes it lower than on plain pictures.
    """

    loss: float
    accuracy: float


class Step:
    """Takes steps, and remembers their losses and hits on the device until somebody asks.

    Nothing in a step waits for the device. A loss that is not finite is found when the log asks, before anything
    is saved; on a CPU, where asking is free, at once and before the update.

    Args:
        learn: takes a step and returns its loss, float [], and logits, float [B, C].
        difficulty: takes down what became of each picture, where pictures are pruned.
    """

    def __init__(self, learn: Callable[[Batch], tuple[Tensor, Tensor]], difficulty: Difficulty | None = None) -> None:
        self._learn = learn
        self._difficulty = difficulty
        self._losses: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._tallied: dict[str, Tensor] = {}

    def __call__(self, batch: Batch) -> None:
        """Learns from one batch.

        Raises:
            LossNotFiniteError: when the loss is not finite and the device is a CPU; no weight was changed.
        """
        loss, logits = self._learn(batch)
        self._losses.append(loss)
        self._logits.append(logits)
        self._labels.append(batch.labels)
        if self._difficulty is not None:
            self._difficulty.record(batch, logits)
        if len(self._losses) >= _COMPACT_AFTER:
            self._compact()

    def tally(self) -> Tally:
        """Returns what the steps since the last call add up to, and forgets them.

        Raises:
            LossNotFiniteError: when a loss was not finite.
        """
        if len(self._losses) == 1 and not self._tallied:
            return self._tally_one()
        tensors = self.state_tensors()
        self._tallied = {}
        losses, hits, seen = tensors["losses"], tensors["hits"], tensors["seen"]
        return Tally(float(losses.double().mean()), int(hits.sum()) / int(seen.sum()))

    def _tally_one(self) -> Tally:
        """Does the same for a single step, which takes a third of the time: a log may ask after each."""
        loss, labels = float(self._losses[0].float()), self._labels[0]
        if not isfinite(loss):
            raise LossNotFiniteError(steps_ago=1)
        hits = int((self._logits[0].argmax(1) == labels).sum())
        self._losses, self._logits, self._labels = [], [], []
        return Tally(loss, hits / len(labels))

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns what has been remembered since the last row of the log, so that a checkpoint can hold it.

        Returns:
            `losses` float32 [K], `hits` and `seen` int64 [parts].

        Raises:
            LossNotFiniteError: when a loss was not finite; nothing of such a run is to be saved.
        """
        self._compact()
        losses = self._tallied["losses"]
        finite = losses.isfinite()
        if not finite.all():
            raise LossNotFiniteError(steps_ago=len(losses) - int((~finite).int().argmax()))
        return dict(self._tallied)

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_tensors` returned."""
        self._tallied = dict(tensors)

    def _compact(self) -> None:
        """Reduces the remembered steps to their losses, hits and number of pictures, still on the device."""
        if not self._losses:
            self._tallied = self._tallied or _no_steps()
            return
        labels = torch.cat(self._labels)
        hits = (torch.cat(self._logits).argmax(1) == labels).sum()[None]
        fresh = {
            "losses": torch.stack(self._losses).float(),
            "hits": hits,
            "seen": torch.full_like(hits, len(labels)),
        }
        former = self._tallied
        self._tallied = {
            name: torch.cat([former[name].to(value.device), value]) if former else value
            for name, value in fresh.items()
        }
        self._losses, self._logits, self._labels = [], [], []


def _no_steps() -> dict[str, Tensor]:
    counts = torch.zeros(0, dtype=torch.int64)
    return {"losses": torch.zeros(0), "hits": counts, "seen": counts}
