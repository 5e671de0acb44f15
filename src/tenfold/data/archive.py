"""Reads the members of tar and zip archives one by one, without ever writing one to disk.

An archive comes from anywhere, so nothing in it is believed: only regular members with harmless names are
read, and the number and size of all that comes out is capped.
"""

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tenfold.core.disk import shown
from tenfold.core.errors import DataError
from tenfold.data.members import CONFUSED, TOO_LARGE, Limits, check_count, first_bytes, size_fault, usable_name
from tenfold.data.tarball import read_tar
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
