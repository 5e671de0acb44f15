"""The training step where a batch is more than one pass: shared by several processes, in micro-batches, or clipped.

Each process adds up the gradients of its rows of the batch's mean loss, and the gradients of all processes are summed:
the update is that of one process with the whole batch, within rounding.

Shapes: B images of a batch of all processes, b of this one, C classes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import clip_grad_norm_

from tenfold.data.share import Share
from tenfold.data.types import Batch, Mixture
from tenfold.engine.distributed import ALONE, Processes
from tenfold.engine.eager import EagerStep, LossNotFiniteError
from tenfold.engine.gradient_sums import BucketedSums, FlatSums
from tenfold.engine.synchronized_norm import SynchronizedNorms


class SharedStep(EagerStep):
    """Forward, loss and backward for each micro-batch, then the sum over all processes and the update.

    Args:
        *step: see `EagerStep`.
        share: which rows of a batch this process trains, and its micro-batches.
        processes: that train the network.
        norms: synchronizes batch norms, see `SynchronizedNorms`; None where each process normalizes its own rows.
        clip_norm: largest norm of all gradients together; 0 for any.
        buckets: whether gradients are added up while the backward pass goes on; see `BucketedSums`.
        **settings: see `EagerStep`.
    """

    def __init__(
        self,
        *step: Any,
        share: Share,
        processes: Processes = ALONE,
        norms: SynchronizedNorms | None = None,
        clip_norm: float = 0.0,
        buckets: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(*step, **settings)
        self._share, self._processes, self._norms, self._clip_norm = share, processes, norms, clip_norm
        self._weights = [weight for weight in self._model.parameters() if weight.requires_grad]
        self._local = [] if norms is not None else _norms_with_statistics(self._model)
        self._sums: FlatSums | BucketedSums | None = None
        if processes.is_several:
            self._sums = BucketedSums(self._model, processes) if buckets else FlatSums(self._weights, processes)
        if isinstance(self._sums, BucketedSums):
            self._model = self._sums.model

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean loss of all B images, float [], and the logits of this process's, float [b, C].

        Raises:
            LossNotFiniteError: when the loss is not finite and the device is a CPU; no weight has changed.
        """
        total = batch.total or len(batch.images)
        losses, logits, first = [], [], 0
        by_micro_batch = self._share.counts(total)
        for number, counts in enumerate(by_micro_batch, start=1):
            count = counts[self._share.rank]
            is_last = number == len(by_micro_batch)
            with nullcontext() if self._sums is None or is_last else self._sums.paused():
                loss, found = self._pass(_rows(batch, first, first + count), counts, total)
            losses.append(loss)
            logits.append(found)
            first += count
        loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        if self._sums is not None:
            loss = self._sums(loss)
        if self._on_cpu and not isfinite(loss.item()):
            raise LossNotFiniteError(steps_ago=0)
        if self._clip_norm:
            clip_grad_norm_(self._weights, self._clip_norm)
        self._optimizer.step()
        if self._local and self._sums is not None:
            self._average_statistics(by_micro_batch)
        return loss, logits[0] if len(logits) == 1 else torch.cat(logits)

    def _pass(self, batch: Batch, counts: Sequence[int], total: int) -> tuple[Tensor, Tensor]:
        """Adds the gradients of some rows; returns their part of the mean loss, float [], and their logits."""
        count = len(batch.images)
        if self._norms is not None:
            self._norms.counts = counts
        # A process without a row goes along with one that does not count: the others wait for its part of the norms.
        with nullcontext() if count else _frozen(self._local):
            loss, logits = self._forward(batch if count else _placeholder(batch))
        loss = loss * (count / total)
        loss.backward()
        return loss.detach(), logits.detach()[:count]

    @torch.no_grad()
    def _average_statistics(self, counts: Sequence[Sequence[int]]) -> None:
        """Gives the batch norms of all processes the mean of their running statistics."""
        took_part = [any(column) for column in zip(*counts, strict=True)]
        tensors = [tensor for norm in self._local for tensor in (norm.running_mean, norm.running_var)]
        flat = torch.cat([tensor.flatten() for tensor in tensors if tensor is not None])
        flat *= took_part[self._share.rank] / sum(took_part)
        self._processes.sum(flat)
        for tensor in tensors:
            if tensor is not None:
                tensor.copy_(flat[: tensor.numel()])
                flat = flat[tensor.numel() :]


def _norms_with_statistics(model: nn.Module) -> list[_BatchNorm]:
    """Returns the batch norms that update running statistics."""
    norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    return [norm for norm in norms if norm.training and norm.running_mean is not None]


@contextmanager
def _frozen(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Lets batch norms leave their running statistics as they are; they count the batch, as those of others do."""
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(1)


def _rows(batch: Batch, first: int, last: int) -> Batch:
    """Returns some rows of a batch."""
    if first == 0 and last == len(batch.images):
        return batch
    mixture = batch.mixture and Mixture(*(tensor[first:last] for tensor in batch.mixture))
    return Batch(batch.images[first:last], batch.labels[first:last], batch.indices[first:last], mixture)


def _placeholder(batch: Batch) -> Batch:
    """Returns a batch of one black image, for a process without a row."""
    return Batch(batch.images.new_zeros(1, *batch.images.shape[1:]), batch.labels.new_zeros(1), batch.indices)
