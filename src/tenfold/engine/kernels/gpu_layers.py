"""Layers of a network that run otherwise in a fused training step on a GPU, with the same results up to rounding.

Shapes: B images, C channels, H×W pixels.
"""

from types import MethodType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.engine.kernels import gpu_pooling
from tenfold.engine.kernels.forwards import ReplacedForwards, is_2x2_pool

_STEM_CHANNELS = 8
"""Channels that convolutions on a GPU's matrix units need at least; images have three."""


class GpuLayers(ReplacedForwards):
    """Context manager in which some layers of a network have another forward pass.

    Two kinds of layers have one: 2×2 max-pooling, whose gradient PyTorch's compiler computes pixel by pixel, at a
    quarter of the speed of the memory; and convolutions of images, which run on slow units because three channels do
    not fill the matrix units.

    Args:
        model: float [B, 3, H, W] → logits.
    """

    def __init__(self, model: nn.Module) -> None:
        gpu_pooling.define()
        pools = {layer: _pool for layer in model.modules() if is_2x2_pool(layer)}
        stems = {layer: MethodType(_convolve_images, layer) for layer in model.modules() if _convolves_images(layer)}
        super().__init__({**pools, **stems})


def _convolves_images(layer: nn.Module) -> bool:
    """Returns whether a layer is a convolution of three channels with PyTorch's own forward pass."""
    if not isinstance(layer, nn.Conv2d) or type(layer).forward is not nn.Conv2d.forward:
        return False
    return layer.in_channels == 3 and layer.groups == 1 and layer.padding_mode == "zeros"


def _pool(features: Tensor) -> Tensor:
    """Returns [B, C, H//2, W//2] for features [B, C, H, W]."""
    if features.is_cuda and features.dtype in gpu_pooling.DTYPES:
        pooled: Tensor = torch.ops.tenfold.max_pool_2x2(features)[0]
        return pooled
    return F.max_pool2d(features, 2)


def _convolve_images(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """Returns the convolution of images, float [B, 3, H, W], with channels of zeros added to images and filters."""
    added = (0, 0, 0, 0, 0, _STEM_CHANNELS - 3)
    return F.conv2d(
        F.pad(images, added), F.pad(layer.weight, added), layer.bias, layer.stride, layer.padding, layer.dilation
    )
