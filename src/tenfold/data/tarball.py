"""Reads the members of a tar file, plain or packed, in one pass forward."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Literal, cast

from tenfold.core.disk import shown
from tenfold.core.errors import DataError
from tenfold.data.members import CONFUSED, TOO_LARGE, Limits, check_count, first_bytes, size_fault, usable_name
from tenfold.data.types import Skipped

_BLOCK = 512
_HEADER_LIMIT = 1 << 16
_CHUNK = 1 << 20
_BUFFER = 1 << 16


class _Forward:
    """A stream that tarfile may only read forward, in small pieces, up to a total.

    tarfile reads extended headers in one piece, however large they claim to be, and takes a damaged header
    for the end; hence the limit on `read`, and `last_block`, which tells a real end mark from a broken one.
    """

    def __init__(self, file: BinaryIO, total: int, archive: Path) -> None:
        self._file = file
        self._total = total
        self._archive = archive
        self._position = 0
        self.last_block = b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER_LIMIT:
            raise tarfile.ReadError(f"a header of {size} bytes, expected at most {_HEADER_LIMIT}")
        self.last_block = self.take(size)
        return self.last_block

    def take(self, size: int) -> bytes:
        data = self._file.read(size)
        self._position += len(data)
        if self._position > self._total:
            raise DataError(f"{shown(self._archive)} {TOO_LARGE}")
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("a header points backwards")
        while self._position < position:
            if not self.take(min(_CHUNK, position - self._position)):
                raise tarfile.ReadError("unexpected end of data")


_OPENERS: dict[bytes, Callable[[Path, Literal["rb"]], object]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"BZh": bz2.open,
}


def _open_stream(archive: Path) -> BinaryIO:
    start = first_bytes(archive)
    for magic, opener in _OPENERS.items():
        if start.startswith(magic):
            return io.BufferedReader(cast(io.RawIOBase, opener(archive, "rb")), _BUFFER)  # their own read is slow
    return archive.open("rb")


def read_tar(
    archive: Path, wanted: Callable[[str], bool], on_skip: Callable[[Skipped], None], limits: Limits
) -> Iterator[tuple[str, bytes]]:
    """Yields what `read_members` promises, from a tar file.

    Raises:
        DataError: when more comes out than the limits allow.
        tarfile.TarError, EOFError, OSError: when the archive is damaged; some packers raise errors of their own.
    """
    with ExitStack() as stack:
        stream = _Forward(stack.enter_context(_open_stream(archive)), limits.total_for(archive), archive)
        tar = stack.enter_context(_open_tar(stream))
        count = 0
        while (member := _next(tar)) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
            count += 1
            check_count(archive, count, limits)
            if member.isdir():
                continue
            if name := usable_name(member.name, _tar_fault(member, limits), wanted, on_skip):
                yield name, _tar_content(stream, member)
        if stream.last_block != bytes(_BLOCK):
            raise tarfile.ReadError("its end mark is missing")
        while stream.take(_CHUNK):  # the packer's own checksum comes last
            pass


def _open_tar(stream: _Forward) -> tarfile.TarFile:
    try:
        return tarfile.TarFile(fileobj=cast(BinaryIO, stream), encoding="utf-8", errors="surrogateescape")
    except CONFUSED as error:
        raise tarfile.ReadError("its first header makes no sense") from error


def _next(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return tar.next()
    except CONFUSED as error:
        raise tarfile.ReadError(f"the header at byte {tar.offset} makes no sense") from error


def _tar_content(stream: _Forward, member: tarfile.TarInfo) -> bytes:
    stream.seek(member.offset_data)
    content = stream.take(member.size)
    if len(content) != member.size:
        raise tarfile.ReadError("unexpected end of data")
    return content


def _tar_fault(member: tarfile.TarInfo, limits: Limits) -> str:
    if member.size < 0:
        raise tarfile.ReadError("a member has a size below zero")
    if member.issym() or member.islnk():
        return "a link; links are not followed"
    if not member.isreg() or member.issparse():
        return "no regular file"
    return size_fault(member.size, limits)
