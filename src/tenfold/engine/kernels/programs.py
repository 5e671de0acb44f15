"""The C++ programs in `kernels/cpp`: compiled once by the machine's own compiler and kept in the cache folder."""

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

import torch
from torch import Tensor

from tenfold.core.cache import cache_folder
from tenfold.core.errors import TrainingError

_SOURCE_FOLDER = Path(__file__).with_name("cpp")
_FLAGS = ("-std=c++17", "-O3", "-shared", "-fPIC")


def compiler() -> str | None:
    """Returns the path of the C++ compiler: the one that the environment variable CXX names, or a usual one."""
    named = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [named] if named else ["g++", "clang++", "c++"])), None)


def program(sources: Sequence[str], flags: Sequence[str]) -> Path:
    """Returns the path of a shared library. It is compiled now unless the cache folder holds it.

    Args:
        sources: names of files in `kernels/cpp`: the `.cpp` files to compile and every `.h` file they include.
        flags: for the compiler, in addition to the usual ones.

    Raises:
        TrainingError: when the compiler fails; the message holds its first error.
        StorageError: when the cache folder cannot be written.
    """
    path = programs_folder() / f"{_key(sources, flags)}.so"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            library = Path(folder) / path.name
            files = [str(_SOURCE_FOLDER / name) for name in sources if name.endswith(".cpp")]
            _compile([*flags, *files, "-o", str(library)])
            library.replace(path)  # Another process may do the same at the same time: either file is right.
    return path


def programs_folder() -> Path:
    """Returns the folder of compiled programs and of their measured times."""
    return cache_folder() / "programs"


def processor() -> str:
    """Returns the processor's name and features. Machines with different processors may share a home folder."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return f"{platform.machine()} {platform.processor()}"
    lines = cpuinfo.read_text("utf-8", "replace").split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))


def _key(sources: Sequence[str], flags: Sequence[str]) -> str:
    """Returns a hash of what the program depends on: source, flags, compiler and processor."""
    found = compiler()
    stamp = Path(found).stat() if found else None
    texts = [(_SOURCE_FOLDER / name).read_text("utf-8") for name in sources]
    parts = [*texts, *_FLAGS, *flags, found, stamp and (stamp.st_size, stamp.st_mtime)]
    return hashlib.sha256(repr([*parts, processor()]).encode()).hexdigest()[:24]


def _compile(arguments: Sequence[str]) -> None:
    for tuning in (["-march=native"], []):  # Not every compiler knows -march=native.
        process = subprocess.run(
            [str(compiler()), *_FLAGS, *tuning, *arguments], capture_output=True, text=True, errors="replace"
        )
        if process.returncode == 0:
            return
    last_output = process.stderr.strip()[-200:] or f"exit code {process.returncode} without a message"
    error = next((line for line in process.stderr.splitlines() if "error" in line), last_output)
    raise TrainingError(
        f"{compiler()} cannot compile the training step: {error}; "
        "use --set train.execution=eager, or set CXX to another compiler"
    )


_SOURCES = ("winograd.cpp", "batch_norm_gelu.cpp", "winograd_transforms.h", "bfloat16_matmul.h", "bfloat16.h")


class Workspace:
    """Runs the kernels of `winograd.cpp` and `batch_norm_gelu.cpp`, with memory for their intermediate results.

    Args:
        threads: number of threads that share each call.

    Raises:
        TrainingError: when the compiler fails; the message holds its first error.
        StorageError: when the cache folder cannot be written.
    """

    def __init__(self, threads: int) -> None:
        self._program = _load(program(_SOURCES, ["-fopenmp"]))
        self._memory = torch.empty(0, dtype=torch.uint8)
        self.threads = threads

    def call(self, kernel: str, *arguments: Tensor | float | None) -> None:
        """Runs a kernel, with more memory if it asks for more.

        Args:
            kernel: name of the C function.
            arguments: all but the last three, which are the memory, its size and the number of threads. A tensor is
                passed as a pointer to its data, None as a null pointer.
        """
        function = getattr(self._program, kernel)
        values = [value.data_ptr() if isinstance(value, Tensor) else value for value in arguments]
        needed = function(*values, self._memory.data_ptr(), len(self._memory), self.threads)
        if needed > len(self._memory):  # The kernel has done nothing yet.
            self._memory = torch.empty(needed, dtype=torch.uint8)
            function(*values, self._memory.data_ptr(), needed, self.threads)


def channels_last(tensor: Tensor) -> Tensor:
    """Returns a tensor [B, C, H, W] in the channels-last memory format."""
    return tensor.contiguous(memory_format=torch.channels_last)


@functools.cache
def _load(path: Path) -> ctypes.CDLL:
    pointer, integer, number = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
    library = ctypes.CDLL(str(path))
    for name, arguments in {
        "winograd_filter_panels": [pointer, *[integer] * 4, *[pointer] * 2],
        "winograd_convolve": [*[pointer] * 3, *[integer] * 5],
        "winograd_filter_gradient": [*[pointer] * 3, *[integer] * 5],
        "batch_norm_gelu_forward": [pointer, pointer, number, *[pointer] * 5, *[integer] * 5],
        "batch_norm_gelu_backward": [*[pointer] * 8, *[integer] * 5],
        "gelu_forward": [*[pointer] * 2, ctypes.c_int64],
        "gelu_backward": [*[pointer] * 3, ctypes.c_int64],
    }.items():
        function = getattr(library, name)
        function.argtypes = [*arguments, pointer, ctypes.c_size_t, integer]
        function.restype = ctypes.c_size_t
    return library
