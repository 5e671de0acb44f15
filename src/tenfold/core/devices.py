"""Devices: selection by name, and what the hardware supports."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tenfold.core.errors import DeviceError, UsageError
from tenfold.core.world import World


def choose_device(name: str) -> torch.device:
    """Returns the device called `name`; `auto` selects a GPU if there is one.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        DeviceError: when the device is not available. There is no silent fallback to another device.
        UsageError: when `name` is not a device name.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, colon, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not index.isdecimal()):
        raise UsageError(f"'{name}' is not a device; expected auto, cpu, cuda, cuda:1 or mps")
    num_devices = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(index or 0) >= num_devices:
        raise DeviceError(
            f"device '{name}' is not available: this machine has {num_devices or 'no'} {kind} device"
            f"{'s' * (num_devices != 1)}; use --device cpu or --device auto"
        )
    return torch.device(name)


def meeting_device(world: World) -> torch.device:
    """Returns the device with which a process joins others: its GPU if it has one, else the CPU."""
    has_gpu = world.local_rank < torch.cuda.device_count()
    return torch.device(f"cuda:{world.local_rank}" if has_gpu else "cpu")


def num_cores() -> int:
    """Returns the number of cores that this process may use, which a container can limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def supports_bfloat16(device: torch.device) -> bool:
    """Returns whether `device` multiplies bfloat16 in hardware. Emulation is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return False


@contextmanager
def evaluation_kernels(*, tf32: bool) -> Iterator[None]:
    """Selects the kernels for evaluation inside a `with` block, whatever the network was trained with.

    On a CPU, convolutions use oneDNN. On a GPU they are not measured first: the number of images varies.

    Args:
        tf32: whether a GPU rounds the inputs of float32 products and convolutions to 10 bits: several times as fast,
            and logits move by about 1e-3. PyTorch does so for convolutions by default.

    https://pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices
    """
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    previous = cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark
    cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark = tf32, tf32, False
    try:
        with use_onednn(True):
            yield
    finally:
        cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark = previous


@contextmanager
def use_onednn(enabled: bool) -> Iterator[None]:
    """Selects the convolution kernels on a CPU inside a `with` block.

    Args:
        enabled: whether to use oneDNN. PyTorch's plain kernels are faster for small batches of small images. The two
            round differently.
    """
    previous, *_ = torch.backends.mkldnn.set_flags(_enabled=enabled)
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(_enabled=previous)
