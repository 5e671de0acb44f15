"""Batch norm over the rows of all processes: forward and backward pass give what one process would.

`torch.nn.SyncBatchNorm` needs GPUs, and would change the network that is saved. Here only the forward pass is replaced,
and only in a training step. The moments are combined as in T. F. Chan et al., "Updating formulae and a pairwise
algorithm for computing sample variances" (1979).

Shapes: b rows of this process, C channels, W processes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from tenfold.engine.distributed import Processes
from tenfold.models.blocks import BatchNorm

_PLAIN = (_BatchNorm.forward, BatchNorm.forward)
"""Forward passes that are batch norm and nothing else; timm has classes that add an activation."""


class SynchronizedNorms:
    """The forward passes of batch norms over the rows of all processes.

    Args:
        model: its batch norms are synchronized where they use the statistics of a batch.
        processes: that train it.

    Attributes:
        counts: number of rows of each process in the coming forward pass; one with none has a row that does not count.
        forwards: the forward pass of each layer; see `ReplacedForwards`.
    """

    def __init__(self, model: nn.Module, processes: Processes) -> None:
        self.counts: Sequence[int] = ()
        self._processes = processes
        layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
        self.forwards: dict[nn.Module, Callable[..., Tensor]] = {
            layer: partial(self._forward, layer) for layer in layers
        }

    def _forward(self, layer: _BatchNorm, features: Tensor, *rest: Any) -> Tensor:
        own_rows = max(1, self.counts[self._processes.world.rank])
        values_per_row = features.numel() // layer.num_features // own_rows
        uses_batch = layer.training or layer.running_mean is None
        if not uses_batch or sum(self.counts) * values_per_row == 1:  # the layer knows what to do with a single value
            return type(layer).forward(layer, features, *rest)
        normalized = partial(self._normalized, layer, values_per_row, layer.training)
        if type(layer).forward in _PLAIN:
            return normalized(features)
        with _other_batch_norm(layer, normalized):
            return type(layer).forward(layer, features, *rest)

    def _normalized(self, layer: _BatchNorm, values_per_row: int, training: bool, features: Tensor) -> Tensor:
        """Returns normalized features, and updates the running statistics as PyTorch does."""
        counts = tuple(count * values_per_row for count in self.counts)
        result: Tensor
        result, mean, variance = _Normalize.apply(  # type: ignore[no-untyped-call]
            features, layer.weight, layer.bias, layer.eps, counts, self._processes
        )
        if training and layer.running_mean is not None:
            _update_running_statistics(layer, mean, variance, sum(counts))
        return result


@contextmanager
def _other_batch_norm(layer: _BatchNorm, normalized: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Lets a layer with a forward pass of its own call `normalized` instead of PyTorch's batch norm.

    Its mode is that of evaluation meanwhile: a layer with a rule for a single value does not know of other processes.
    """
    mode, original = layer.training, F.batch_norm
    layer.training, F.batch_norm = False, lambda features, *_, **__: normalized(features)
    try:
        yield
    finally:
        layer.training, F.batch_norm = mode, original


@torch.no_grad()
def _update_running_statistics(layer: _BatchNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    """Updates the running statistics with those of a batch that has `count` values per channel."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    momentum = mean.new_full((), layer.momentum or 0.0)
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        if layer.momentum is None:  # the mean of all batches
            momentum = (1 / layer.num_batches_tracked.double()).to(mean.dtype)
    layer.running_mean.lerp_(mean, momentum)
    layer.running_var.lerp_(variance * (count / (count - 1)), momentum)


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        epsilon: float,
        counts: tuple[int, ...],
        processes: Processes,
    ) -> tuple[Tensor, Tensor, Tensor]:
        own = torch.stack(_moments(features))  # 2 C
        means, variances = processes.gather(own).double().unbind(1)  # W C each
        fractions = _fractions(counts, features.device)  # W 1
        mean = (fractions * means).sum(0)
        variance = (fractions * (variances + (means - mean).square())).sum(0)
        mean, variance = mean.to(own.dtype), variance.to(own.dtype)
        ctx.epsilon, ctx.counts, ctx.processes = epsilon, counts, processes
        ctx.save_for_backward(features, weight, mean, variance)
        ctx.mark_non_differentiable(mean, variance)
        result = torch.batch_norm(features, weight, bias, mean, variance, False, 0.0, epsilon, False)
        return result, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, mean, variance = ctx.saved_tensors
        # As if the statistics were constants; the sums are those of the scale's and the offset's gradients.
        direct, scale_sum, offset_sum = torch.ops.aten.native_batch_norm_backward(
            gradient, features, weight, mean, variance, None, None, False, ctx.epsilon, [True, True, True]
        )
        of_layer = (scale_sum, offset_sum) if weight is not None else (None, None)
        sums = ctx.processes.gather(torch.stack([scale_sum, offset_sum])).double().sum(0) / sum(ctx.counts)
        if not ctx.counts[ctx.processes.world.rank]:
            return torch.zeros_like(features), *of_layer, None, None, None
        factor = -(variance.double() + ctx.epsilon).rsqrt()
        if weight is not None:
            factor = factor * weight
        scale, offset = (factor * sums).to(mean.dtype)
        through = torch.batch_norm(features, scale, offset, mean, variance, False, 0.0, ctx.epsilon, False)
        return through.add_(direct), *of_layer, None, None, None


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and variance of each channel, [C] each, in float32 or better."""
    zeros = None
    if features.dtype in (torch.bfloat16, torch.float16):
        zeros = features.new_zeros(features.shape[1], dtype=torch.float32)
    mean, variance = torch.batch_norm_update_stats(features, zeros, zeros, 0.0)
    return mean, variance


@cache
def _fractions(counts: tuple[int, ...], device: torch.device) -> Tensor:
    """Returns the fraction of the values that each process has, float64 [W, 1]."""
    values = torch.tensor(counts, dtype=torch.float64)[:, None]
    return (values / values.sum()).to(device)
