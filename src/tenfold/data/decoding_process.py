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
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import connection
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from tenfold.core.errors import TenfoldError
from tenfold.core.spawning import inheritance
from tenfold.data.decode import FileSource
from tenfold.data.pixels import Pixels

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
