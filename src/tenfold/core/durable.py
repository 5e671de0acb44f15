"""Every write that must survive a crash, a full disk or a power loss.

One file: temporary name in the same folder → write → fsync → replace → fsync of the folder.
Several files: temporary folder → fsync of each → manifest of digests last → rename → fsync of the parent.

All of it is made of the few operations of `Disk`. Tests put a subclass in the place of `disk` that kills the
process, records the operations or raises, and so reach every moment at which something can go wrong.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenfold.core.errors import RunError, StorageError

MANIFEST = "manifest.json"

_TEMPORARY = re.compile(r"\.tenfold-tmp-(\d+)-[0-9a-f]{12}")
_in_flight: set[str] = set()

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


disk = Disk()


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file so that at every moment either the old or the new content is there, whole.

    Args:
        path: where; its folder must exist.
        data: the whole content.

    Raises:
        StorageError: when the disk refuses; the old content stays and nothing temporary is left.
    """
    with _temporary_beside(path) as temporary:
        disk.write(temporary, data)
        disk.sync(temporary)
        disk.replace(temporary, path)
        disk.sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text durably; lone surrogates (of file names that are no UTF-8) become their bytes again.

    Raises:
        StorageError: when the disk refuses.
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, value: object) -> None:
    """Writes JSON durably: two spaces of indent, readable letters, a newline at the end.

    Raises:
        StorageError: when the disk refuses.
        ValueError: when a number is NaN or infinite, which JSON does not know.
        TypeError: when a value is of no JSON type.
    """
    write_bytes(path, json_bytes(value))


def json_bytes(value: object) -> bytes:
    """Returns what `write_json` writes.

    Raises:
        ValueError: when a number is NaN or infinite, which JSON does not know.
        TypeError: when a value is of no JSON type.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        return (text + "\n").encode()
    except UnicodeEncodeError:
        # A file name that is no UTF-8 holds lone surrogates, which only JSON's own escapes can carry.
        return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def append_line(path: Path, line: str) -> None:
    """Adds one line to a text file, durable on return.

    A last line without its newline was never finished by a process that died; it is dropped first.

    Args:
        path: where; created if missing, its folder must exist.
        line: text without a newline in it.

    Raises:
        StorageError: when the disk refuses.
        ValueError: when `line` holds a newline.
    """
    if "\n" in line:
        raise ValueError("append_line takes one line")
    data = (line + "\n").encode("utf-8", "surrogateescape")
    with _translated("write", path):
        existed = path.exists()
        torn = existed and _ends_torn(path)
        whole = path.read_bytes().rpartition(b"\n") if torn else (b"", b"", b"")
    if torn:
        write_bytes(path, whole[0] + whole[1] + data)
        return
    with _translated("write", path):
        disk.append(path, data)
        if not existed:
            disk.sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Creates a folder and those above it durably, where they are missing.

    Raises:
        StorageError: when the disk refuses.
    """
    with _translated("create", path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        disk.make_folder(path)
        for folder in reversed(missing):
            disk.sync_folder(folder.parent)


def claim_folder(path: Path) -> bool:
    """Creates a folder durably; returns False where the name is taken. Of two processes only one gets True.

    Args:
        path: the folder; the one above it must exist.

    Raises:
        StorageError: when the disk refuses.
    """
    with _translated("create", path):
        try:
            disk.claim_folder(path)
        except FileExistsError:
            return False
        disk.sync_folder(path.parent)
    return True


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yields a temporary folder to fill; it appears as `target`, complete and with a manifest, or not at all.

    Args:
        target: the final name, which must be free; folders above it are created.

    Raises:
        StorageError: when the disk refuses or the name is taken; nothing temporary is left.

    Example:
        >>> with new_folder(Path("store")) as folder:  # doctest: +SKIP
        ...     (folder / "images.npy").write_bytes(pixels)
    """
    make_folder(target.parent)
    with _temporary_beside(target) as temporary:
        disk.make_folder(temporary)
        yield temporary
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        for file in files:
            disk.sync(file)
        for folder in (path for path in temporary.rglob("*") if path.is_dir()):
            disk.sync_folder(folder)
        manifest = {
            file.relative_to(temporary).as_posix(): {"sha256": digest(file), "bytes": file.stat().st_size}
            for file in files
        }
        disk.write(temporary / MANIFEST, json_bytes(manifest))
        disk.sync(temporary / MANIFEST)
        disk.sync_folder(temporary)
        disk.replace(temporary, target)
        disk.sync_folder(target.parent)


def verify_folder(path: Path, *, digests: bool = True) -> None:
    """Checks a folder of `new_folder` against its manifest.

    Args:
        path: the folder.
        digests: whether to read every file (seconds for gigabytes), or to look at sizes only.

    Raises:
        RunError: when a file is missing or damaged; it names the file, what was found and what was expected.
        StorageError: when the disk cannot be read.
    """
    for name, (expected_digest, expected_bytes) in _read_manifest(path).items():
        file = path / name
        if not file.is_file():
            raise RunError(f"{shown(file)} is missing; {_remedy(path)}")
        found_bytes = file.stat().st_size
        if found_bytes != expected_bytes:
            raise RunError(
                f"{shown(file)} is damaged: found {found_bytes} bytes, expected {expected_bytes}; {_remedy(path)}"
            )
        if digests and (found := digest(file)) != expected_digest:
            raise RunError(
                f"{shown(file)} is damaged: found SHA-256 {found}, expected {expected_digest}; {_remedy(path)}"
            )


def _read_manifest(path: Path) -> dict[str, tuple[str, int]]:
    """Returns digest and size by file name; raises RunError when there is no sound manifest."""
    file = path / MANIFEST
    if not file.is_file():
        raise RunError(f"{shown(file)} is missing; {_remedy(path)}")
    with _translated("read", file):
        data = file.read_bytes()
    try:
        entries = json.loads(data)
        return {name: (str(entry["sha256"]), int(entry["bytes"])) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{shown(file)} is damaged: found no list of digests, expected one; {_remedy(path)}"
        ) from error


def _remedy(folder: Path) -> str:
    return f"restore it from a copy, or delete {shown(folder)} so that it is made anew"


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes of ours left half-written in `folder`; a missing folder is fine.

    Raises:
        StorageError: when the disk refuses.
    """
    with _translated("clean up", folder):
        for path in folder.iterdir() if folder.is_dir() else ():
            match = _TEMPORARY.fullmatch(path.name)
            if match and not _in_use(path.name, int(match[1])):
                disk.remove(path)


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex.

    Raises:
        StorageError: when the file cannot be read.
    """
    with _translated("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(path: Path) -> str:
    """Returns a path fit for one line of text, whatever bytes its name holds."""
    text = str(path)
    return text if text.isprintable() else repr(text)


@contextmanager
def _temporary_beside(target: Path) -> Iterator[Path]:
    """Yields a free name in the target's folder; what still stands there at the end is removed."""
    temporary = target.parent / f".tenfold-tmp-{os.getpid()}-{secrets.token_hex(6)}"
    _in_flight.add(temporary.name)
    try:
        with _translated("write", target):
            yield temporary
    finally:
        # A disk that refused to write may refuse this too: the first error is the one to tell.
        if os.path.lexists(temporary):
            with suppress(OSError):
                disk.remove(temporary)
        _in_flight.discard(temporary.name)


@contextmanager
def _translated(verb: str, path: Path) -> Iterator[None]:
    """Turns OSError into a StorageError that names path, reason and remedy."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}; check the path and the disk")
        raise StorageError(f"cannot {verb} {shown(path)}: {reason}") from error


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ends_torn(path: Path) -> bool:
    """Returns whether a file has content that does not end with a newline."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _in_use(name: str, process: int) -> bool:
    """Returns whether a temporary may still be written by the process that its name tells of."""
    if process == os.getpid():
        return name in _in_flight
    if os.name == "nt":
        return True  # asking with signal 0 would end the process there
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
