"""Which device there is, and what it computes well."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tenfold.core.errors import DeviceError, UsageError


def choose_device(name: str) -> torch.device:
    """Returns the device called `name`; `auto` takes a GPU where there is one.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        DeviceError: when the device is not there; nothing falls back to another device silently.
        UsageError: when no device has such a name.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not number.isdecimal()):
        raise UsageError(f"'{name}' is no device; expected auto, cpu, cuda, cuda:1 or mps")
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(number or 0) >= found:
        raise DeviceError(
            f"device '{name}' was asked for, but this machine has {found or 'no'} {kind} device"
            f"{'s' * (found != 1)}; use --device cpu or --device auto"
        )
    return torch.device(name)


def computes_bfloat16(device: torch.device) -> bool:
    """Returns whether `device` multiplies bfloat16 in hardware; emulation is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return False


@contextmanager
def convolutions(*, onednn: bool) -> Iterator[None]:
    """Chooses the kernels of convolutions on a CPU, and puts the former choice back.

    Args:
        onednn: oneDNN's kernels, or PyTorch's plain ones, which are faster for a handful of small pictures. The two
            round differently.
    """
    former, *_ = torch.backends.mkldnn.set_flags(_enabled=onednn)
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(_enabled=former)
