"""Downloads files: resumed, retried and verified; a file gets its final name only when its checksum is right."""

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from io import RawIOBase
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from tenfold.core import durable
from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import DataError, DownloadError, StorageError
from tenfold.core.locks import locked
from tenfold.core.text import one_line
from tenfold.data.sources.transport import TEMPORARY_ERRORS, RefusedError, TryAgainError, chunks, open_url
from tenfold.data.types import ProgressCallback, no_progress

REMEDY = "download it by hand into a folder and pass that as --data-dir, or name other servers in TENFOLD_MIRRORS"
_MAX_BYTES = 64 << 30  # for a file of unknown size
_MIN_NEW_BYTES = 1 << 20


class Checksum(NamedTuple):
    """What a file must have: the kind of its checksum, `md5` or `sha256`, and the hex digits."""

    kind: str
    digits: str

    def __str__(self) -> str:
        return f"{self.kind.upper().replace('SHA', 'SHA-')} {self.digits}"

    def of(self, path: Path) -> "Checksum":
        """Returns the checksum of this kind that a file has.

        Raises:
            StorageError: when the file cannot be read.
        """
        with storage_errors("read", path), path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.new(self.kind, usedforsecurity=False))
        return Checksum(self.kind, digest.hexdigest())


@dataclass(frozen=True)
class _Transfer:
    """One file that is downloaded; `part` is the file that grows."""

    target: Path
    checksum: "Checksum | None"
    size: int | None
    progress: ProgressCallback
    timeout: float

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def max_bytes(self) -> int:
        return self.size or _MAX_BYTES

    def num_bytes(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def delete_part(self) -> None:
        with storage_errors("write", self.part):
            durable.disk.remove(self.part)


def check_file(path: Path, expected: Checksum, remedy: str = REMEDY) -> None:
    """Compares the checksum of a file with the expected one.

    Raises:
        DataError: when they differ; the message names the file, both checksums and the remedy.
    """
    actual = expected.of(path)
    if actual != expected:
        raise DataError(
            f"{display_path(path)} ({path.stat().st_size} bytes) has {actual}, expected {expected.digits}: it is cut "
            f"short or altered; move it away so that it is downloaded again, or {remedy}"
        )


def download(
    urls: Sequence[str],
    target: Path,
    *,
    checksum: Checksum | None,
    size: int | None = None,
    progress: ProgressCallback = no_progress,
    attempts: int = 3,
    timeout: float = 10.0,
    sleep: Callable[[float], None] = time.sleep,
    remedy: str = REMEDY,
) -> Path:
    """Downloads a file from the first server that delivers it, and returns its path.

    Data are collected in `<target>.part`, which a later attempt or call continues. Of several processes one downloads
    while the others wait. An existing file is only verified.

    Args:
        urls: addresses of the same file, tried in turn; https, or http on this machine.
        target: final path; the file appears there only when its checksum is right.
        checksum: expected checksum; None accepts what arrives.
        size: expected size in bytes, where known.
        progress: called with a description, the bytes that have arrived and the total (0 where unknown).
        attempts: number of rounds through `urls` that may bring nothing new, at least 1.
        timeout: seconds that a server may be silent; within that time it must also send 1 KiB/s.
        sleep: called with the seconds to wait between rounds.
        remedy: what an error message says to do.

    Raises:
        DownloadError: when no server delivers; the message names the file, the checksum, every reason and the remedy.
        DataError: when an existing file has another checksum; it is not changed.
        StorageError: when the folder cannot be written.
    """
    with storage_errors("write", target.parent):
        durable.disk.make_folder(target.parent)
    with _lock(target, progress):
        if not target.exists():
            _fetch(_Transfer(target, checksum, size, progress, timeout), urls, attempts, sleep, remedy)
        elif checksum:
            check_file(target, checksum, remedy)
    return target


@contextmanager
def _lock(target: Path, progress: ProgressCallback) -> Iterator[None]:
    waiting = f"Waiting for another process that downloads {target.name}"
    path = target.with_name(f"{target.name}.lock")
    with locked(path, lambda: progress(waiting, 0, 0), storage_errors("write", target.parent)):
        yield


def _fetch(
    transfer: _Transfer, urls: Sequence[str], attempts: int, sleep: Callable[[float], None], remedy: str
) -> None:
    reasons: dict[str, str] = {}
    usable = list(urls)
    most, attempts_left = transfer.num_bytes(), attempts
    while attempts_left and usable:
        for url in tuple(usable):
            try:
                _attempt(transfer, url)
                return _publish(transfer)
            except RefusedError as error:
                usable.remove(url)
                reasons[url] = str(error)
            except TEMPORARY_ERRORS as error:
                reasons[url] = one_line(str(error)) or type(error).__name__
        # A round that brought new data costs no attempt: a server may break the connection every few megabytes.
        brought_data = transfer.num_bytes() >= most + _MIN_NEW_BYTES
        most = max(most, transfer.num_bytes())
        attempts_left -= not brought_data
        if attempts_left and usable:
            sleep(min(8.0, 0.5 * 2 ** (attempts - attempts_left)))
    tried = "; ".join(f"{url}: {reason}" for url, reason in reasons.items()) or "no server was named"
    expected = f"; expected {transfer.checksum}" if transfer.checksum else ""
    expected += f" and {transfer.size} bytes" if transfer.size else ""
    raise DownloadError(f"{transfer.target.name} could not be downloaded ({tried}){expected}; {remedy}")


def _publish(transfer: _Transfer) -> None:
    """Gives the complete file its final name, or deletes it when its checksum is wrong."""
    if transfer.checksum and (actual := transfer.checksum.of(transfer.part)) != transfer.checksum:
        num_bytes = transfer.num_bytes()
        transfer.delete_part()
        raise TryAgainError(f"{num_bytes} bytes with {actual} arrived, expected {transfer.checksum}")
    with storage_errors("write", transfer.target):
        durable.disk.sync(transfer.part)
        durable.disk.replace(transfer.part, transfer.target)
        durable.disk.sync_folder(transfer.target.parent)


def _attempt(transfer: _Transfer, url: str) -> None:
    """Completes the part file, or raises."""
    start = transfer.num_bytes()
    if start and start == transfer.size:
        return None
    with closing(open_url(url, transfer.timeout, start)) as response:
        status = response.status
        if status == 200:
            return _receive(transfer, response, 0)
        if status == 206 and _continues(response, start, transfer.size):
            return _receive(transfer, response, start)
    if start and status in (206, 416):
        transfer.delete_part()
        return _attempt(transfer, url)
    kind = RefusedError if 400 <= status < 500 and status not in (408, 425, 429) else TryAgainError
    raise kind(f"the server answered with HTTP status {status}")


def _continues(response: HTTPResponse, start: int, size: int | None) -> bool:
    """Returns whether a partial response begins at the requested byte and belongs to a file of the right size."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    return bool(start and match and int(match[1]) == start and (not size or match[3] in ("*", str(size))))


def _receive(transfer: _Transfer, response: HTTPResponse, start: int) -> None:
    length = response.headers.get("Content-Length", "")
    total = transfer.size or (start + int(length) if length.isdecimal() else 0)
    stream = chunks(response, transfer.timeout)
    first = next(stream, b"")  # refuses a web page before it overwrites earlier data
    try:
        num_bytes = _append(transfer, chain((first,), stream), start, total)
    except StorageError:
        transfer.delete_part()  # the disk is full, maybe because of this file
        raise
    if num_bytes > transfer.max_bytes:
        transfer.delete_part()
        raise TryAgainError(f"more than the expected {transfer.max_bytes} bytes arrived")
    if num_bytes < total or not num_bytes:
        raise TryAgainError(f"{num_bytes} of {total} bytes arrived before the connection ended")


def _append(transfer: _Transfer, stream: Iterable[bytes], start: int, total: int) -> int:
    """Writes a stream to the part file from byte `start` on; returns the size of the file."""
    num_bytes = start
    with storage_errors("write", transfer.part):
        file = transfer.part.open("ab" if start else "wb", buffering=0)
    with file:
        for chunk in stream:
            num_bytes += len(chunk)
            if num_bytes > transfer.max_bytes:
                break
            with storage_errors("write", transfer.part):
                _write_all(file, chunk)
            transfer.progress(f"Downloading {transfer.target.name}", num_bytes, total)
    return num_bytes


def _write_all(file: RawIOBase, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) or 0 :]
