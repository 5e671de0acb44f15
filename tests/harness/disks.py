"""Replacements of `durable.disk` that kill the process, raise an error or record the operations."""

import errno
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import Disk

OPERATIONS = (
    "write",
    "append",
    "sync",
    "replace",
    "sync_folder",
    "make_folder",
    "claim_folder",
    "remove",
)


class InterceptedDisk(Disk):
    """Calls `before` with every operation and its arguments, then executes it."""

    def before(self, operation: str, *arguments: Any) -> None:
        raise NotImplementedError


def _intercepted(operation: str) -> Callable[..., None]:
    def do(self: InterceptedDisk, *arguments: Any) -> None:
        self.before(operation, *arguments)
        getattr(Disk, operation)(self, *arguments)

    return do


for _operation in OPERATIONS:
    setattr(InterceptedDisk, _operation, _intercepted(_operation))


class KillingDisk(InterceptedDisk):
    """Kills the process with SIGKILL at the k-th operation (from 1), optionally after half of it."""

    def __init__(self, k: int, *, torn: bool = False) -> None:
        self.left = k
        self.torn = torn

    def before(self, operation: str, *arguments: Any) -> None:
        self.left -= 1
        if self.left:
            return
        if self.torn:
            do_half(operation, *arguments)
        os.kill(os.getpid(), signal.SIGKILL)


class RaisingDisk(InterceptedDisk):
    """Raises an OSError at the k-th operation (from 1), once or permanently.

    A full disk still removes files; a read-only or failing one does not.
    """

    def __init__(self, k: int, number: int, *, permanent: bool, torn: bool = False) -> None:
        self.k = k
        self.number = number
        self.permanent = permanent
        self.torn = torn
        self.done = 0
        self.removable = number == errno.ENOSPC

    def before(self, operation: str, *arguments: Any) -> None:
        self.done += 1
        if self.done < self.k or (self.done > self.k and not self.permanent):
            return
        if operation == "remove" and self.removable:
            return
        if self.torn:
            do_half(operation, *arguments)
        raise OSError(self.number, os.strerror(self.number), str(arguments[0]))


@dataclass(frozen=True)
class Operation:
    """A recorded operation. Paths are relative to the root of the recording."""

    kind: str
    path: Path
    data: bytes = b""
    target: Path | None = None


class RecordingDisk(InterceptedDisk):
    """Executes and records every operation. `acknowledge` marks content that is promised to be durable."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.operations: list[Operation] = []

    def before(self, operation: str, *arguments: Any) -> None:
        path = arguments[0].relative_to(self.root)
        if operation in ("write", "append"):
            self.operations.append(Operation(operation, path, data=arguments[1]))
        elif operation == "replace":
            self.operations.append(Operation(operation, path, target=arguments[1].relative_to(self.root)))
        else:
            self.operations.append(Operation(operation, path))
        if operation == "append":
            self.operations.append(Operation("sync", path))

    def acknowledge(self, what: str) -> None:
        self.operations.append(Operation("acknowledge", Path(what)))


class NeverSyncingDisk(RecordingDisk):
    """A deliberate bug: files are never synced."""

    def sync(self, path: Path) -> None:
        """Does nothing."""


def do_half(operation: str, *arguments: Any) -> None:
    """Executes half of a write, an append or the removal of a folder."""
    path: Path = arguments[0]
    if operation in ("write", "append"):
        with path.open("wb" if operation == "write" else "ab") as file:
            file.write(arguments[1][: len(arguments[1]) // 2])
    elif operation == "remove" and path.is_dir():
        for file_path in sorted(path.iterdir())[::2]:
            file_path.unlink()


@contextmanager
def installed(disk: Disk) -> Iterator[Disk]:
    """Replaces `durable.disk` inside a `with` block."""
    previous = durable.disk
    durable.disk = disk
    try:
        yield disk
    finally:
        durable.disk = previous


def in_child(work: Callable[[Callable[[str], None]], None]) -> tuple[bool, list[str]]:
    """Runs `work` in a forked child.

    Args:
        work: receives a function that sends a word to the parent, even if the child is killed later.

    Returns:
        Whether the child finished (False: it was killed), and the words that it sent.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and newer warn about a fork with threads, which are idle here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work(lambda what: os.write(writer, f"{what}\n".encode()) and None)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as file:
        acknowledged = file.read().split()
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child raised an error"
    return not os.WIFSIGNALED(status), acknowledged


def temporaries(folder: Path) -> list[Path]:
    """Returns all temporary files and folders of Tenfold in `folder`."""
    return [path for path in folder.rglob("*") if path.name.startswith(".tenfold-tmp-")]
