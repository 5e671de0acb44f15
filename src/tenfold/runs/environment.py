"""What a run ran on: versions, hardware, code and command, as far as they can be found out."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("tenfold", "torch", "numpy", "pillow", "timm")


def describe_environment(command: Sequence[str], threads: int | None = None) -> dict[str, Any]:
    """Returns what `env.json` holds; whatever cannot be found out is None. Raises nothing.

    Args:
        command: the command line, word by word.
        threads: CPU threads of the run; PyTorch's own number where None.
    """
    import torch

    return {
        "command": list(command),
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": _cores(),
        "threads": torch.get_num_threads() if threads is None else threads,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "accelerators": _accelerators(),
        "nvidia_gpus": _nvidia_gpus(),
        "git_commit": _git_commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # only Linux has this file
    return platform.processor() or platform.machine() or None


def _cores() -> int | None:
    """Returns the cores that this process may use, which in a container are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _accelerators() -> list[str]:
    """Returns the devices beside the CPU that PyTorch could compute on, as `train.device` calls them."""
    import torch

    metal = ["mps"] if torch.backends.mps.is_available() else []
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] + metal


def _nvidia_gpus() -> int:
    """Returns how many NVIDIA GPUs Linux shows, which a PyTorch built without CUDA does not see."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return 0  # somebody hid them on purpose
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _git_commit() -> str | None:
    """Returns the commit of the current folder's repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
