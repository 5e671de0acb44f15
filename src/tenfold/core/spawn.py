"""What a process that is spawned takes over from the one that spawns it."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import ModuleType


@contextmanager
def inheritance(*, script: bool = False) -> Iterator[None]:
    """Sets what a process that is spawned in the block inherits, and puts it back.

    SIGINT stays blocked in it for good: Ctrl-C is for its parent to obey, whatever handlers the work installs.

    Args:
        script: whether the script that runs here is imported there; without, one that has no
            `if __name__ == "__main__":` works too.
    """
    main = sys.modules["__main__"]
    blocked = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # its own start would let signals through again
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        if not script:
            sys.modules["__main__"] = ModuleType("__main__")
        yield
    finally:
        sys.modules["__main__"] = main
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
