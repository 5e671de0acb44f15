"""Downloads: resumed, retried, verified, and never seen under the final name before all is right."""

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

from tenfold.core import durable
from tenfold.core.disk import shown, translated
from tenfold.core.errors import DataError, DownloadError, StorageError
from tenfold.core.locks import locked
from tenfold.data.sources.transport import PASSING, RefusedError, TryAgainError, chunks, open_url

Progress = Callable[[str, int, int], None]

WAY_OUT = "download it by hand into a folder and pass that as --data-dir, or name other servers in TENFOLD_MIRRORS"
_LARGEST = 4 << 30  # where nobody said how large the file is
_FRUITFUL = 1 << 20


@dataclass(frozen=True)
class _Job:
    target: Path
    md5: str
    size: int | None
    progress: Progress
    timeout: float

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def most(self) -> int:
        return self.size or _LARGEST

    def arrived(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def drop_part(self) -> None:
        with translated("write", self.part):
            durable.disk.remove(self.part)


def silent(description: str, done: int, total: int) -> None:
    """Shows nothing: the progress of those who asked for none."""


def md5_of(path: Path) -> str:
    """Returns the MD5 of a file as hex digits.

    Raises:
        StorageError: when the file cannot be read.
    """
    with translated("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def check_md5(path: Path, expected: str) -> None:
    """Compares the MD5 of a file with the pinned one.

    Raises:
        DataError: when they differ; it names the file, both checksums and the way out.
    """
    actual = md5_of(path)
    if actual != expected:
        raise DataError(
            f"{shown(path)} ({path.stat().st_size} bytes) has MD5 {actual}, expected {expected}: it is cut "
            f"short or altered; move it away so that it is fetched again, or {WAY_OUT}"
        )


def download(
    urls: Sequence[str],
    target: Path,
    *,
    md5: str,
    size: int | None = None,
    progress: Progress = silent,
    attempts: int = 3,
    timeout: float = 10.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Fetches a file from the first server that delivers it as promised, and returns where it is.

    Bytes gather in `<target>.part`, which a later attempt or call continues. Several processes may ask at
    once: one works, the others wait and find the file. A file that is already there is only verified.

    Args:
        urls: addresses of the same file, tried in turn; https, or http on this very machine.
        target: final name; it appears only after the checksum is right.
        md5: expected checksum, in hex digits.
        size: expected size in bytes, where known.
        progress: told the description, the bytes that are there, and the total (0 where unknown).
        attempts: rounds through `urls` that may bring nothing new, at least 1.
        timeout: seconds that a server may stay silent; over that time it must also send 1 KiB/s.
        sleep: waits so many seconds between rounds.

    Raises:
        DownloadError: when no server delivers; names the file, what was expected, what arrived, the way out.
        DataError: when a file of that name is already there and has another checksum; it is left alone.
        StorageError: when the folder cannot be written.
    """
    with translated("write", target.parent):
        durable.disk.make_folder(target.parent)
    job = _Job(target, md5, size, progress, timeout)
    with _lock(target, progress):
        if target.exists():
            check_md5(target, md5)
        else:
            _fetch(job, urls, attempts, sleep)
    return target


@contextmanager
def _lock(target: Path, progress: Progress) -> Iterator[None]:
    waiting = f"Waiting for another process that downloads {target.name}"
    path = target.with_name(f"{target.name}.lock")
    with locked(path, lambda: progress(waiting, 0, 0), translated("write", target.parent)):
        yield


def _fetch(job: _Job, urls: Sequence[str], attempts: int, sleep: Callable[[float], None]) -> None:
    reasons: dict[str, str] = {}
    hopeful = list(urls)
    best, left = job.arrived(), attempts
    while left and hopeful:
        for url in tuple(hopeful):
            try:
                _attempt(job, url)
                return _publish(job)
            except RefusedError as error:
                hopeful.remove(url)
                reasons[url] = str(error)
            except PASSING as error:
                reasons[url] = " ".join(str(error).split()) or type(error).__name__
        # A server that drops the line every few megabytes still gets there in the end.
        fruitful = job.arrived() >= best + _FRUITFUL
        best = max(best, job.arrived())
        left -= not fruitful
        if left and hopeful:
            sleep(min(8.0, 0.5 * 2 ** (attempts - left)))
    tried = "; ".join(f"{url}: {reason}" for url, reason in reasons.items()) or "no server was named"
    promised = f"MD5 {job.md5}" + (f" and {job.size} bytes" if job.size else "")
    raise DownloadError(f"{job.target.name} could not be downloaded ({tried}); expected {promised}; {WAY_OUT}")


def _publish(job: _Job) -> None:
    actual = md5_of(job.part)
    if actual != job.md5:
        arrived = job.arrived()
        job.drop_part()
        raise TryAgainError(f"{arrived} bytes with MD5 {actual} arrived, expected MD5 {job.md5}")
    with translated("write", job.target):
        durable.disk.sync(job.part)
        durable.disk.replace(job.part, job.target)
        durable.disk.sync_folder(job.target.parent)


def _attempt(job: _Job, url: str) -> None:
    """Brings the part file to its full length, or raises."""
    start = job.arrived()
    if start and start == job.size:
        return None
    with closing(open_url(url, job.timeout, start)) as response:
        status = response.status
        if status == 200:
            return _receive(job, response, 0)
        if status == 206 and _continues(response, start, job.size):
            return _receive(job, response, start)
    if start and status in (206, 416):
        job.drop_part()
        return _attempt(job, url)
    kind = RefusedError if 400 <= status < 500 and status not in (408, 425, 429) else TryAgainError
    raise kind(f"the server answered with HTTP status {status}")


def _continues(response: HTTPResponse, start: int, size: int | None) -> bool:
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    return bool(start and match and int(match[1]) == start and (not size or match[3] in ("*", str(size))))


def _receive(job: _Job, response: HTTPResponse, start: int) -> None:
    length = response.headers.get("Content-Length", "")
    total = job.size or (start + int(length) if length.isdecimal() else 0)
    stream = chunks(response, job.timeout)
    first = next(stream, b"")  # a web page is refused here, before it can cost us what has arrived earlier
    try:
        done = _append(job, chain((first,), stream), start, total)
    except StorageError:
        job.drop_part()  # the disk is full, and this file may be what fills it
        raise
    if done > job.most:
        job.drop_part()
        raise TryAgainError(f"more than the expected {job.most} bytes arrived")
    if done < total or not done:
        raise TryAgainError(f"{done} of {total} bytes arrived before the connection ended")


def _append(job: _Job, stream: Iterable[bytes], start: int, total: int) -> int:
    done = start
    with translated("write", job.part):
        file = job.part.open("ab" if start else "wb", buffering=0)
    with file:
        for chunk in stream:
            done += len(chunk)
            if done > job.most:
                break
            _write(job.part, file, chunk)
            job.progress(f"Downloading {job.target.name}", done, total)
    return done


def _write(part: Path, file: RawIOBase, chunk: bytes) -> None:
    left = memoryview(chunk)
    with translated("write", part):
        while left:
            left = left[file.write(left) or 0 :]
