"""What folders of runs and of sweeps have in common: a lock, and JSON that may be damaged."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenfold.core.disk import shown, translated
from tenfold.core.errors import RunError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keeps other processes from working in `folder` for the time of a `with` block.

    Raises:
        RunError: when another process is at it. A process that dies, however, frees the lock.
        StorageError: when the disk refuses.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    with translated("lock", folder):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"{shown(folder)} is being trained by another process; wait for it, or stop it first"
            ) from error
    try:
        yield
    finally:
        lock.release()


def read_json_object(file: Path, remedy: str) -> dict[str, Any]:
    """Returns what a JSON file holds.

    Args:
        file: to read.
        remedy: what to do where it is missing or damaged, for the message.

    Raises:
        RunError: when the file is missing or holds no JSON object.
        StorageError: when it cannot be read.
    """
    if not file.is_file():
        raise RunError(f"{shown(file)} is missing; {remedy}")
    try:
        with translated("read", file):
            value = json.loads(file.read_bytes())
    except ValueError as error:
        raise RunError(f"{shown(file)} is damaged, expected JSON; {remedy}") from error
    if not isinstance(value, dict):
        raise RunError(f"{shown(file)} is damaged, expected a JSON object; {remedy}")
    return value
