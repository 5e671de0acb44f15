"""Sets what a spawned process takes over from its parent."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import ModuleType


@contextmanager
def inheritance() -> Iterator[None]:
    """Sets what processes that are spawned in the `with` block inherit.

    SIGINT stays blocked in them for good: the parent handles Ctrl-C, whatever handlers the child's code installs.
    They do not import the script that runs here, so it needs no `if __name__ == "__main__":`.
    """
    main = sys.modules["__main__"]
    previous_mask = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # when it starts later, it unblocks signals again
        previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        sys.modules["__main__"] = ModuleType("__main__")
        yield
    finally:
        sys.modules["__main__"] = main
        if previous_mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def stop_with_parent() -> None:
    """Lets the system send this process SIGTERM when its parent ends, even by SIGKILL. Only on Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Sets the environment variables that processes started in the `with` block inherit, and restores them."""
    previous = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in previous.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def leave_process_group() -> None:
    """Makes this process ignore the signals that a terminal or `timeout` sends to a whole process group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
