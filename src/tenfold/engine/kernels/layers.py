"""The layers of a training step that a compiled program carries out in PyTorch's stead, on CPUs that multiply bfloat16.

Training alone uses them: networks are judged, saved and shipped with PyTorch's own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tenfold.core.devices import computes_bfloat16
from tenfold.engine.kernels.normalization import gelu, gelu_fits, norm_fits, norm_gelu
from tenfold.engine.kernels.programs import Workspace, compiler
from tenfold.engine.kernels.winograd import convolve, filters_fit, images_fit
from tenfold.models import blocks


def why_not(model: nn.Module) -> str | None:
    """Returns what keeps a network that learns in bfloat16 on a CPU from being helped, or None where nothing does."""
    if not any(_layer_fits(layer) for layer in model.modules()):
        return "its network has no 3×3 convolution of stride 1 between multiples of 32 channels"
    if not computes_bfloat16(torch.device("cpu")):
        return "this CPU does not multiply bfloat16 (AVX-512 BF16)"
    if compiler() is None:
        return "there is no C++ compiler (g++ or clang++) on this machine"
    return None


class CompiledLayers(TorchFunctionMode):
    """Where it is active, layers that fit and have something to learn are carried out by the compiled program.

    Args:
        threads: that share each layer.

    Raises:
        TrainingError: when the compiler fails; the message holds its first complaint.
        StorageError: when the cache folder cannot be written.

    Example:
        >>> with CompiledLayers(threads=2), torch.autocast("cpu", torch.bfloat16):  # doctest: +SKIP
        ...     logits = model(images)
    """

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._workspace = Workspace(threads)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls `func`, or takes its place."""
        kwargs = kwargs or {}
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if func is torch.conv2d and not kwargs and len(args) == 7:
            images, filters, *others = args
            if images_fit(images) and filters_fit(filters, *others):
                return convolve(self._workspace, images, filters)
        if func is blocks.norm_gelu and norm_fits(*args, **kwargs):
            return norm_gelu(self._workspace, *args, **kwargs)
        if func is F.gelu and gelu_fits(*args, **kwargs):
            return gelu(self._workspace, *args)
        return func(*args, **kwargs)


def _layer_fits(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.padding_mode == "zeros"
        and filters_fit(layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    )
