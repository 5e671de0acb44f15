"""3×3 convolutions by Winograd's minimal filtering in bfloat16, on CPUs with AVX-512 BF16.

They need a quarter to a third of the multiplications of a direct convolution (A. Lavin and S. Gray, arXiv:1509.09308).
Their relative error is about 1 %, because bfloat16 is used between the transforms; that of a direct convolution in
bfloat16 is 0.2 %. The kernels are in `cpp/winograd.cpp`.

Shapes: B images, C input channels, K output channels, H×W pixels.
"""

from typing import Any

import torch
from torch import Tensor

from tenfold.engine.kernels.programs import Workspace, channels_last

_MAX_COMPONENTS = 36
"""Number of components of a transformed tile, at most: a transformed filter has as many values per pair of channels."""


def convolve(workspace: Workspace, images: Tensor, filters: Tensor) -> Tensor:
    """Returns the convolution of images with filters, of stride 1 and padding 1. It is differentiable.

    Args:
        workspace: see `Workspace`.
        images: float [B, C, H, W]; see `images_fit`.
        filters: float32 [K, C, 3, 3]; see `filters_fit`.

    Returns:
        bfloat16 [B, K, H, W], channels last.
    """
    result: Tensor = _WinogradConvolution.apply(workspace, channels_last(images.to(torch.bfloat16)), filters)  # type: ignore[no-untyped-call]
    return result


def images_fit(images: Tensor) -> bool:
    """Returns whether `convolve` supports these images. A single row or column would be padding for the most part."""
    return images.ndim == 4 and len(images) > 0 and min(images.shape[2:]) > 1


def filters_fit(filters: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Returns whether `convolve` supports a convolution with these arguments, which are those of `torch.conv2d`."""
    outputs, inputs, *kernel = filters.shape
    return (
        kernel == [3, 3]
        and inputs % 32 == outputs % 32 == 0
        and bias is None
        and stride == padding == dilation == (1, 1)
        and groups == 1
        and filters.dtype == torch.float32
    )


class _WinogradConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, workspace: Workspace, images: Tensor, filters: Tensor) -> Tensor:
        outputs, inputs = filters.shape[:2]
        forward_panels, backward_panels = torch.empty(
            2, _MAX_COMPONENTS * inputs * outputs, dtype=torch.bfloat16
        ).unbind()
        arguments = (channels_last(filters), *images.shape[2:], inputs, outputs, forward_panels, backward_panels)
        workspace.call("winograd_filter_panels", *arguments)
        ctx.workspace = workspace
        ctx.save_for_backward(images, backward_panels)
        return _convolve(workspace, images, forward_panels, outputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        images, backward_panels = ctx.saved_tensors
        gradient = channels_last(gradient)
        _, needs_images, needs_filters = ctx.needs_input_grad
        return (
            None,
            _convolve(ctx.workspace, gradient, backward_panels, images.shape[1]) if needs_images else None,
            _filter_gradient(ctx.workspace, images, gradient) if needs_filters else None,
        )


def _convolve(workspace: Workspace, images: Tensor, panels: Tensor, outputs: int) -> Tensor:
    count, inputs, height, width = images.shape
    result = torch.empty((count, outputs, height, width), dtype=torch.bfloat16, memory_format=torch.channels_last)
    workspace.call("winograd_convolve", images, panels, result, count, height, width, inputs, outputs)
    return result


def _filter_gradient(workspace: Workspace, images: Tensor, gradient: Tensor) -> Tensor:
    count, inputs, height, width = images.shape
    outputs = gradient.shape[1]
    result = torch.empty((outputs, inputs, 3, 3), memory_format=torch.channels_last)
    workspace.call("winograd_filter_gradient", images, gradient, result, count, height, width, inputs, outputs)
    return result
