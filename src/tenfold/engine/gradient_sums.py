"""Two ways to add up the gradients of all processes: in one message, or in parts while the backward pass goes on."""

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tenfold.engine.distributed import Processes


class FlatSums:
    """Adds up the gradients of all processes in one message after the backward pass.

    Args:
        weights: trainable, on their device.
        processes: that train them.
    """

    def __init__(self, weights: Sequence[nn.Parameter], processes: Processes) -> None:
        self._weights, self._processes = weights, processes
        self._buffers: list[Tensor] = []
        self._views: dict[nn.Parameter, Tensor] = {}
        extra = len(weights) + 1  # whether each weight has a gradient, and the loss
        for dtype in dict.fromkeys(weight.dtype for weight in weights):
            of_dtype = [weight for weight in weights if weight.dtype == dtype]
            size = sum(weight.numel() for weight in of_dtype) + extra * (not self._buffers)
            buffer = torch.zeros(size, dtype=dtype, device=weights[0].device)
            start = 0
            for weight in of_dtype:  # with the memory layout of the weight, so that nothing is reordered
                self._views[weight] = torch.as_strided(buffer, weight.size(), weight.stride(), start)
                start += weight.numel()
            self._buffers.append(buffer)
        self._flags = self._buffers[0][-extra:-1]

    @torch.no_grad()
    def __call__(self, loss: Tensor) -> Tensor:
        """Replaces the gradient of each weight by the sum over all processes; returns the sum of `loss`, float [].

        A weight without a gradient on any process keeps none. Where another process has one, it gets that: a network
        may choose between its layers at random.
        """
        gradients = {weight: weight.grad for weight in self._weights if weight.grad is not None}
        torch._foreach_copy_([self._views[weight] for weight in gradients], list(gradients.values()))
        self._flags.fill_(1)
        used = [float(weight in gradients) for weight in self._weights]
        for index, weight in enumerate(self._weights):
            if weight not in gradients:
                self._views[weight].zero_()
                self._flags[index] = 0
        self._buffers[0][-1] = loss
        for buffer in self._buffers:
            self._processes.sum(buffer)
        if not all(used):  # only then is a GPU waited for
            used = self._flags.tolist()
        for weight, is_used in zip(self._weights, used, strict=True):
            weight.grad = self._views[weight] if is_used else None
        return self._buffers[0][-1].clone()

    def paused(self) -> AbstractContextManager[object]:
        """Returns a context for a backward pass that others follow; nothing is sent before they are done anyway."""
        return nullcontext()


class BucketedSums:
    """Adds up the gradients of all processes while the backward pass goes on, by DistributedDataParallel.

    Args:
        model: on its device.
        processes: that train it.

    Attributes:
        model: the network whose backward pass sends gradients; its weights are those of `model`.
    """

    def __init__(self, model: nn.Module, processes: Processes) -> None:
        self._processes = processes
        with warnings.catch_warnings():  # PyTorch 2.13 has another name for it, which older versions do not know
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            self.model = DistributedDataParallel(model, broadcast_buffers=False)
        self.model.register_comm_hook(None, _summed)

    @torch.no_grad()
    def __call__(self, loss: Tensor) -> Tensor:
        """Returns the sum of `loss`, float []; the gradients are summed already."""
        total = loss.clone()
        self._processes.sum(total)
        return total

    def paused(self) -> AbstractContextManager[Any]:
        """Returns a context for a forward and a backward pass that others follow: gradients are kept, not sent."""
        return self.model.no_sync()


def _summed(_: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
    """Adds up a part of the gradients; DistributedDataParallel by itself would divide by the number of processes."""
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None
    summed: torch.futures.Future[Tensor] = work.get_future().then(lambda future: future.value()[0])
    return summed
