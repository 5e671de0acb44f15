"""3×3 convolutions by Winograd's method, on CPUs that multiply bfloat16.

They need a quarter to a third of the products that a direct convolution does (A. Lavin and S. Gray, arXiv:1509.09308);
`kernels/` knows how. Their results differ from exact ones by about 1 % of their size, the price of bfloat16 between the
transforms, where a direct convolution in bfloat16 differs by 0.2 %.

Shapes: B pictures, C channels in, K channels out, H×W pixels.
"""

from typing import Any

import torch
from torch import Tensor

from tenfold.engine.kernels.programs import Workspace, channels_last

_POINTS = 36
"""Of a tile, at most: what a filter takes up for each pair of channels."""

_PAIR = (1, 1)


def convolve(workspace: Workspace, images: Tensor, filters: Tensor) -> Tensor:
    """Returns bfloat16 [B, K, H, W], the convolution of images [B, C, H, W] with filters, float32 [K, C, 3, 3]."""
    result: Tensor = _Convolution.apply(workspace, channels_last(images.to(torch.bfloat16)), filters)  # type: ignore[no-untyped-call]
    return result


def images_fit(images: Tensor) -> bool:
    """Returns whether these can be convolved this way; of a single row or column most would be padding."""
    return images.ndim == 4 and len(images) > 0 and min(images.shape[2:]) > 1


def filters_fit(filters: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Returns whether a convolution with these arguments, those of `torch.conv2d`, can be done this way."""
    outputs, inputs, *kernel = filters.shape
    return (
        kernel == [3, 3]
        and inputs % 32 == outputs % 32 == 0
        and bias is None
        and stride == padding == dilation == _PAIR
        and groups == 1
        and filters.dtype == torch.float32
    )


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, workspace: Workspace, images: Tensor, filters: Tensor) -> Tensor:
        outputs, inputs = filters.shape[:2]
        ahead, back = torch.empty(2, _POINTS * inputs * outputs, dtype=torch.bfloat16).unbind()
        workspace.call("prepare", channels_last(filters), *images.shape[2:], inputs, outputs, ahead, back)
        ctx.workspace = workspace
        ctx.save_for_backward(images, back)
        return _convolve(workspace, images, ahead, outputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        images, back = ctx.saved_tensors
        gradient = channels_last(gradient)
        _, of_images, of_filters = ctx.needs_input_grad
        return (
            None,
            _convolve(ctx.workspace, gradient, back, images.shape[1]) if of_images else None,
            _filter_gradient(ctx.workspace, images, gradient) if of_filters else None,
        )


def _convolve(workspace: Workspace, images: Tensor, panels: Tensor, outputs: int) -> Tensor:
    count, inputs, height, width = images.shape
    made = torch.empty((count, outputs, height, width), dtype=torch.bfloat16, memory_format=torch.channels_last)
    shape = (count, height, width, inputs, outputs)
    needs = workspace.bytes_for("convolve_space", *shape, workspace.threads)
    workspace.call("convolve", images, panels, made, *shape, needs=needs)
    return made


def _filter_gradient(workspace: Workspace, images: Tensor, gradient: Tensor) -> Tensor:
    count, inputs, height, width = images.shape
    outputs = gradient.shape[1]
    found = torch.empty((outputs, inputs, 3, 3), memory_format=torch.channels_last)
    shape = (count, height, width, inputs, outputs)
    needs = workspace.bytes_for("filter_gradient_space", *shape)
    workspace.call("filter_gradient", images, gradient, found, *shape, needs=needs)
    return found
