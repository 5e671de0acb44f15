"""The compiled program of `kernels/` for training in bfloat16 on a CPU, with memory to work in."""

import ctypes
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tenfold.engine.compiled.programs import program

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
