"""Decodes pictures on all cores, where there are enough of them.

Threads would wait for one another: Pillow keeps the interpreter while it opens a picture, which for a small one
is most of the work. So processes share it.
"""

import os
import time
import warnings
from collections.abc import Callable
from multiprocessing import connection
from types import TracebackType
from typing import Generic, TypeVar

from tenfold.data.decode import FileSource
from tenfold.data.decoding_process import Decode, DecodingProcess
from tenfold.data.pixels import Pixels

Key = TypeVar("Key")

_ALONE_SECONDS = 0.25
"""How long this process decodes by itself: about what another one needs to start."""
_MOST_PROCESSES = 32
_MOST_IN_CHUNK = 64
_CHUNK_PIXEL_BYTES = 4 << 20
_CHUNK_SOURCE_BYTES = 4 << 20
_ON_THE_WAY = 2
"""Chunks that a process has at a time, so that it never waits for the next."""


class Decoders(Generic[Key]):
    """Takes pictures one by one, and says what became of each; all are done at the end of the `with` block.

    Args:
        decode: turns a file into pixels; it must be picklable and raise nothing.
        size: height and width of the pixels.
        done: told what became of each picture, in any order.

    Example:
        >>> with Decoders(small_pixels, (64, 64), print) as decoders:  # doctest: +SKIP
        ...     decoders.put("cat", Path("cat.png"))
    """

    def __init__(self, decode: Decode, size: tuple[int, int], done: Callable[[Key, Pixels], None]) -> None:
        self._decode = decode
        self._done = done
        self._most_in_chunk = max(1, min(_MOST_IN_CHUNK, _CHUNK_PIXEL_BYTES // (size[0] * size[1] * 3)))
        self._chunk: list[tuple[Key, FileSource]] = []
        self._chunk_bytes = 0
        self._seconds = 0.0
        self._processes: list[DecodingProcess[Key]] = []
        self._most_processes = _most_processes()

    def __enter__(self) -> "Decoders[Key]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._hand_out()
                while any(process.keys for process in self._processes):
                    self._receive(None)
        finally:
            for process in self._processes:
                process.end()

    def put(self, key: Key, source: FileSource) -> None:
        """Takes a picture.

        Args:
            key: by which `done` is told of it.
            source: its file, or the bytes of it.

        Raises:
            TenfoldError: when a decoding process was ended from outside.
        """
        self._chunk.append((key, source))
        self._chunk_bytes += len(source) if isinstance(source, bytes) else 0
        if len(self._chunk) == self._most_in_chunk or self._chunk_bytes > _CHUNK_SOURCE_BYTES:
            self._hand_out()

    def _hand_out(self) -> None:
        """Gives the chunk to the process that has least to do; does it here while there is none."""
        chunk, self._chunk, self._chunk_bytes = self._chunk, [], 0
        self._receive(0)
        while all(len(process.keys) == _ON_THE_WAY for process in self._ready()):
            if self._seconds > _ALONE_SECONDS:
                self._start_one()
            if not self._ready():
                self._do(chunk)
                return
            self._receive(None)
        min(self._ready(), key=lambda process: len(process.keys)).give(chunk)

    def _do(self, chunk: list[tuple[Key, FileSource]]) -> None:
        start = time.perf_counter()
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, once for each kind; a user can do nothing about it.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            for key, source in chunk:
                self._done(key, self._decode(source))
        self._seconds += time.perf_counter() - start

    def _ready(self) -> list[DecodingProcess[Key]]:
        return [process for process in self._processes if process.ready]

    def _start_one(self) -> None:
        """Starts a process where a core is left for it; one after the other, so that only those start that pay."""
        if len(self._processes) >= self._most_processes or len(self._ready()) < len(self._processes):
            return
        try:
            self._processes.append(DecodingProcess(self._decode))
        except (OSError, RuntimeError, AssertionError, ImportError, TypeError):
            # In a daemon, in a program that embeds Python, at a limit of the system: then without.
            self._most_processes = 0

    def _receive(self, timeout: float | None) -> None:
        """Takes what the processes have sent; waits for something where `timeout` is None."""
        by_channel = {process.channel: process for process in self._processes}
        for channel in connection.wait(list(by_channel), timeout) if by_channel else ():
            process = by_channel[channel]  # type: ignore[index]
            if not process.receive(self._done):
                self._processes.remove(process)
                self._most_processes = 0


def _most_processes() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_PROCESSES, cores) if cores > 1 else 0
