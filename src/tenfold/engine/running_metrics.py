"""Running training metrics: loss and accuracy since the last row of the log, without waiting for the device.

Shapes: B images in a batch, C classes, K steps since the last row of the log.
"""

from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tenfold.engine.distributed import ALONE, Processes
from tenfold.engine.eager import LossNotFiniteError

_COMPACT_AFTER = 1000
"""Steps whose logits are kept before they are reduced to counts; bounds the memory between two rows of the log."""


class TrainMetrics(NamedTuple):
    """Training metrics over several steps.

    Args:
        loss: mean of the steps' cross-entropies, without label smoothing. Mixed images count by their own label, which
            makes it higher than on plain images. None where a checkpoint of version 0.1 does not tell it.
        accuracy: fraction of their images predicted correctly, before each update. Mixed images count by their own
            label here too.
        objective: mean of the minimized losses where these are not the plain cross-entropy, else None.
    """

    loss: float | None
    accuracy: float
    objective: float | None = None


class RunningMetrics:
    """Collects losses, logits and labels on the device until `compute` is called.

    A loss that is not finite is found by `compute` or `state_tensors`, so before anything is saved. On a CPU the step
    itself finds it, before the update.

    Args:
        plain_loss: whether the minimized loss is not the plain cross-entropy, which is then computed from the logits.
        processes: that train the network. Each collects the logits of its own images; the others are asked by `compute`
            and `state_tensors`.
    """

    def __init__(self, *, plain_loss: bool = False, processes: Processes = ALONE) -> None:
        self.plain_loss = plain_loss
        self._processes = processes
        self._losses: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._compacted: dict[str, Tensor] = {}

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Adds one step.

        Args:
            loss: the minimized one, float [].
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
        if len(self._losses) == 1 and not self._compacted and not self.plain_loss and not self._processes.is_several:
            return self._compute_one()
        tensors = self.state_tensors()
        self._compacted = {}
        objective, num_images = float(tensors["losses"].double().mean()), int(tensors["seen"].sum())
        accuracy = int(tensors["hits"].sum()) / num_images
        if not self.plain_loss:
            return TrainMetrics(objective, accuracy)
        plain = tensors["plain"]
        return TrainMetrics(float(plain.double().mean()) if len(plain) else None, accuracy, objective)

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
            `losses` float32 [K], `hits` and `seen` int64 [parts], and where the minimized loss differs `plain`, float32
            [images], the cross-entropies: a sum of each part would round differently in a resumed run.

        Raises:
            LossNotFiniteError: when a loss was not finite; nothing of such a run must be saved.
        """
        self._compact()
        losses = self._compacted["losses"]
        finite = losses.isfinite()
        if not finite.all():
            raise LossNotFiniteError(steps_ago=len(losses) - int((~finite).int().argmax()))
        return self._of_all(self._compacted) if self._processes.is_several else dict(self._compacted)

    def _of_all(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the collected tensors of all processes; the losses are the same in each."""
        counts = torch.stack([own["hits"].sum(), own["seen"].sum()])
        self._processes.sum(counts)
        found = {"losses": own["losses"], "hits": counts[:1], "seen": counts[1:]}
        if self.plain_loss:
            by_rank = self._processes.exchange([len(own["plain"])])
            values = self._processes.gather_rows(own["plain"], [int(count) for (count,) in by_rank])
            found["plain"] = values.sort().values  # a resumed run collects them in another order
        return found

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_tensors` returned, in version 0.1 without `plain`."""
        self._compacted = dict(tensors)
        if not self._processes.is_main:  # rank 0 goes on with those of all
            self._compacted |= {name: torch.zeros_like(tensors[name]) for name in ("hits", "seen")}
            self._compacted |= {"plain": torch.zeros(0)} if self.plain_loss else {}
        if self.plain_loss:
            self._compacted.setdefault("plain", torch.zeros(0))

    def _compact(self) -> None:
        """Reduces the collected steps to losses, hits and number of images, still on the device."""
        if not self._losses:
            self._compacted = self._compacted or self._no_steps()
            return
        logits, labels = torch.cat(self._logits), torch.cat(self._labels)
        hits = (logits.argmax(1) == labels).sum()[None]
        new = {
            "losses": torch.stack(self._losses).float(),
            "hits": hits,
            "seen": torch.full_like(hits, len(labels)),
        }
        if self.plain_loss:
            new["plain"] = F.cross_entropy(logits.float(), labels, reduction="none")
        previous = self._compacted
        self._compacted = {
            name: torch.cat([previous[name].to(value.device), value]) if previous else value
            for name, value in new.items()
        }
        self._losses, self._logits, self._labels = [], [], []

    def _no_steps(self) -> dict[str, Tensor]:
        counts = torch.zeros(0, dtype=torch.int64)
        plain = {"plain": torch.zeros(0)} if self.plain_loss else {}
        return {"losses": torch.zeros(0), "hits": counts, "seen": counts, **plain}
