"""How a run uses its device: precision, threads, determinism."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from tenfold.core.devices import choose_device, supports_bfloat16, use_onednn
from tenfold.core.errors import UsageError
from tenfold.core.memory import keep_freed_memory
from tenfold.engine.distributed import Processes
from tenfold.recipes.schema import TrainSection


@dataclass(frozen=True)
class Hardware:
    """The device of a run and how it is used.

    Args:
        device: where the network and its batches are.
        autocast: dtype of convolutions and matrix products, or None for float32 throughout.
        threads: number of CPU threads.
        onednn: whether convolutions on a CPU use oneDNN, which is slower for a few small images.
        compiled: whether the training step is compiled.
        fused: whether forward and backward pass are fused by `torch.compile`; only on a CUDA GPU.
        deterministic: whether convolutions on a CUDA GPU give the same bits in every run; otherwise the fastest ones
            are measured and used.
    """

    device: torch.device
    autocast: torch.dtype | None
    threads: int
    onednn: bool = True
    compiled: bool = False
    fused: bool = False
    deterministic: bool = True

    def __str__(self) -> str:
        precision = "float32" if self.autocast is None else str(self.autocast).removeprefix("torch.")
        precision += ", compiled steps" * self.compiled + ", fused layers" * self.fused
        if self.device.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)}), {precision}"
        if self.device.type == "cpu":
            return f"cpu, {self.threads} thread{'s' * (self.threads > 1)}, {precision}"
        return f"{self.device}, {precision}"

    @property
    def kernels(self) -> str | None:
        """What a compiled step is made of: a `CUDA graph`, `layers` or the whole `step`; None for an eager one."""
        if not self.compiled:
            return None
        by_layers = self.device.type == "cpu" and self.autocast is not None
        return "CUDA graph" if self.device.type == "cuda" else "layers" if by_layers else "step"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Applies the process-wide settings of this run, and restores the previous ones at the end."""
        threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
        deterministic, benchmark = cudnn.deterministic, cudnn.benchmark
        torch.set_num_threads(self.threads)
        cudnn.deterministic, cudnn.benchmark = self.deterministic, not self.deterministic
        try:
            with use_onednn(self.onednn), keep_freed_memory():
                yield
        finally:
            torch.set_num_threads(threads)
            cudnn.deterministic, cudnn.benchmark = deterministic, benchmark


def choose_hardware(train: TrainSection) -> Hardware:
    """Returns the hardware that a recipe's `[train]` asks for.

    Raises:
        DeviceError: when the device is not available.
        UsageError: when the name is not a device name.
    """
    device = choose_device(train.device)
    bfloat16 = train.precision == "bfloat16" or (train.precision == "auto" and supports_bfloat16(device))
    return Hardware(
        device=device,
        autocast=torch.bfloat16 if bfloat16 else None,
        threads=train.threads or torch.get_num_threads(),
        onednn=train.onednn,
        fused=train.fuse and device.type == "cuda",
        deterministic=train.deterministic or device.type != "cuda",
    )


def own_hardware(train: TrainSection, processes: Processes) -> Hardware:
    """Returns the hardware of one of several processes: a GPU of its own, and the precision of rank 0.

    `auto` is the CPU on a Mac: no message between processes can hold tensors of its GPU. Layers are not fused: a
    message between processes is no kernel.

    Raises:
        DeviceError: when the device is not available, or the machine has fewer GPUs than processes.
        UsageError: when one GPU, or that of a Mac, is named for all of them.
    """
    hardware = choose_hardware(train)
    if not processes.is_several:
        return hardware
    kind, _, index = train.device.partition(":")
    if kind == "mps" or (kind == "cuda" and index):
        raise UsageError(f"train.device is '{train.device}' for {processes.world.size} processes; expected cuda or cpu")
    if hardware.device.type == "mps":
        hardware = choose_hardware(train.model_copy(update={"device": "cpu"}))
    device = hardware.device
    if device.type == "cuda":
        device = choose_device(f"cuda:{processes.world.local_rank}")
    return replace(hardware, device=device, fused=False, autocast=processes.broadcast_object(hardware.autocast))
