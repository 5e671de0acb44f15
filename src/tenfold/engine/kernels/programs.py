"""C++ programs of `kernels/`, compiled by the machine's own compiler, once, and kept in the cache folder."""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tenfold.core.errors import TrainingError
from tenfold.data.store.store import cache_folder

_KERNELS = Path(__file__).with_name("cpp")
_FLAGS = ("-std=c++17", "-O3", "-shared", "-fPIC")


def compiler() -> str | None:
    """Returns where the machine's C++ compiler lies; the variable CXX may name another one."""
    named = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [named] if named else ["g++", "clang++", "c++"])), None)


def program(sources: Sequence[str], flags: Sequence[str]) -> Path:
    """Returns a shared library, compiled now unless the cache folder holds it.

    Args:
        sources: names of files in `kernels/`: those to compile, and the `.h` that they include.
        flags: for the compiler, beside the usual ones.

    Raises:
        TrainingError: when the compiler fails; the message holds its first complaint.
        StorageError: when the cache folder cannot be written.
    """
    path = programs_folder() / f"{_key(sources, flags)}.so"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder) / path.name
            _compile([*flags, *(str(_KERNELS / name) for name in sources if name.endswith(".cpp")), "-o", str(fresh)])
            fresh.replace(path)  # another process may have done the same: either file is right
    return path


def programs_folder() -> Path:
    """Returns where compiled programs, and what was measured of them, are kept."""
    return cache_folder() / "programs"


def processor() -> str:
    """Names the processor and what it can do: a home folder may be shared by machines that differ."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return f"{platform.machine()} {platform.processor()}"
    lines = cpuinfo.read_text("utf-8", "replace").split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))


def _key(sources: Sequence[str], flags: Sequence[str]) -> str:
    """Returns what changes whenever the program would: source, flags, compiler or processor."""
    found = compiler()
    stamp = Path(found).stat() if found else None
    texts = [(_KERNELS / name).read_text("utf-8") for name in sources]
    parts = [*texts, *_FLAGS, *flags, found, stamp and (stamp.st_size, stamp.st_mtime)]
    return hashlib.sha256(repr([*parts, processor()]).encode()).hexdigest()[:24]


def _compile(arguments: Sequence[str]) -> None:
    for processor in (["-march=native"], []):  # not every compiler knows the first
        done = subprocess.run(
            [str(compiler()), *_FLAGS, *processor, *arguments], capture_output=True, text=True, errors="replace"
        )
        if done.returncode == 0:
            return
    last = done.stderr.strip()[-200:] or f"it ended with {done.returncode} and said nothing"
    complaint = next((line for line in done.stderr.splitlines() if "error" in line), last)
    raise TrainingError(
        f"{compiler()} cannot compile the training step: {complaint}; "
        "use --set train.execution=eager, or set CXX to another compiler"
    )


_SOURCES = ("winograd.cpp", "normalize.cpp", "winograd.h", "bfloat16.h")


class Workspace:
    """Calls the compiled program with a number of threads and memory to work in.

    Args:
        threads: that share each call.

    Raises:
        TrainingError: when the compiler fails; the message holds its first complaint.
        StorageError: when the cache folder cannot be written.
    """

    def __init__(self, threads: int) -> None:
        self._program = _load(program(_SOURCES, ["-fopenmp"]))
        self.threads = threads
        self._space = torch.empty(0, dtype=torch.uint8)

    def bytes_for(self, function: str, *shape: int) -> int:
        """Returns what the function of the program that tells the bytes for a shape says."""
        return int(getattr(self._program, function)(*shape))

    def call(self, function: str, *arguments: Tensor | float | None, needs: int = 0) -> None:
        """Calls a function of the program.

        Args:
            function: its name.
            arguments: tensors are passed as where they lie, None as nowhere.
            needs: bytes to work in, which then follow the arguments; the number of threads comes last.
        """
        if len(self._space) < needs:
            self._space = torch.empty(needs, dtype=torch.uint8)
        room = [self._space] if needs else []
        passed = [each.data_ptr() if isinstance(each, Tensor) else each for each in (*arguments, *room)]
        getattr(self._program, function)(*passed, self.threads)


def channels_last(tensor: Tensor) -> Tensor:
    """Returns a tensor [B, C, H, W] with its channels last in memory."""
    return tensor.contiguous(memory_format=torch.channels_last)


@functools.cache
def _load(path: Path) -> ctypes.CDLL:
    pointer, count, number = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
    loaded = ctypes.CDLL(str(path))
    signatures: dict[str, list[Any]] = {
        "prepare": [pointer, *[count] * 4, pointer, pointer],
        "convolve": [*[pointer] * 3, *[count] * 5, pointer],
        "filter_gradient": [*[pointer] * 3, *[count] * 5, pointer],
        "normalize": [pointer, pointer, number, *[pointer] * 5, *[count] * 5, pointer],
        "normalize_back": [*[pointer] * 8, *[count] * 5, pointer],
        "gelu": [pointer, pointer, ctypes.c_int64],
        "gelu_back": [*[pointer] * 3, ctypes.c_int64],
    }
    for name, arguments in signatures.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = [*arguments, count], None
    for name, numbers in (("convolve_space", 6), ("filter_gradient_space", 5), ("normalize_space", 5)):
        function = getattr(loaded, name)
        function.argtypes, function.restype = [count] * numbers, ctypes.c_size_t
    return loaded
