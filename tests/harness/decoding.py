"""Decode functions and settings for tests of the decode pool."""

import os
import signal
import sys
import time
from concurrent.futures import wait
from pathlib import Path
from typing import Any

from tenfold.data.decode import workers
from tenfold.data.decode.tasks import DecodedImage


def process_id(source: Path | bytes) -> DecodedImage:
    return DecodedImage(b"", reason=str(os.getpid()))


def slow_or_deadly(source: Path | bytes) -> DecodedImage:
    if source == b"deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return DecodedImage(bytes(source) if isinstance(source, bytes) else b"")


class FailsToArrive:
    """Decodes here, but cannot be unpickled in another process."""

    def __call__(self, source: Path | bytes) -> DecodedImage:
        return process_id(source)

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.exit, (1,)


def start_workers_at_once(patch: Any) -> None:
    """Lets two workers start with the first chunks."""
    patch.setattr(workers, "_SECONDS_ALONE", -1.0)
    patch.setattr(workers, "_num_workers", lambda: 2)
    patch.setattr(workers, "_MAX_CHUNK", 4)


def decode_in_workers_only(patch: Any) -> None:
    """Lets two workers start with the first chunks, and waits for them."""

    def wait_and_put(pool: workers.DecodePool[Any], chunk: list[Any]) -> None:
        assert pool._first_worker is not None
        wait([pool._first_worker])
        for key, source in chunk:
            pool.put(key, source)

    start_workers_at_once(patch)
    patch.setattr(workers.DecodePool, "_decode_here", wait_and_put)
