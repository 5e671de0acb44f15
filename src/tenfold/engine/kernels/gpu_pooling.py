"""2×2 max-pooling on a GPU as an operator of PyTorch, forward and backward, in Triton.

Both passes read and write each value once; each thread block handles some windows with neighboring channels, so that
positions are computed once per window. https://triton-lang.org

Shapes: B images, C channels, H×W pixels, h×w windows.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
_WINDOWS, _CHANNELS = 32, 64
"""Windows and channels of a thread block."""


@cache
def define() -> None:
    """Defines the operator `tenfold::max_pool_2x2`: features [B, C, H, W] → maxima [B, C, h, w], and which of the four
    values of a window each is, uint8 [B, C, h, w]. Of equal values the first counts, as in PyTorch.

    Everything is channels_last. It is differentiable in the maxima.
    """
    pool = torch.library.custom_op("tenfold::max_pool_2x2", _pool, mutates_args=())
    pool.register_fake(_pooled_like)
    backward = torch.library.custom_op("tenfold::max_pool_2x2_backward", _pool_backward, mutates_args=())
    backward.register_fake(_gradient_like)

    def keep(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(output[1])
        ctx.size = inputs[0].shape[2:]
        ctx.mark_non_differentiable(output[1])

    def differentiate(ctx: Any, gradient: Tensor, _: Tensor | None) -> Tensor:
        return torch.ops.tenfold.max_pool_2x2_backward(gradient, *ctx.saved_tensors, *ctx.size)  # type: ignore[no-any-return]

    pool.register_autograd(differentiate, setup_context=keep)


def _pool(features: Tensor) -> tuple[Tensor, Tensor]:
    features = features.contiguous(memory_format=torch.channels_last)
    maxima, which = _pooled_like(features)
    _launch("forward", features, maxima, which)
    return maxima, which


def _pooled_like(features: Tensor) -> tuple[Tensor, Tensor]:
    batch, channels, height, width = features.shape
    maxima = _empty((batch, channels, height // 2, width // 2), features)
    return maxima, torch.empty_like(maxima, dtype=torch.uint8)


def _pool_backward(gradient: Tensor, which: Tensor, height: int, width: int) -> Tensor:
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    result = _gradient_like(gradient, which, height, width)
    _launch("backward", result, gradient, which)
    return result


def _gradient_like(gradient: Tensor, which: Tensor, height: int, width: int) -> Tensor:
    batch, channels = gradient.shape[:2]
    return _empty((batch, channels, height, width), gradient)


def _empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _launch(name: str, large: Tensor, small: Tensor, which: Tensor) -> None:
    """Runs a kernel on the tensors at full and at pooled size."""
    from tenfold.engine.kernels import gpu_programs

    batch, channels, height, width = large.shape
    # The backward pass also fills a last row and column that no window covers, with zeros.
    rows, columns = (height // 2, width // 2) if name == "forward" else (-(-height // 2), -(-width // 2))
    windows = batch * rows * columns
    block = min(_CHANNELS, 1 << (channels - 1).bit_length())
    grid = (-(-windows // _WINDOWS), -(-channels // block))
    kernel = gpu_programs.forward if name == "forward" else gpu_programs.backward
    kernel[grid](large, small, which, windows, rows, columns, height, width, channels, per_block=_WINDOWS, wide=block)
