"""A whole training step as one CUDA graph: recorded once, replayed without Python or the driver in between.

https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tenfold.data.types import Batch
from tenfold.engine.eager import Eager
from tenfold.engine.precision import Hardware
from tenfold.optim.build import CombinedOptimizer

_WARM_UP = 3
"""Steps before the recording: libraries choose their kernels and claim their memory in these."""


def why_not(optimizer: CombinedOptimizer, hardware: Hardware) -> str | None:
    """Returns what keeps a training from being recorded, or None where nothing does."""
    if hardware.device.type != "cuda":
        return f"it computes on {hardware.device.type}, and CUDA graphs need a CUDA GPU"
    if not all(rule.reads_lr_on_device for rule in optimizer.rules):
        return "its optimiser is none of SGD and Muon"
    return None


class GraphedStep:
    """Learns from one batch by replaying a recorded step; batches of another shape, and mixed ones, go step by step.

    Args:
        eager: the step to record.
        model: that it trains.
        optimizer: that it updates with; its learning rates move to the device.
        batch: of the shape that is to come; the warm-up learns from it, and is undone.
    """

    def __init__(self, eager: Eager, model: nn.Module, optimizer: CombinedOptimizer, batch: Batch) -> None:
        for rule in optimizer.rules:
            rule.keep_lr_on_device()
        self._eager = eager
        self._batch = batch._replace(images=batch.images.clone(), labels=batch.labels.clone(), mixture=None)
        self._graph = torch.cuda.CUDAGraph()
        with _undone(model, optimizer, batch.images.device):
            _on_side_stream(lambda: eager(self._batch), batch.images.device)
            with torch.cuda.graph(self._graph):
                self._loss, self._logits = eager(self._batch)

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the loss, float [], and the logits, float [B, C]."""
        if batch.mixture is not None or batch.images.shape != self._batch.images.shape:
            return self._eager(batch)
        self._batch.images.copy_(batch.images)
        self._batch.labels.copy_(batch.labels)
        self._graph.replay()
        return self._loss.clone(), self._logits.clone()  # the next replay overwrites the recorded ones


def _on_side_stream(step: Callable[[], object], device: torch.device) -> None:
    """Warms up away from the main stream, as recording demands."""
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            step()
    torch.cuda.current_stream(device).wait_stream(side)


@contextmanager
def _undone(model: nn.Module, optimizer: CombinedOptimizer, device: torch.device) -> Iterator[None]:
    """Puts weights, buffers, the optimiser's memory and the random generator back as they were, in their places."""
    tensors = [*model.parameters(), *model.buffers(), *optimizer.state_tensors().values()]
    former = [tensor.detach().clone() for tensor in tensors]
    with torch.random.fork_rng(devices=[device]):
        yield
    with torch.no_grad():
        for tensor, value in zip(tensors, former, strict=True):
            tensor.copy_(value)
