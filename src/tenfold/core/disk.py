"""The file operations behind every durable write, and the error messages when one of them fails."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenfold.core.errors import StorageError

TEMPORARY_PREFIX = ".tenfold-tmp-"

_OTHER_FOLDER = "choose another folder that you can write to, or set TENFOLD_CACHE if this is the cache"
_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the command again",
    errno.EDQUOT: "your disk quota is used up; free some space and run the command again",
    errno.EROFS: f"the disk is read-only; {_OTHER_FOLDER}",
    errno.EACCES: f"permission is denied; {_OTHER_FOLDER}",
    errno.EIO: "the disk reports an I/O error and may be failing; check it, and use another one",
    errno.ENOENT: "no such file or folder; create the folder or correct the path",
    errno.EEXIST: "it already exists; choose another name",
    errno.ENOTEMPTY: "it already exists; choose another name",
    errno.EISDIR: "it is a folder, expected a file; choose another name",
    errno.ENOTDIR: "part of this path is a file, expected a folder; choose another path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}
_REASONS[errno.EPERM] = _REASONS[errno.EACCES]


class Disk:
    """The file operations. Each raises OSError when it fails. Tests replace this class to inject faults."""

    def write(self, path: Path, data: bytes) -> None:
        """Writes a whole file. It is not durable yet."""
        with path.open("wb") as file:
            file.write(data)

    def append(self, path: Path, data: bytes) -> None:
        """Appends to a file. The data is durable on return."""
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def sync(self, path: Path) -> None:
        """Makes the content of a file durable (fsync)."""
        _fsync(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)

    def replace(self, source: Path, target: Path) -> None:
        """Atomically renames a file over another one, or a folder to a free name."""
        source.replace(target)

    def sync_folder(self, path: Path) -> None:
        """Makes the entries of a folder durable, on systems that support it."""
        if os.name == "nt":
            return
        try:
            _fsync(path, os.O_RDONLY)
        except OSError as error:
            # Some network file systems do this by themselves and reject fsync of a folder.
            if error.errno != errno.EINVAL:
                raise

    def make_folder(self, path: Path) -> None:
        """Creates a folder and its missing parents."""
        path.mkdir(parents=True, exist_ok=True)

    def claim_folder(self, path: Path) -> None:
        """Creates a folder; raises FileExistsError if it exists."""
        path.mkdir()

    def remove(self, path: Path) -> None:
        """Deletes a temporary file or folder, or an old checkpoint."""
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


def expanded(name: str) -> Path:
    """Returns the path with `~` expanded, or unchanged where there is no such home folder."""
    with suppress(RuntimeError):
        return Path(name).expanduser()
    return Path(name)


def display_path(path: Path) -> str:
    """Returns a path as one printable line, whatever bytes its name contains."""
    text = str(path)
    return text if text.isprintable() else repr(text)


@contextmanager
def storage_errors(verb: str, path: Path) -> Iterator[None]:
    """Converts an OSError in the block into a StorageError that names path, reason and remedy.

    Args:
        verb: the attempted operation for the message, such as `write` or `read`.
        path: the file or folder.

    Raises:
        StorageError: instead of any OSError in the block.
    """
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}; check the path and the disk")
        failed_path = str(error.filename or path)
        if failed_path != str(path) and TEMPORARY_PREFIX not in failed_path:
            reason = f"{display_path(Path(failed_path))}: {reason}"
        raise StorageError(f"cannot {verb} {display_path(path)}: {reason}") from error
