"""Every write that must survive a crash, a full disk or a power loss.

One file: temporary name in the same folder → write → fsync → replace → fsync of the folder.
Several files: temporary folder → fsync of each → manifest of digests last → rename → fsync of the parent.

All of it is made of the few operations of `Disk`. Tests put a subclass in the place of `disk` that kills the
process, records the operations or raises, and so reach every moment at which something can go wrong.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenfold.core.disk import TEMPORARY_PREFIX, shown, translated
from tenfold.core.disk import Disk as Disk
from tenfold.core.errors import RunError

MANIFEST = "manifest.json"

_TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + r"(\d+)-[0-9a-f]{12}")
_in_flight: set[str] = set()

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
    with translated("write", path):
        existed = path.exists()
        torn = existed and _ends_torn(path)
        whole = path.read_bytes().rpartition(b"\n") if torn else (b"", b"", b"")
    if torn:
        write_bytes(path, whole[0] + whole[1] + data)
        return
    with translated("write", path):
        disk.append(path, data)
        if not existed:
            disk.sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Creates a folder and those above it durably, where they are missing.

    Raises:
        StorageError: when the disk refuses.
    """
    with translated("create", path):
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
    with translated("create", path):
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
        with translated("read", file):
            if not file.is_file():
                raise RunError(f"{shown(file)} is missing; {_remedy(path)}")
            size = file.stat().st_size
        found, expected = f"{size} bytes", f"{expected_bytes} bytes"
        if size == expected_bytes and digests:
            found, expected = f"SHA-256 {digest(file)}", f"SHA-256 {expected_digest}"
        if found != expected:
            raise RunError(f"{shown(file)} is damaged: found {found}, expected {expected}; {_remedy(path)}")


def _read_manifest(path: Path) -> dict[str, tuple[str, int]]:
    """Returns digest and size by file name; raises RunError when there is no sound manifest."""
    file = path / MANIFEST
    if not file.is_file():
        raise RunError(f"{shown(file)} is missing; {_remedy(path)}")
    with translated("read", file):
        data = file.read_bytes()
    try:
        entries = json.loads(data)
        return {name: (str(entry["sha256"]), int(entry["bytes"])) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{shown(file)} is damaged: found no list of digests, expected one; {_remedy(path)}") from error


def _remedy(folder: Path) -> str:
    return f"restore it from a copy, or delete {shown(folder)} so that it is made anew"


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes of ours left half-written in `folder`; a missing folder is fine.

    Raises:
        StorageError: when the disk refuses.
    """
    with translated("clean up", folder):
        for path in folder.iterdir() if folder.is_dir() else ():
            match = _TEMPORARY.fullmatch(path.name)
            if match and not _in_use(path.name, int(match[1])):
                disk.remove(path)


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex.

    Raises:
        StorageError: when the file cannot be read.
    """
    with translated("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _temporary_beside(target: Path) -> Iterator[Path]:
    """Yields a free name in the target's folder; what still stands there at the end is removed."""
    temporary = target.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
    _in_flight.add(temporary.name)
    try:
        with translated("write", target):
            yield temporary
    finally:
        # A disk that refused to write may refuse this too: the first error is the one to tell.
        if os.path.lexists(temporary):
            with suppress(OSError):
                disk.remove(temporary)
        _in_flight.discard(temporary.name)


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
