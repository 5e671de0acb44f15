"""One of several processes works, the others wait; a killed one leaves no lock behind."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(path: Path, say_waiting: Callable[[], None], translation: AbstractContextManager[None]) -> Iterator[None]:
    """Holds the lock `path` for the time of a `with` block.

    Args:
        path: of the lock file; its folder must exist.
        say_waiting: called once where another process holds the lock.
        translation: turns what the disk refuses while locking into an error of ours.

    Raises:
        StorageError: as `translation` says.
    """
    lock = FileLock(path)
    with translation:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say_waiting()
            lock.acquire(poll_interval=0.05)
    try:
        yield
    finally:
        lock.release()
