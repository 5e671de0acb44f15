"""The training step as one CUDA graph: captured once, replayed without Python or the driver in between.

https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tenfold.data.types import Batch
from tenfold.engine.eager import EagerStep
from tenfold.engine.precision import Hardware
from tenfold.optim.build import CombinedOptimizer

_WARM_UP_STEPS = 3
"""Steps before the capture, in which libraries choose their kernels and allocate their memory."""


def unsupported_reason(optimizer: CombinedOptimizer, hardware: Hardware) -> str | None:
    """Returns why a training step cannot be captured as a CUDA graph, or None where it can."""
    if hardware.device.type != "cuda":
        return f"it runs on {hardware.device.type}, and CUDA graphs need a CUDA GPU"
    if not all(rule.capturable for rule in optimizer.rules):
        return "its optimizer is neither SGD nor Muon"
    return None


class GraphedStep:
    """A training step that replays a captured graph. Batches of another shape and mixed ones run eagerly.

    Args:
        eager: the step to capture.
        model: that the step trains.
        optimizer: that the step uses; its learning rates move to the device.
        batches: one for each shape to capture; the warm-up trains on them, and is undone.
    """

    def __init__(
        self, eager: EagerStep, model: nn.Module, optimizer: CombinedOptimizer, batches: Sequence[Batch]
    ) -> None:
        for rule in optimizer.rules:
            rule.move_lr_to_device()
        self._eager = eager
        with _state_restored(model, optimizer, batches[0].images.device):
            self._captured = {batch.images.shape: _Captured(eager, batch) for batch in batches}

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the loss, float [], and the logits, float [B, C]."""
        captured = self._captured.get(batch.images.shape) if batch.mixture is None else None
        return self._eager(batch) if captured is None else captured(batch)


class _Captured:
    """The graph of a step for batches of one shape, with the tensors that it reads and writes."""

    def __init__(self, eager: EagerStep, batch: Batch) -> None:
        self._batch = batch._replace(images=batch.images.clone(), labels=batch.labels.clone(), mixture=None)
        self._graph = torch.cuda.CUDAGraph()
        _on_side_stream(lambda: eager(self._batch), batch.images.device)
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):  # a thread may draw the next epoch
            self._loss, self._logits = eager(self._batch)

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self._batch.images.copy_(batch.images)
        self._batch.labels.copy_(batch.labels)
        self._graph.replay()
        return self._loss.clone(), self._logits.clone()  # the next replay overwrites the captured tensors


def warm_up(step: EagerStep, model: nn.Module, optimizer: CombinedOptimizer, batches: Sequence[Batch]) -> None:
    """Runs a step once for each batch, so that everything is compiled, and undoes it; arguments as above."""
    with _state_restored(model, optimizer, batches[0].images.device):
        for batch in batches:
            step(batch)


def _on_side_stream(step: Callable[[], object], device: torch.device) -> None:
    """Warms up on a side stream, which a capture requires."""
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP_STEPS):
            step()
    torch.cuda.current_stream(device).wait_stream(side)


@contextmanager
def _state_restored(model: nn.Module, optimizer: CombinedOptimizer, device: torch.device) -> Iterator[None]:
    """Restores weights, buffers, optimizer state and random generator at the end, in place."""
    tensors = [*model.parameters(), *model.buffers(), *optimizer.state_tensors().values()]
    previous = [tensor.detach().clone() for tensor in tensors]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
    with torch.no_grad():
        for tensor, value in zip(tensors, previous, strict=True):
            tensor.copy_(value)
