"""A process that decodes pictures, and the channel to it. What goes through, seen from its parent:

    ← nothing                      once, when it is ready
    → the sources of a chunk       pickled
    ← what became of each          pickled, in the same order

A parent that is killed closes the channel, which ends the process.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import connection
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, TypeVar

from tenfold.core.errors import TenfoldError
from tenfold.core.spawn import inheritance
from tenfold.data.decode.decode import FileSource
from tenfold.data.decode.pixels import Pixels

Key = TypeVar("Key")
Decode = Callable[[FileSource], Pixels]

_PATIENCE = 5
"""Seconds that a process gets for its last breath, once its channel is closed."""


class DecodingProcess(Generic[Key]):
    """A process that decodes chunk after chunk. It is `ready` once it runs our code; `keys` are of the chunks it has.

    Args:
        decode: what it does with each picture.

    Raises:
        OSError, RuntimeError, AssertionError, ImportError, TypeError: where no process can be had.
    """

    def __init__(self, decode: Decode) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of torch hold
        self.ready = False
        self.keys: deque[list[Key]] = deque()
        self.channel, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, decode), name="tenfold-decoder", daemon=True)
        try:
            with inheritance():
                self._process.start()
        except BaseException:
            self.end()
            raise
        finally:
            theirs.close()

    def give(self, chunk: Sequence[tuple[Key, FileSource]]) -> None:
        """Sends a chunk; a process that has just died is noticed by its end of the channel."""
        self.keys.append([key for key, _ in chunk])
        with suppress(OSError):
            self.channel.send_bytes(pickle.dumps([source for _, source in chunk]))

    def receive(self, done: Callable[[Key, Pixels], None]) -> bool:
        """Takes what the process has sent; returns False where it has ended before it was ready.

        Args:
            done: told what became of each picture of a chunk.

        Raises:
            TenfoldError: when the process has ended in the middle of its work.
        """
        try:
            message = self.channel.recv_bytes()
        except (EOFError, OSError):
            self._process.join(_PATIENCE)
            self.end()
            if self.ready:
                raise TenfoldError(_death(self._process.exitcode or 0)) from None
            return False
        if self.ready:
            for key, pixels in zip(self.keys.popleft(), pickle.loads(message), strict=True):
                done(key, pixels)
        self.ready = True
        return True

    def end(self) -> None:
        """Ends the process, whatever it does."""
        if self._process.pid is not None:
            self._process.kill()
            self._process.join()
        self.channel.close()


def _death(code: int) -> str:
    name = next((number.name for number in signal.Signals if number == -code), "")
    if not name:
        return f"a process that decodes pictures ended with exit code {code}; it has said why above"
    return (
        f"a process that decodes pictures was ended by {name}, often for lack of memory; "
        "close other programs and run the command again"
    )


def _serve(channel: "connection.Connection[Any, Any]", decode: Decode) -> None:
    """Decodes what comes through the channel."""
    _leave_terminal()
    warnings.filterwarnings("ignore", module=r"PIL\.")
    chunks: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_take_chunks, args=(channel, chunks), daemon=True).start()
    with suppress(OSError):
        channel.send_bytes(b"")
        while True:
            channel.send_bytes(pickle.dumps([decode(source) for source in pickle.loads(chunks.get())]))


def _take_chunks(channel: "connection.Connection[Any, Any]", chunks: "SimpleQueue[bytes]") -> None:
    """Keeps the channel empty: else both sides might wait to send, and for ever."""
    with suppress(EOFError, OSError):
        while True:
            chunks.put(channel.recv_bytes())
    os._exit(0)


def _leave_terminal() -> None:
    """Leaves to the parent what a terminal or `timeout` sends to all processes of a group at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)


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
