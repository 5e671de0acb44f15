"""Reads the members of a zip or tar file in one pass, and refuses what could harm: links, odd names and bombs."""

import bz2
import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, Literal, cast

from tenfold.core.disk import display_path
from tenfold.core.errors import DataError
from tenfold.core.text import one_line
from tenfold.data.types import Skipped

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")

# What the standard library's readers raise for archives that are cut short, altered or made up.
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
# What they raise besides when a header is made up.
_INVALID_HEADER = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)

Filter = Callable[[str], bool]
OnSkip = Callable[[Skipped], None]


@dataclass(frozen=True)
class Limits:
    """How much may be read from one archive.

    Args:
        member: largest member in bytes; a larger one is skipped.
        count: largest number of members; more are an error.
        total: bytes of all members together that are always allowed.
        ratio: additional bytes for each byte of the archive; images hardly shrink, bombs shrink 1000-fold.
    """

    member: int = 256 << 20
    count: int = 5_000_000
    total: int = 1 << 30
    ratio: int = 200


def is_archive(path: PurePath) -> bool:
    """Returns whether `path` has the name of an archive that `read_members` can read."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def read_members(
    archive: Path, is_needed: Filter, on_skip: OnSkip, limits: Limits | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of every needed member, in the order of the archive, in one pass.

    Folders and names with a part that starts with a dot are ignored. Names are plain text: `/` between parts, no
    leading `./`, and bytes that are not UTF-8 written as `\\xe9`.

    Args:
        archive: a zip file, or a tar file, plain or compressed by gzip, xz or bzip2; recognized by its content.
        is_needed: called once for each regular member with a harmless name.
        on_skip: called for each member that is skipped, needed or not: a link, a device, a name that leads outside,
            a member that is too large.
        limits: how much may be read; generous by default.

    Raises:
        DataError: when the archive is missing, damaged, cut short or larger inside than the limits allow.

    Example:
        >>> for name, content in read_members(Path("cats.zip"), str.isprintable, print):  # doctest: +SKIP
        ...     print(name, len(content))
    """
    if not archive.is_file():
        raise DataError(f"{display_path(archive)} is no file; expected an archive ({', '.join(ARCHIVE_SUFFIXES)})")
    try:
        limits = limits or Limits()
        max_bytes = limits.total + limits.ratio * archive.stat().st_size
        read = _read_zip if _first_bytes(archive).startswith(b"PK") else _read_tar
        yield from read(archive, is_needed, on_skip, limits, max_bytes)
    except _BROKEN as error:
        name, reason = display_path(archive), one_line(str(error)) or type(error).__name__
        if isinstance(error, OSError) and error.errno:
            raise DataError(f"{name} cannot be read: {error.strerror}; check its permissions and the disk") from error
        message = (
            f"{name} cannot be read as an archive: {reason}; it is damaged or cut short, so fetch or pack it again"
        )
        raise DataError(message) from error


def _first_bytes(archive: Path) -> bytes:
    with archive.open("rb") as file:
        return file.read(6)


def _bomb(archive: Path) -> DataError:
    return DataError(f"{display_path(archive)} contains far more data than images would; refused, it looks like a bomb")


def _check_count(archive: Path, count: int, limits: Limits) -> None:
    if count > limits.count:
        raise DataError(f"{display_path(archive)} contains more than {limits.count} members; split it")


def _member_name(raw: str, fault: str, is_needed: Filter, on_skip: OnSkip) -> str:
    """Returns the name of a member as plain text, or an empty string for a member that is not read.

    `raw` is the name in the archive, with surrogates for bytes that are not UTF-8; `fault` is why the member cannot be
    used, or an empty string.
    """
    if raw.startswith("./"):
        raw = re.sub(r"^(\./+)+", "", raw)
    name = raw if raw.isascii() else raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    slashed = f"/{raw}/".replace("\\", "/")
    if raw.endswith("/"):
        return ""
    if raw.startswith(("/", "\\")) or "/../" in slashed or re.match("[A-Za-z]:", raw):
        fault = "its name leads out of the archive"
    elif "/." in slashed:
        return ""
    if fault:
        on_skip(Skipped(name, fault))
        return ""
    return name if name and is_needed(name) else ""


def _size_fault(size: int, limits: Limits) -> str:
    return "" if size <= limits.member else f"{size} bytes large; expected at most {limits.member}"


_BLOCK = 512
_HEADER_LIMIT = 1 << 16
_CHUNK = 1 << 20
_BUFFER = 1 << 16
_OPENERS: dict[bytes, Callable[[Path, Literal["rb"]], object]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"BZh": bz2.open,
}


class _ForwardStream:
    """A stream that `tarfile` reads forward only, in small pieces, up to a total.

    `tarfile` reads an extended header in one piece, however large it claims to be, and takes a damaged header for the
    end. Hence the limit on `read`, and `last_block`, which distinguishes a real end mark from a damaged header.
    """

    def __init__(self, file: BinaryIO, max_bytes: int, archive: Path) -> None:
        self._file = file
        self._max_bytes = max_bytes
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
        if self._position > self._max_bytes:
            raise _bomb(self._archive)
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("a header points backwards")
        while self._position < position:
            if not self.take(min(_CHUNK, position - self._position)):
                raise tarfile.ReadError("unexpected end of data")


def _open_stream(archive: Path) -> BinaryIO:
    for magic, opener in _OPENERS.items():
        if _first_bytes(archive).startswith(magic):
            return io.BufferedReader(cast(io.RawIOBase, opener(archive, "rb")), _BUFFER)  # their own read is slow
    return archive.open("rb")


def _read_tar(
    archive: Path, is_needed: Filter, on_skip: OnSkip, limits: Limits, max_bytes: int
) -> Iterator[tuple[str, bytes]]:
    with ExitStack() as stack:
        stream = _ForwardStream(stack.enter_context(_open_stream(archive)), max_bytes, archive)
        tar = stack.enter_context(_open_tar(stream))
        count = 0
        while (member := _next_member(tar)) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile would keep all members
            count += 1
            _check_count(archive, count, limits)
            if member.isdir():
                continue
            if name := _member_name(member.name, _tar_fault(member, limits), is_needed, on_skip):
                stream.seek(member.offset_data)
                content = stream.take(member.size)
                if len(content) != member.size:
                    raise tarfile.ReadError("unexpected end of data")
                yield name, content
        if stream.last_block != bytes(_BLOCK):
            raise tarfile.ReadError("its end mark is missing")
        while stream.take(_CHUNK):  # the checksum of the compression comes last
            pass


def _open_tar(stream: _ForwardStream) -> tarfile.TarFile:
    try:
        return tarfile.TarFile(fileobj=cast(BinaryIO, stream), encoding="utf-8", errors="surrogateescape")
    except _INVALID_HEADER as error:
        raise tarfile.ReadError("its first header is invalid") from error


def _next_member(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return tar.next()
    except _INVALID_HEADER as error:
        raise tarfile.ReadError(f"the header at byte {tar.offset} is invalid") from error


def _tar_fault(member: tarfile.TarInfo, limits: Limits) -> str:
    if member.size < 0:
        raise tarfile.ReadError("a member has a negative size")
    if member.issym() or member.islnk():
        return "a link; links are not followed"
    if not member.isreg() or member.issparse():
        return "no regular file"
    return _size_fault(member.size, limits)


_END_RECORD_REACH = 22 + 65535  # the last record of a zip file and its longest comment


def _read_zip(
    archive: Path, is_needed: Filter, on_skip: OnSkip, limits: Limits, max_bytes: int
) -> Iterator[tuple[str, bytes]]:
    with _open_zip(archive) as folder:
        _check_count(archive, len(folder.filelist), limits)
        for member in folder.infolist():
            if member.is_dir():
                continue
            raw = member.filename.replace("\\", "/")  # some packers for Windows write backslashes
            if not (name := _member_name(raw, _zip_fault(member, limits), is_needed, on_skip)):
                continue
            max_bytes -= member.file_size
            if max_bytes < 0:
                raise _bomb(archive)
            content = folder.read(member)  # zipfile stops at the declared size and compares the checksum there
            if len(content) != member.file_size:
                raise zipfile.BadZipFile(f"{member.filename!r} is cut short")
            yield name, content


def _open_zip(archive: Path) -> zipfile.ZipFile:
    try:
        folder = zipfile.ZipFile(archive)
    except _INVALID_HEADER as error:
        raise zipfile.BadZipFile("its table of contents is invalid") from error
    with archive.open("rb") as file:
        file.seek(max(0, archive.stat().st_size - _END_RECORD_REACH))
        tail = file.read()
    declared = int.from_bytes(tail[tail.rfind(b"PK\x05\x06") + 10 :][:2], "little")
    # zipfile never compares the two; 65535 means that the number is stored elsewhere.
    if declared not in (len(folder.filelist) % 65536, 65535):
        folder.close()
        raise zipfile.BadZipFile(f"it contains {len(folder.filelist)} members, but declares {declared}")
    return folder


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
    return _size_fault(member.file_size, limits)
