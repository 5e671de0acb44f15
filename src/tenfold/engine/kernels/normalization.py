"""Pooling, batch normalisation and GELU as one operation, and GELU alone, on CPUs that multiply bfloat16.

Shapes: B pictures, C channels, H×W pixels.
"""

from typing import Any, cast

import torch
from torch import Tensor

from tenfold.engine.kernels.programs import Workspace, channels_last
from tenfold.models.blocks import Norm


def norm_gelu(workspace: Workspace, features: Tensor, norm: Norm, *, pool: bool) -> Tensor:
    """Does what `tenfold.models.blocks.norm_gelu` does, running statistics included, for features that fit.

    Args:
        workspace: see `Workspace`.
        features: bfloat16 [B, C, H, W].
        norm: in training mode.
        pool: whether 2×2 max-pooling comes first.
    """
    made: tuple[Tensor, Tensor, Tensor] = _NormGelu.apply(  # type: ignore[no-untyped-call]
        workspace, channels_last(features), norm.bias, norm.eps, pool
    )
    result, mean, inverse = made
    _follow(norm, mean, inverse, result.numel() // norm.num_features)
    return result


def norm_fits(features: Tensor, norm: Norm, *, pool: bool) -> bool:
    """Returns whether these can be normalised this way, which a `Norm` can whose scale is 1 and stays so."""
    halved = 2 if pool else 1
    count = len(features) * (features.shape[2] // halved) * (features.shape[3] // halved)
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
def _follow(norm: Norm, mean: Tensor, inverse: Tensor, count: int) -> None:
    """Moves the running statistics, as PyTorch's batch normalisation does, by those of `count` values a channel."""
    share = cast(float, norm.momentum)
    cast(Tensor, norm.num_batches_tracked).add_(1)
    cast(Tensor, norm.running_mean).lerp_(mean, share)
    cast(Tensor, norm.running_var).lerp_((inverse**-2 - norm.eps) * (count / (count - 1)), share)


class _NormGelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, workspace: Workspace, features: Tensor, bias: Tensor, epsilon: float, pool: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        count, channels, height, width = features.shape
        size = (count, channels, height // 2, width // 2) if pool else tuple(features.shape)
        result = torch.empty(size, dtype=torch.bfloat16, memory_format=torch.channels_last)
        maxima = torch.empty_like(result) if pool else features
        corners = torch.empty_like(result, dtype=torch.uint8) if pool else None
        mean, inverse = torch.empty(2, channels).unbind()
        shape = (count, height, width, channels, int(pool))
        needs = workspace.bytes_for("normalize_space", *shape)
        written = (maxima, corners, result, mean, inverse)
        workspace.call("normalize", features, bias, epsilon, *written, *shape, needs=needs)
        ctx.workspace, ctx.shape, ctx.needs = workspace, shape, needs
        ctx.save_for_backward(maxima, corners, mean, inverse, bias)
        ctx.mark_non_differentiable(mean, inverse)
        return result, mean, inverse

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        maxima, corners, mean, inverse, bias = ctx.saved_tensors
        count, height, width, channels, _pooled = ctx.shape
        found = torch.empty((count, channels, height, width), dtype=torch.bfloat16, memory_format=torch.channels_last)
        of_bias = torch.empty_like(bias)
        arguments = (maxima, corners, channels_last(gradient), mean, inverse, bias, found, of_bias)
        ctx.workspace.call("normalize_back", *arguments, *ctx.shape, needs=ctx.needs)
        return None, found, of_bias, None, None


def gelu(workspace: Workspace, features: Tensor) -> Tensor:
    """Returns GELU of features that fit, bfloat16 [...]."""
    result: Tensor = _Gelu.apply(workspace, features)  # type: ignore[no-untyped-call]
    return result


def gelu_fits(features: Tensor, approximate: str = "none") -> bool:
    """Returns whether GELU of these can be had this way."""
    lasting = features.is_contiguous() or features.is_contiguous(memory_format=torch.channels_last)
    return features.dtype == torch.bfloat16 and features.numel() % 16 == 0 and lasting and approximate == "none"


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, workspace: Workspace, features: Tensor) -> Tensor:
        result = torch.empty_like(features)
        workspace.call("gelu", features, result, features.numel() // 16)
        ctx.workspace = workspace
        ctx.save_for_backward(features)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        (features,) = ctx.saved_tensors
        found = torch.empty_like(features)
        alike = torch.empty_like(features).copy_(gradient) if gradient.stride() != features.stride() else gradient
        ctx.workspace.call("gelu_back", features, alike, found, features.numel() // 16)
        return None, found
