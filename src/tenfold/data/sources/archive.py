"""Reads the members of a tar file, plain or packed, in one pass forward."""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Literal, cast

from tenfold.core.disk import shown
from tenfold.core.errors import DataError
from tenfold.data.sources.archive_limits import (
    CONFUSED,
    TOO_LARGE,
    Limits,
    check_count,
    first_bytes,
    size_fault,
    usable_name,
)
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


ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")

# What the standard library raises for archives that are cut short, altered or made up.
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
)
_END_RECORD_REACH = 22 + 65535  # a zip's last record and its longest comment


def is_archive(path: Path) -> bool:
    """Tells by the name alone whether `path` is an archive that `read_members` can read."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def read_members(
    archive: Path,
    wanted: Callable[[str], bool],
    on_skip: Callable[[Skipped], None],
    limits: Limits | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of every wanted member, in the archive's order, in one pass.

    Folders and names with a part that starts with a dot are passed over in silence. Names are plain text:
    `/` between parts, no leading `./`, and bytes that are no UTF-8 written as `\\xe9`.

    Args:
        archive: a zip file, or a tar file, plain or packed by gzip, xz or bzip2; recognised by its content.
        wanted: asked once for each regular member with a harmless name.
        on_skip: told of each member that is left out, wanted or not: a link, a device, a name that leads
            outside, one that is too large.
        limits: how much may come out; generous by default.

    Raises:
        DataError: when the archive is missing, damaged, cut short or larger inside than the limits allow.

    Example:
        >>> for name, content in read_members(Path("cats.zip"), str.isprintable, print):  # doctest: +SKIP
        ...     print(name, len(content))
    """
    limits = limits or Limits()
    if not archive.is_file():
        raise DataError(f"{shown(archive)} is no file; expected an archive ({', '.join(ARCHIVE_SUFFIXES)})")
    try:
        is_zip = first_bytes(archive).startswith(b"PK")
        read = _read_zip if is_zip else read_tar
        yield from read(archive, wanted, on_skip, limits)
    except _BROKEN as error:
        raise DataError(_told(archive, error)) from error


def _told(archive: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return f"{shown(archive)} cannot be read: {error.strerror}; check its permissions and the disk"
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"{shown(archive)} cannot be read as an archive: {reason}; it is damaged or cut short, "
        "so fetch or pack it again"
    )


def _read_zip(
    archive: Path, wanted: Callable[[str], bool], on_skip: Callable[[Skipped], None], limits: Limits
) -> Iterator[tuple[str, bytes]]:
    left = limits.total_for(archive)
    with _open_zip(archive) as folder:
        check_count(archive, len(folder.filelist), limits)
        for member in folder.infolist():
            if member.is_dir():
                continue
            raw = member.filename.replace("\\", "/")  # some packers for Windows write backslashes
            name = usable_name(raw, _zip_fault(member, limits), wanted, on_skip)
            if not name:
                continue
            left -= member.file_size
            if left < 0:
                raise DataError(f"{shown(archive)} {TOO_LARGE}")
            yield name, _zip_content(folder, member)


def _open_zip(archive: Path) -> zipfile.ZipFile:
    try:
        folder = zipfile.ZipFile(archive)
    except CONFUSED as error:
        raise zipfile.BadZipFile("its table of contents makes no sense") from error
    with archive.open("rb") as file:
        file.seek(max(0, archive.stat().st_size - _END_RECORD_REACH))
        tail = file.read()
    announced = int.from_bytes(tail[tail.rfind(b"PK\x05\x06") + 10 :][:2], "little")
    # zipfile never compares; 65535 says that the number stands elsewhere.
    if announced not in (len(folder.filelist) % 65536, 65535):
        folder.close()
        raise zipfile.BadZipFile(f"{len(folder.filelist)} members are there, {announced} were announced")
    return folder


def _zip_content(folder: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    # zipfile stops at the declared size and compares the checksum there.
    with folder.open(member) as file:
        content = file.read()
    if len(content) != member.file_size:
        raise zipfile.BadZipFile(f"{member.filename!r} is cut short")
    return content


def _zip_fault(member: zipfile.ZipInfo, limits: Limits) -> str:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "a link; links are not followed"
    if kind not in (0, stat.S_IFREG):
        return "no regular file"
    if member.flag_bits & 1:
        return "encrypted; unpack the archive with its password first"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"packed by zip method {member.compress_type}; expected stored or deflated"
    return size_fault(member.file_size, limits)
