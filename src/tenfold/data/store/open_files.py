"""Positioned reads from files that stay open, for any number of threads."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import DataError

_MAX_OPEN = 256
"""Number of files that are open at once; the usual limit of a process is 1,024."""


class OpenFile:
    """A file that is open for reading until nobody uses it.

    Attributes:
        number: its file descriptor.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with storage_errors("read", path):
            self.number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)

    def read(self, memory: memoryview, start: int) -> None:
        """Fills memory with the bytes of the file from a position on.

        Raises:
            StorageError: when the disk cannot be read.
            DataError: when the file ends before.
        """
        try:
            while (count := _read_at(self.number, memory, start)) != len(memory):
                if not count:
                    raise DataError(
                        f"{display_path(self._path)} is shorter than it was; delete "
                        f"{display_path(self._path.parent)} to create it again"
                    )
                memory, start = memory[count:], start + count
        except OSError:
            with storage_errors("read", self._path):
                raise


class OpenFiles:
    """The files that were read last, for any number of threads; a copy in another process opens its own."""

    def __init__(self) -> None:
        self._files: OrderedDict[Path, OpenFile] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["OpenFiles"], tuple[()]]:
        return OpenFiles, ()

    def opened(self, path: Path) -> OpenFile:
        """Returns the open file of a path."""
        with self._lock:
            if path not in self._files:
                self._files[path] = OpenFile(path)
            if len(self._files) > _MAX_OPEN:
                self._files.popitem(last=False)  # closed when its last reader has ended
            return self._files[path]


_preadv: Callable[[int, tuple[memoryview], int], int] | None = getattr(os, "preadv", None)
_seeking = threading.Lock()


def _read_at(file: int, memory: memoryview, start: int) -> int:
    """Reads bytes from a position on; returns their number, which may be smaller than asked for."""
    if _preadv is not None:
        return _preadv(file, (memory,), start)
    with _seeking:  # Windows has no positioned reads
        os.lseek(file, start, os.SEEK_SET)
        data = os.read(file, len(memory))
    memory[: len(data)] = data
    return len(data)
