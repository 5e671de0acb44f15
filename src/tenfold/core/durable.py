"""Writes that survive a crash, a full disk or a power loss.

One file: temporary name in the same folder → write → fsync → replace → fsync of the folder.
Several files: temporary folder → fsync of each → manifest of digests last → rename → fsync of the parent.

Every write uses the operations of `Disk`. Tests replace `disk` with a subclass that kills the process, records the
operations or raises, to cover every point of failure.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenfold.core.disk import TEMPORARY_PREFIX, display_path, storage_errors
from tenfold.core.disk import Disk as Disk
from tenfold.core.errors import RunError

MANIFEST = "manifest.json"

_TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + r"(\d+)-[0-9a-f]{12}")
_in_flight: set[str] = set()

disk = Disk()


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file atomically: at any time it holds either the complete old or the complete new content.

    Args:
        path: the file; its folder must exist.
        data: the whole content.

    Raises:
        StorageError: when writing fails. The old content stays, and no temporary file is left.
    """
    with _temporary_beside(path) as temporary:
        disk.write(temporary, data)
        disk.sync(temporary)
        disk.replace(temporary, path)
        disk.sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text durably. Lone surrogates (from file names that are not UTF-8) become their original bytes.

    Raises:
        StorageError: when writing fails.
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, value: object) -> None:
    """Writes JSON durably: indented by two spaces, non-ASCII letters as they are, a newline at the end.

    Raises:
        StorageError: when writing fails.
        ValueError: when a number is NaN or infinite, which JSON does not support.
        TypeError: when a value has no JSON type.
    """
    write_bytes(path, json_bytes(value))


def json_bytes(value: object) -> bytes:
    """Returns the bytes that `write_json` writes.

    Raises:
        ValueError: when a number is NaN or infinite, which JSON does not support.
        TypeError: when a value has no JSON type.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        return (text + "\n").encode()
    except UnicodeEncodeError:
        # File names that are not UTF-8 contain lone surrogates, which JSON can only hold as escapes.
        return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def append_line(path: Path, line: str) -> None:
    """Appends one line to a text file. The line is durable on return.

    A last line without a newline comes from a process that died while writing; it is removed first.

    Args:
        path: the file, created if missing; its folder must exist.
        line: text without a newline.

    Raises:
        StorageError: when writing fails.
        ValueError: when `line` contains a newline.
    """
    if "\n" in line:
        raise ValueError("append_line takes one line")
    data = (line + "\n").encode("utf-8", "surrogateescape")
    with storage_errors("write", path):
        existed = path.exists()
        incomplete = existed and _ends_mid_line(path)
        complete_lines = b"".join(path.read_bytes().rpartition(b"\n")[:2]) if incomplete else b""
    if incomplete:
        write_bytes(path, complete_lines + data)
        return
    with storage_errors("write", path):
        disk.append(path, data)
        if not existed:
            disk.sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Creates a folder and its missing parents durably.

    Raises:
        StorageError: when writing fails.
    """
    with storage_errors("create", path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        disk.make_folder(path)
        for folder in reversed(missing):
            disk.sync_folder(folder.parent)


def claim_folder(path: Path) -> bool:
    """Creates a folder durably; returns False if it exists. If two processes try, only one gets True.

    Args:
        path: the folder; its parent must exist.

    Raises:
        StorageError: when writing fails.
    """
    with storage_errors("create", path):
        try:
            disk.claim_folder(path)
        except FileExistsError:
            return False
        disk.sync_folder(path.parent)
    return True


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yields a temporary folder to fill. It becomes `target` when it is complete and has a manifest, or never.

    Args:
        target: the final folder, which must not exist; missing parents are created.

    Raises:
        StorageError: when writing fails or `target` exists. No temporary folder is left.

    Example:
        >>> with new_folder(Path("store")) as folder:  # doctest: +SKIP
        ...     (folder / "images.npy").write_bytes(pixels)
    """
    make_folder(target.parent)
    with _temporary_beside(target) as temporary:
        disk.make_folder(temporary)
        yield temporary
        publish_folder(temporary, target)


def publish_folder(folder: Path, target: Path, without: str = "") -> None:
    """Makes the files of a folder durable, writes their manifest and renames the folder.

    Args:
        folder: the filled folder.
        target: its final name, which must not exist, beside it.
        without: name of a file that is removed at the last moment.

    Raises:
        OSError: when writing fails.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != without)
    for file in files:
        disk.sync(file)
    for inner in (path for path in folder.rglob("*") if path.is_dir()):
        disk.sync_folder(inner)
    manifest = {
        file.relative_to(folder).as_posix(): {"sha256": digest(file), "bytes": file.stat().st_size} for file in files
    }
    disk.write(folder / MANIFEST, json_bytes(manifest))
    disk.sync(folder / MANIFEST)
    disk.sync_folder(folder)
    if without:
        disk.remove(folder / without)
    disk.replace(folder, target)
    disk.sync_folder(target.parent)


def verify_folder(path: Path, *, digests: bool = True) -> None:
    """Checks a folder made by `new_folder` against its manifest.

    Args:
        path: the folder.
        digests: whether to read and hash every file (seconds for gigabytes); otherwise only sizes are compared.

    Raises:
        RunError: when a file is missing or damaged. The message names the file, what was found and what was expected.
        StorageError: when the disk cannot be read.
    """
    for name, (expected_digest, expected_bytes) in _read_manifest(path).items():
        file = path / name
        with storage_errors("read", file):
            if not file.is_file():
                raise RunError(f"{display_path(file)} is missing; {_remedy(path)}")
            size = file.stat().st_size
        found, expected = f"{size} bytes", f"{expected_bytes} bytes"
        if size == expected_bytes and digests:
            found, expected = f"SHA-256 {digest(file)}", f"SHA-256 {expected_digest}"
        if found != expected:
            raise RunError(f"{display_path(file)} is damaged: found {found}, expected {expected}; {_remedy(path)}")


def _read_manifest(path: Path) -> dict[str, tuple[str, int]]:
    """Returns digest and size by file name; raises RunError when the manifest is missing or damaged."""
    file = path / MANIFEST
    if not file.is_file():
        raise RunError(f"{display_path(file)} is missing; {_remedy(path)}")
    with storage_errors("read", file):
        data = file.read_bytes()
    try:
        entries = json.loads(data)
        return {name: (str(entry["sha256"]), int(entry["bytes"])) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{display_path(file)} is damaged: expected a list of digests; {_remedy(path)}") from error


def _remedy(folder: Path) -> str:
    return f"restore it from a copy, or delete {display_path(folder)} to create it again"


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files that killed Tenfold processes left in `folder`. A missing folder is fine.

    Raises:
        StorageError: when writing fails.
    """
    with storage_errors("clean up", folder):
        for path in folder.iterdir() if folder.is_dir() else ():
            match = _TEMPORARY.fullmatch(path.name)
            if match and not _in_use(path.name, int(match[1])):
                disk.remove(path)


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file as hexadecimal digits.

    Raises:
        StorageError: when the file cannot be read.
    """
    with storage_errors("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _temporary_beside(target: Path) -> Iterator[Path]:
    """Yields a temporary name in the folder of `target`. Whatever still has this name at the end is removed."""
    temporary = target.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
    _in_flight.add(temporary.name)
    try:
        with storage_errors("write", target):
            yield temporary
    finally:
        # After a failed write this may fail too: only the first error is reported.
        if os.path.lexists(temporary):
            with suppress(OSError):
                disk.remove(temporary)
        _in_flight.discard(temporary.name)


def _ends_mid_line(path: Path) -> bool:
    """Returns whether the last line of a file has no newline."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _in_use(name: str, process: int) -> bool:
    """Returns whether the process whose id is in the name may still be writing this temporary file."""
    if process == os.getpid():
        return name in _in_flight
    if os.name == "nt":
        return True  # signal 0 would end the process on Windows
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
