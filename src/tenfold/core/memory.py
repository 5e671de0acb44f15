"""Settings for how the process gets memory from the system and returns it."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"

_MEGABYTE = 1024**2
# Parameters of mallopt (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Free memory at the end of the heap, in bytes: what a run may keep, and where glibc's own adjustment ends.
_KEPT, _DEFAULT_KEPT = 512 * _MEGABYTE, 64 * _MEGABYTE
# Larger tensors always get pages of their own and return them at once. glibc allows no higher limit.
_LARGEST_KEPT_TENSOR = 32 * _MEGABYTE


def use_huge_pages() -> None:
    """Makes PyTorch keep CPU tensors of 2 MB and more in huge pages, if the system has them (Linux).

    The system clears one page of 2 MB much faster than 512 pages of 4 KB, and every training step allocates its memory
    again. PyTorch reads the variable when it allocates its first large tensor. A value set by the user is kept (0 for
    no huge pages).
    https://docs.kernel.org/admin-guide/mm/transhuge.html
    """
    os.environ.setdefault(_HUGE_PAGES, "1")


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keeps up to 512 MB of freed memory in the process until the end of the block; glibc only.

    The next training step allocates what the last one freed, and memory from the system must be cleared first. Tensors
    over 32 MB are not kept: glibc pads aligned allocations, so a large one rarely fits where the last one was, and
    the process would grow with every step.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_TRIM_THRESHOLD, _KEPT)
    libc.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_TENSOR)  # else it would stay where glibc had adjusted it to so far
    try:
        yield
    finally:
        libc.mallopt(_TRIM_THRESHOLD, _DEFAULT_KEPT)
        libc.malloc_trim(0)
