"""Reads the members of tar and zip archives one by one, without ever writing one to disk.

An archive comes from anywhere, so nothing in it is believed: only regular members with harmless names are
read, and the number and size of all that comes out is capped.
"""

import bz2
import gzip
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
from pathlib import Path
from typing import BinaryIO, Literal, cast

from tenfold.core.errors import DataError
from tenfold.data.types import Skipped

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
    UnicodeError,
)
_BLOCK = 512
_HEADER_LIMIT = 1 << 16
_CHUNK = 1 << 20
_TOO_LARGE = "holds far more data than pictures of its size would; refused, since it looks like a bomb"


@dataclass(frozen=True)
class Limits:
    """How much may come out of one archive.

    Args:
        member: bytes of one member; a larger one is skipped.
        count: members; more are an error.
        total: bytes of everything together that are always allowed.
        ratio: bytes allowed on top for each byte of the archive; pictures hardly shrink, bombs 1000-fold.
    """

    member: int = 256 << 20
    count: int = 5_000_000
    total: int = 1 << 30
    ratio: int = 200

    def total_for(self, archive: Path) -> int:
        """Returns the bytes that may come out of `archive` in total.

        Raises:
            OSError: when the archive cannot be looked at.
        """
        return self.total + self.ratio * archive.stat().st_size


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
        >>> for name, content in read_members(Path("cats.zip"), lambda name: name.endswith(".jpg"), print):
        ...     print(name, len(content))
    """
    limits = limits or Limits()
    if not archive.is_file():
        raise DataError(f"{archive} is no file; expected an archive ({', '.join(ARCHIVE_SUFFIXES)})")
    try:
        is_zip = _first_bytes(archive).startswith(b"PK")
        read = _read_zip if is_zip else _read_tar
        yield from read(archive, wanted, on_skip, limits)
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{archive} cannot be read as an archive: {reason}; it is damaged or cut short, "
            "so fetch or pack it again"
        ) from error


def _first_bytes(archive: Path) -> bytes:
    with archive.open("rb") as file:
        return file.read(6)


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
            raise DataError(f"{self._archive} {_TOO_LARGE}")
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
    start = _first_bytes(archive)
    for magic, opener in _OPENERS.items():
        if start.startswith(magic):
            return cast(BinaryIO, opener(archive, "rb"))
    return archive.open("rb")


def _read_tar(
    archive: Path, wanted: Callable[[str], bool], on_skip: Callable[[Skipped], None], limits: Limits
) -> Iterator[tuple[str, bytes]]:
    with ExitStack() as stack:
        stream = _Forward(stack.enter_context(_open_stream(archive)), limits.total_for(archive), archive)
        tar = tarfile.TarFile(fileobj=cast(BinaryIO, stream), encoding="utf-8", errors="surrogateescape")
        stack.enter_context(tar)
        count = 0
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
            count += 1
            _check_count(archive, count, limits)
            if member.isdir():
                continue
            if name := _usable_name(member.name, _tar_fault(member, limits), wanted, on_skip):
                yield name, _tar_content(stream, member)
        if stream.last_block != bytes(_BLOCK):
            raise tarfile.ReadError("its end mark is missing")
        while stream.take(_CHUNK):  # the packer's own checksum comes last
            pass


def _tar_content(stream: _Forward, member: tarfile.TarInfo) -> bytes:
    stream.seek(member.offset_data)
    content = stream.take(member.size)
    if len(content) != member.size:
        raise tarfile.ReadError("unexpected end of data")
    return content


def _tar_fault(member: tarfile.TarInfo, limits: Limits) -> str:
    if member.issym() or member.islnk():
        return "a link; links are not followed"
    if not member.isreg() or member.issparse():
        return "no regular file"
    return _size_fault(member.size, limits)


def _read_zip(
    archive: Path, wanted: Callable[[str], bool], on_skip: Callable[[Skipped], None], limits: Limits
) -> Iterator[tuple[str, bytes]]:
    left = limits.total_for(archive)
    with zipfile.ZipFile(archive) as folder:
        _check_count(archive, len(folder.filelist), limits)
        for member in folder.infolist():
            if member.is_dir():
                continue
            raw = member.filename.replace("\\", "/")  # some packers for Windows write backslashes
            name = _usable_name(raw, _zip_fault(member, limits), wanted, on_skip)
            if not name:
                continue
            left -= member.file_size
            if left < 0:
                raise DataError(f"{archive} {_TOO_LARGE}")
            yield name, _zip_content(folder, member)


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
    return _size_fault(member.file_size, limits)


def _size_fault(size: int, limits: Limits) -> str:
    return "" if size <= limits.member else f"{size} bytes large; expected at most {limits.member}"


def _check_count(archive: Path, count: int, limits: Limits) -> None:
    if count > limits.count:
        raise DataError(f"{archive} holds more than {limits.count} members; split it")


def _usable_name(
    raw: str, fault: str, wanted: Callable[[str], bool], on_skip: Callable[[Skipped], None]
) -> str:
    """Returns the member's name as plain text, or an empty string where the member is left out."""
    raw = re.sub(r"^(\./+)+", "", raw)
    name = raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    parts = re.split(r"[/\\]", raw)
    if raw.startswith(("/", "\\")) or ".." in parts or re.match("[A-Za-z]:", raw):
        fault = "its name leads out of the archive"
    elif any(part.startswith(".") for part in parts):
        return ""
    if fault:
        on_skip(Skipped(name, fault))
        return ""
    return name if name and wanted(name) else ""
