"""What the tests of decoding have done in its processes, and a program that prepares pictures in several."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tenfold.data.decode.decode import workers as decoders
from tenfold.data.decode.pixels import Pixels


def process_id(source: Path | bytes) -> Pixels:
    return Pixels(b"", reason=str(os.getpid()))


def slow_or_deadly(source: Path | bytes) -> Pixels:
    if source == b"deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return Pixels(bytes(source) if isinstance(source, bytes) else b"")


class FailsToArrive:
    """Decodes here, but cannot be unpickled in another process."""

    def __call__(self, source: Path | bytes) -> Pixels:
        return process_id(source)

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.exit, (1,)


def processes_at_once(patch: Any) -> None:
    """Has two processes started with the first chunks."""
    patch.setattr(decoders, "_ALONE_SECONDS", -1.0)
    patch.setattr(decoders, "_most_processes", lambda: 2)
    patch.setattr(decoders, "_MOST_IN_CHUNK", 4)


def processes_only(patch: Any) -> None:
    """Has two processes started with the first chunks, and waits for them."""

    def wait(group: decoders.Decoders[Any], chunk: list[Any]) -> None:
        group._receive(None)
        for key, source in chunk:
            group.put(key, source)

    processes_at_once(patch)
    patch.setattr(decoders.Decoders, "_do", wait)
