"""File locks between processes; a killed process leaves no lock behind."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(path: Path, on_wait: Callable[[], None], errors: AbstractContextManager[None]) -> Iterator[None]:
    """Holds a file lock during a `with` block.

    Args:
        path: the lock file; its folder must exist.
        on_wait: called once when another process holds the lock.
        errors: translates the OSErrors of locking, see `storage_errors`.

    Raises:
        StorageError: when the lock file cannot be written.
    """
    lock = FileLock(path)
    with errors:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_wait()
            lock.acquire(poll_interval=0.05)
    try:
        yield
    finally:
        lock.release()
