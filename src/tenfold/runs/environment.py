"""The environment of a run: versions, hardware, code and command."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tenfold.core.world import launch_id, training_number

_RECORDED_PACKAGES = ("tenfold", "torch", "numpy", "pillow", "timm")


def describe_environment(command: Sequence[str], threads: int | None = None) -> dict[str, Any]:
    """Returns the content of `env.json`. Unknown values are None; it raises no errors.

    Args:
        command: the command line, as a list of arguments.
        threads: CPU threads of the run (default: PyTorch's current number).
    """
    import torch

    from tenfold.core.devices import num_cores

    return {
        "command": list(command),
        "folder": _current_folder(),
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **{name: _version(name) for name in _RECORDED_PACKAGES},
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": num_cores(),
        "threads": torch.get_num_threads() if threads is None else threads,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "accelerators": _accelerators(),
        "nvidia_gpus": _nvidia_gpus(),
        "git_commit": _git_commit(),
        "launch": launch_id(),
        "launch_training": training_number(),
    }


def _current_folder() -> str | None:
    """Returns the folder to which relative paths of the command belong."""
    try:
        return str(Path.cwd())
    except OSError:
        return None  # it has been deleted


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
        pass  # the file exists only on Linux
    return platform.processor() or platform.machine() or None


def _accelerators() -> list[str]:
    """Returns the devices other than the CPU that PyTorch can use, by their names in `train.device`."""
    import torch

    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] + mps


def _nvidia_gpus() -> int:
    """Returns the number of NVIDIA GPUs that Linux reports, also if PyTorch was built without CUDA."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return 0  # hidden by the user
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _git_commit() -> str | None:
    """Returns the git commit of the current folder, if it is in a repository."""
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
