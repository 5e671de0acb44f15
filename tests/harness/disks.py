"""Disks that kill the process, raise or record, to be put in the place of `durable.disk`."""

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


class WatchedDisk(Disk):
    """Tells `before` of every primitive operation and its arguments, then does it."""

    def before(self, operation: str, *arguments: Any) -> None:
        raise NotImplementedError


def _watched(operation: str) -> Callable[..., None]:
    def do(self: WatchedDisk, *arguments: Any) -> None:
        self.before(operation, *arguments)
        getattr(Disk, operation)(self, *arguments)

    return do


for _operation in OPERATIONS:
    setattr(WatchedDisk, _operation, _watched(_operation))


class KillingDisk(WatchedDisk):
    """SIGKILLs the process at the k-th operation (from 1), optionally after half of a write or removal."""

    def __init__(self, k: int, *, torn: bool = False) -> None:
        self.left = k
        self.torn = torn

    def before(self, operation: str, *arguments: Any) -> None:
        self.left -= 1
        if self.left:
            return
        if self.torn:
            tear(operation, *arguments)
        os.kill(os.getpid(), signal.SIGKILL)


class RaisingDisk(WatchedDisk):
    """Raises an OSError at the k-th operation (from 1), once or from then on.

    A full disk still lets files be removed; a read-only or failing one does not.
    """

    def __init__(self, k: int, number: int, *, for_good: bool, torn: bool = False) -> None:
        self.k = k
        self.number = number
        self.for_good = for_good
        self.torn = torn
        self.done = 0
        self.removable = number == errno.ENOSPC

    def before(self, operation: str, *arguments: Any) -> None:
        self.done += 1
        if self.done < self.k or (self.done > self.k and not self.for_good):
            return
        if operation == "remove" and self.removable:
            return
        if self.torn:
            tear(operation, *arguments)
        raise OSError(self.number, os.strerror(self.number), str(arguments[0]))


@dataclass(frozen=True)
class Operation:
    """One recorded operation; paths are relative to the recording's root."""

    kind: str
    path: Path
    data: bytes = b""
    target: Path | None = None


class RecordingDisk(WatchedDisk):
    """Does everything and remembers it; `acknowledge` marks that something was promised to be safe."""

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


class ForgetfulDisk(RecordingDisk):
    """A planted bug: it believes that writing is enough and never syncs a file."""

    def sync(self, path: Path) -> None:
        """Does nothing."""


def tear(operation: str, *arguments: Any) -> None:
    """Does half of an operation that has halves."""
    path: Path = arguments[0]
    if operation in ("write", "append"):
        with path.open("wb" if operation == "write" else "ab") as file:
            file.write(arguments[1][: len(arguments[1]) // 2])
    elif operation == "remove" and path.is_dir():
        for file_path in sorted(path.iterdir())[::2]:
            file_path.unlink()


@contextmanager
def installed(disk: Disk) -> Iterator[Disk]:
    """Puts `disk` in the place of `durable.disk` for the time of a `with` block."""
    before = durable.disk
    durable.disk = disk
    try:
        yield disk
    finally:
        durable.disk = before


def in_child(work: Callable[[Callable[[str], None]], None]) -> tuple[bool, list[str]]:
    """Runs `work` in a forked child.

    Args:
        work: is given a function that acknowledges something to the parent, surviving the child's death.

    Returns:
        Whether the child came to its end (False: it was killed), and what it acknowledged.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and newer warn of a fork beside threads, which are idle here.
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
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return not os.WIFSIGNALED(status), acknowledged


def leftovers(folder: Path) -> list[Path]:
    """Returns every temporary below `folder`."""
    return [path for path in folder.rglob("*") if path.name.startswith(".tenfold-tmp-")]
