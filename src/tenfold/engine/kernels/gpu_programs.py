# mypy: ignore-errors
"""Triton kernels of `gpu_pooling`; imported where they run, since only PyTorch's builds for a GPU bring Triton."""

import triton
import triton.language as tl


@triton.jit
def forward(
    large, small, which, windows, rows, columns, height, width, channels, per_block: tl.constexpr, wide: tl.constexpr
):
    """Writes the maximum of each window, and which of the four values it is."""
    window = tl.program_id(0) * per_block + tl.arange(0, per_block)
    channel = tl.program_id(1) * wide + tl.arange(0, wide)
    image = (window // (rows * columns)).to(tl.int64)  # offsets may exceed 32 bits
    row = window // columns % rows
    column = window % columns
    corner = ((image * height + 2 * row) * width + 2 * column) * channels
    mask = (window < windows)[:, None] & (channel < channels)[None, :]
    here = large + corner[:, None] + channel[None, :]
    best = tl.load(here, mask=mask).to(tl.float32)
    index = tl.zeros((per_block, wide), tl.int8)
    for position in tl.static_range(1, 4):
        value = tl.load(here + (position // 2 * width + position % 2) * channels, mask=mask).to(tl.float32)
        better = (value > best) | (value != value)
        best = tl.where(better, value, best)
        index = tl.where(better, position, index)
    there = window.to(tl.int64)[:, None] * channels + channel[None, :]
    tl.store(small + there, best.to(small.dtype.element_ty), mask=mask)
    tl.store(which + there, index.to(tl.uint8), mask=mask)


@triton.jit
def backward(
    large, small, which, windows, rows, columns, height, width, channels, per_block: tl.constexpr, wide: tl.constexpr
):
    """Writes the gradient of each window to the value that was its maximum, and zeros elsewhere."""
    window = tl.program_id(0) * per_block + tl.arange(0, per_block)
    channel = tl.program_id(1) * wide + tl.arange(0, wide)
    image = (window // (rows * columns)).to(tl.int64)  # offsets may exceed 32 bits
    row = window // columns % rows
    column = window % columns
    mask = (window < windows)[:, None] & (channel < channels)[None, :]
    whole = mask & ((row < height // 2) & (column < width // 2))[:, None]
    pooled = (image * (height // 2) + row) * (width // 2) + column
    there = pooled[:, None] * channels + channel[None, :]
    gradient = tl.load(small + there, mask=whole, other=0.0)
    index = tl.load(which + there, mask=whole, other=0)
    corner = ((image * height + 2 * row) * width + 2 * column) * channels
    here = large + corner[:, None] + channel[None, :]
    for position in tl.static_range(0, 4):
        inside = (2 * row + position // 2 < height) & (2 * column + position % 2 < width)
        value = tl.where(index == position, gradient, 0.0).to(gradient.dtype)
        tl.store(here + (position // 2 * width + position % 2) * channels, value, mask=mask & inside[:, None])
