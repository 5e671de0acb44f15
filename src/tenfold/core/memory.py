"""How the process gets its memory from the system, and gives it back."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_SWITCH = "THP_MEM_ALLOC_ENABLE"

# mallopt's names (malloc.h), and what the C library settles on by itself in a process with large tensors
_TRIM_THRESHOLD, _MAPPED_AT_MOST = -1, -4
_USUAL = {_TRIM_THRESHOLD: 64 * 1024**2, _MAPPED_AT_MOST: 65536}


def ask_for_huge_pages() -> None:
    """Asks PyTorch to keep tensors of 2 MB and more on a CPU in huge pages, where the system has them (Linux).

    A training step asks for its memory anew each time, and the system clears and hands out two megabytes at once
    far sooner than 512 pages of 4 KB. PyTorch reads the switch when it makes its first large tensor; whoever has
    set it before keeps their choice (0 for none).
    https://docs.kernel.org/admin-guide/mm/transhuge.html
    """
    os.environ.setdefault(_SWITCH, "1")


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keeps memory that is freed in the process, and gives it back to the system at the end; glibc only.

    The next step of a training asks for what the last one freed. Memory that comes back from the system has to be
    cleared first, and under a hypervisor perhaps to be found first: a convolution's 29 MB of output then took longer to
    get than to compute.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    library.mallopt(_TRIM_THRESHOLD, -1)  # never
    library.mallopt(_MAPPED_AT_MOST, 0)
    try:
        yield
    finally:
        for name, value in _USUAL.items():
            library.mallopt(name, value)
        library.malloc_trim(0)
