"""Layers of a network that run as compiled kernels in a training step, on CPUs with AVX-512 BF16.

Shapes: B images, C channels, H×W pixels.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.devices import supports_bfloat16
from tenfold.engine.kernels.forwards import Forward, ReplacedForwards, is_2x2_pool
from tenfold.engine.kernels.normalization import gelu, gelu_fits, norm_fits, norm_gelu
from tenfold.engine.kernels.programs import Workspace, compiler
from tenfold.engine.kernels.winograd import convolve, filters_fit, images_fit
from tenfold.models.blocks import BatchNorm


def unsupported_reason(model: nn.Module) -> str | None:
    """Returns why no layer of a network that trains in bfloat16 on a CPU can run as a kernel, or None if one can."""
    if not any(_is_supported_conv(layer) for layer in model.modules()):
        return "its network has no 3×3 convolution of stride 1 between multiples of 32 channels"
    if not supports_bfloat16(torch.device("cpu")):
        return "this CPU does not multiply bfloat16 (AVX-512 BF16)"
    if compiler() is None:
        return "there is no C++ compiler (g++ or clang++) on this machine"
    return None


class CompiledLayers(ReplacedForwards):
    """Context manager in which the layers of a network that have a kernel run as that kernel, forward and backward.

    Three kinds of layers have one: 3×3 convolutions, chains of max-pooling, batch norm and GELU (one fused kernel),
    and GELU alone. Features that a kernel does not support, and passes without gradients, take PyTorch's own.

    Args:
        model: float [B, 3, H, W] → logits.
        threads: number of CPU threads that share each layer.
        norms: whether batch norms are among them; their kernel knows the rows of one process alone.

    Raises:
        TrainingError: when the compiler fails; the message holds its first error.
        StorageError: when the cache folder cannot be written.

    Example:
        >>> with CompiledLayers(model, threads=2), torch.autocast("cpu", torch.bfloat16):  # doctest: +SKIP
        ...     logits = model(images)
    """

    def __init__(self, model: nn.Module, threads: int, *, norms: bool = True) -> None:
        super().__init__(_kernel_forwards(model, Workspace(threads), norms=norms))


def _kernel_forwards(model: nn.Module, workspace: Workspace, *, norms: bool) -> Mapping[nn.Module, Forward]:
    """Returns the layers that have a kernel, each with the forward pass that uses it."""
    forwards: dict[nn.Module, Forward] = {}
    for layer in model.modules():
        if norms and _is_fusable(layer):
            forwards[layer] = _fused(list(layer.children()), workspace)
        elif isinstance(layer, nn.Conv2d) and _is_supported_conv(layer):
            forwards[layer] = partial(_convolve, workspace, layer)
        elif type(layer) is nn.GELU:
            forwards[layer] = partial(_gelu, workspace, layer.approximate)
    return forwards


def has_norm_kernel(model: nn.Module) -> bool:
    """Returns whether a batch norm of a network may run as a kernel."""
    return any(_is_fusable(layer) for layer in model.modules())


def _is_supported_conv(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and type(layer).forward is nn.Conv2d.forward
        and layer.padding_mode == "zeros"
        and filters_fit(layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    )


def _is_fusable(layer: nn.Module) -> bool:
    """Returns whether a layer is a plain chain in which batch norm is followed by GELU."""
    if not isinstance(layer, nn.Sequential) or type(layer).forward is not nn.Sequential.forward:
        return False
    children = list(layer)
    plain = all(isinstance(child, nn.Conv2d | nn.MaxPool2d | BatchNorm | nn.GELU) for child in children)
    return plain and any(map(_is_norm_gelu, children, children[1:]))


def _is_norm_gelu(first: nn.Module, second: nn.Module) -> bool:
    return isinstance(first, BatchNorm) and type(second) is nn.GELU and second.approximate == "none"


def _fused(children: list[nn.Module], workspace: Workspace) -> Forward:
    """Returns the forward pass of a chain of layers in which batch norm, GELU and pooling before them are one step."""
    steps: list[Callable[[Tensor], Tensor]] = []
    index = 0
    while index < len(children):
        pool = is_2x2_pool(children[index])
        pair = children[index + pool : index + pool + 2]
        if len(pair) == 2 and _is_norm_gelu(*pair):
            steps.append(partial(_pool_norm_gelu, workspace, cast(BatchNorm, pair[0]), pool))
            index += pool + 2
        else:
            steps.append(children[index])
            index += 1

    def forward(features: Tensor) -> Tensor:
        for step in steps:
            features = step(features)
        return features

    return forward


def _convolve(workspace: Workspace, layer: nn.Conv2d, images: Tensor) -> Tensor:
    if torch.is_grad_enabled() and images_fit(images):
        return convolve(workspace, images, layer.weight)
    return nn.Conv2d.forward(layer, images)


def _pool_norm_gelu(workspace: Workspace, norm: BatchNorm, pool: bool, features: Tensor) -> Tensor:
    if torch.is_grad_enabled() and norm_fits(features, norm, pool=pool):
        return norm_gelu(workspace, features, norm, pool=pool)
    return F.gelu(norm(F.max_pool2d(features, 2) if pool else features))


def _gelu(workspace: Workspace, approximate: str, features: Tensor) -> Tensor:
    if torch.is_grad_enabled() and gelu_fits(features, approximate):
        return gelu(workspace, features)
    return F.gelu(features, approximate=approximate)
