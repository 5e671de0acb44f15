"""The few operations of which every durable write is made, and what it means when the disk refuses one."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenfold.core.errors import StorageError

TEMPORARY_PREFIX = ".tenfold-tmp-"

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the command again",
    errno.EDQUOT: "your disk quota is used up; free some space and run the command again",
    errno.EROFS: "the disk is read-only; choose another folder: start from one you may write to, "
    "or set TENFOLD_CACHE if this is the cache",
    errno.EACCES: "permission is denied; choose another folder: start from one you may write to, "
    "or set TENFOLD_CACHE if this is the cache",
    errno.EIO: "the disk reports an I/O error and may be failing; check it, and use another one",
    errno.ENOENT: "there is no such file or folder; create the folder or correct the path",
    errno.EEXIST: "it exists already; choose another name",
    errno.ENOTEMPTY: "it exists already; choose another name",
    errno.EISDIR: "it is a folder, expected a file; choose another name",
    errno.ENOTDIR: "a part of this path is a file, expected a folder; choose another path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}
_REASONS[errno.EPERM] = _REASONS[errno.EACCES]


class Disk:
    """The primitive operations; each raises OSError when the disk refuses."""

    def write(self, path: Path, data: bytes) -> None:
        """Writes a whole file, not yet durable; raises OSError."""
        with path.open("wb") as file:
            file.write(data)

    def append(self, path: Path, data: bytes) -> None:
        """Adds to the end of a file, durable on return; raises OSError."""
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def sync(self, path: Path) -> None:
        """Makes a file's content durable; raises OSError."""
        _fsync(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)

    def replace(self, source: Path, target: Path) -> None:
        """Renames a file over another, or a folder to a free name, in one step; raises OSError."""
        source.replace(target)

    def sync_folder(self, path: Path) -> None:
        """Makes a folder's names durable, where the system can; raises OSError."""
        if os.name == "nt":
            return
        try:
            _fsync(path, os.O_RDONLY)
        except OSError as error:
            # Some network file systems keep names durable by themselves and refuse to be asked.
            if error.errno != errno.EINVAL:
                raise

    def make_folder(self, path: Path) -> None:
        """Creates a folder and those above it, where they are missing; raises OSError."""
        path.mkdir(parents=True, exist_ok=True)

    def claim_folder(self, path: Path) -> None:
        """Creates a folder that nobody else has; raises FileExistsError where it is there already."""
        path.mkdir()

    def remove(self, path: Path) -> None:
        """Deletes a temporary or an old checkpoint of ours, file or folder; raises OSError."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def shown(path: Path) -> str:
    """Returns a path fit for one line of text, whatever bytes its name holds."""
    text = str(path)
    return text if text.isprintable() else repr(text)


@contextmanager
def translated(verb: str, path: Path) -> Iterator[None]:
    """Turns OSError into a StorageError that names path, reason and remedy.

    Args:
        verb: what was tried: `write`, `read`.
        path: on what.

    Raises:
        StorageError: in the place of any OSError of the block.
    """
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}; check the path and the disk")
        culprit = str(error.filename or path)
        if culprit != str(path) and TEMPORARY_PREFIX not in culprit:
            reason = f"{shown(Path(culprit))}: {reason}"
        raise StorageError(f"cannot {verb} {shown(path)}: {reason}") from error
