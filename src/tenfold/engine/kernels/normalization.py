"""Max-pooling, batch normalization and GELU as one operation, and GELU alone, on CPUs with AVX-512 BF16.

The kernels are in `cpp/batch_norm_gelu.cpp`.

Shapes: B images, C channels, H×W pixels.
"""

from typing import Any, cast

import torch
from torch import Tensor

from tenfold.engine.kernels.programs import Workspace, channels_last
from tenfold.models.blocks import BatchNorm


def norm_gelu(workspace: Workspace, features: Tensor, norm: BatchNorm, *, pool: bool) -> Tensor:
    """Returns GELU(norm(features)), or GELU(norm(max_pool2d(features, 2))) with `pool`. It is differentiable.

    The running statistics of `norm` are updated as PyTorch updates them.

    Args:
        workspace: see `Workspace`.
        features: bfloat16 [B, C, H, W]; see `norm_fits`.
        norm: in training mode; see `norm_fits`.
        pool: whether 2×2 max-pooling comes first.

    Returns:
        bfloat16 [B, C, H, W], or [B, C, H // 2, W // 2] with `pool`; channels last.
    """
    outputs: tuple[Tensor, Tensor, Tensor] = _NormGelu.apply(  # type: ignore[no-untyped-call]
        workspace, channels_last(features), norm.bias, norm.eps, pool
    )
    result, mean, inverse_std = outputs
    _update_running_statistics(norm, mean, inverse_std, result.numel() // norm.num_features)
    return result


def norm_fits(features: Tensor, norm: BatchNorm, *, pool: bool) -> bool:
    """Returns whether `norm_gelu` supports these arguments. The scale of `norm` must be 1 and not trained."""
    side = 2 if pool else 1
    count = len(features) * (features.shape[2] // side) * (features.shape[3] // side)
    return (
        features.dtype == torch.bfloat16
        and norm.num_features % 16 == 0
        and count > 1
        and norm.training
        and norm.momentum is not None
        and norm.track_running_stats
        and not norm.weight.requires_grad
        and bool((norm.weight == 1).all())
    )


@torch.no_grad()
def _update_running_statistics(norm: BatchNorm, mean: Tensor, inverse_std: Tensor, count: int) -> None:
    """Updates the running statistics as PyTorch does.

    Args:
        norm: whose statistics are updated.
        mean: mean of the batch, float32 [C].
        inverse_std: 1 / √(variance + eps) of the batch, float32 [C].
        count: number of values per channel.
    """
    momentum = cast(float, norm.momentum)
    cast(Tensor, norm.num_batches_tracked).add_(1)
    cast(Tensor, norm.running_mean).lerp_(mean, momentum)
    cast(Tensor, norm.running_var).lerp_((inverse_std**-2 - norm.eps) * (count / (count - 1)), momentum)


class _NormGelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, workspace: Workspace, features: Tensor, bias: Tensor, epsilon: float, pool: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        count, channels, height, width = features.shape
        size = (count, channels, height // 2, width // 2) if pool else tuple(features.shape)
        result = torch.empty(size, dtype=torch.bfloat16, memory_format=torch.channels_last)
        maxima = torch.empty_like(result) if pool else features
        argmax = torch.empty_like(result, dtype=torch.uint8) if pool else None
        mean, inverse_std = torch.empty(2, channels).unbind()
        shape = (count, height, width, channels, int(pool))
        outputs = (maxima, argmax, result, mean, inverse_std)
        workspace.call("batch_norm_gelu_forward", features, bias, epsilon, *outputs, *shape)
        ctx.workspace, ctx.shape = workspace, shape
        ctx.save_for_backward(maxima, argmax, mean, inverse_std, bias)
        ctx.mark_non_differentiable(mean, inverse_std)
        return result, mean, inverse_std

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        maxima, argmax, mean, inverse_std, bias = ctx.saved_tensors
        count, height, width, channels, _pool = ctx.shape
        result = torch.empty((count, channels, height, width), dtype=torch.bfloat16, memory_format=torch.channels_last)
        bias_gradient = torch.empty_like(bias)
        inputs = (maxima, argmax, channels_last(gradient), mean, inverse_std, bias)
        ctx.workspace.call("batch_norm_gelu_backward", *inputs, result, bias_gradient, *ctx.shape)
        return None, result, bias_gradient, None, None


def gelu(workspace: Workspace, features: Tensor) -> Tensor:
    """Returns GELU of features, bfloat16 [...]; see `gelu_fits`. It is differentiable."""
    result: Tensor = _Gelu.apply(workspace, features)  # type: ignore[no-untyped-call]
    return result


def gelu_fits(features: Tensor, approximate: str = "none") -> bool:
    """Returns whether `gelu` supports these features and this approximation, an argument of PyTorch's GELU."""
    is_dense = features.is_contiguous() or features.is_contiguous(memory_format=torch.channels_last)
    return features.dtype == torch.bfloat16 and features.numel() % 16 == 0 and is_dense and approximate == "none"


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, workspace: Workspace, features: Tensor) -> Tensor:
        result = torch.empty_like(features)
        workspace.call("gelu_forward", features, result, features.numel() // 16)
        ctx.workspace = workspace
        ctx.save_for_backward(features)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        (features,) = ctx.saved_tensors
        result = torch.empty_like(features)
        if gradient.stride() != features.stride():
            gradient = torch.empty_like(features).copy_(gradient)
        ctx.workspace.call("gelu_backward", features, gradient, result, features.numel() // 16)
        return None, result
