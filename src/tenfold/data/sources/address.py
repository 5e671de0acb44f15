"""Data that is named by its address on the web: downloaded once into the cache folder, and verified."""

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tenfold.core.cache import cache_folder
from tenfold.core.disk import storage_errors
from tenfold.core.errors import DataError
from tenfold.core.text import escaped, hyphenated
from tenfold.data.sources.archive import ARCHIVE_SUFFIXES
from tenfold.data.sources.containers import CONTAINER_SUFFIXES
from tenfold.data.sources.download import Checksum, download
from tenfold.data.types import ProgressCallback

_SUFFIXES = (*ARCHIVE_SUFFIXES, *CONTAINER_SUFFIXES)
_REMEDY = "check the address, or download it by hand and name the file with --data"


def is_address(source: str) -> bool:
    """Returns whether a source is an address with a scheme, such as `https://…`, and no path.

    Example:
        >>> is_address("https://example.org/pets.zip"), is_address("pets.zip"), is_address("C:/pets.zip")
        (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source) is not None


def fetched(address: str, progress: ProgressCallback) -> Path:
    """Returns the file at an address, downloaded on its first use.

    Args:
        address: https, or http on this machine; with `#sha256=…` at its end the file must have that checksum.
        progress: called with the bytes that have arrived and the total.

    Raises:
        DataError: when the address names no archive, or the downloaded file has another checksum.
        DownloadError: when the server does not deliver.
        StorageError: when the cache cannot be written.
    """
    url, checksum = _parsed(address)
    return download([url], _target(url), checksum=checksum, progress=progress, remedy=_REMEDY)


def note_on(address: str, file: Path) -> str:
    """Returns the sentence that says what was downloaded, with size and checksum."""
    return f"downloaded {escaped(_parsed(address)[0])}: {file.stat().st_size:,} bytes, {_checksum_of(file)}"


def pinned(address: str) -> str:
    """Returns an address with the checksum of the file that was downloaded from it, so that it names these bytes."""
    url, checksum = _parsed(address)
    target = _target(url)
    if checksum or not target.is_file():
        return address
    return f"{url}#sha256={_checksum_of(target).digits}"


def is_fetched(address: str) -> bool:
    """Returns whether the file at an address was downloaded before."""
    return _target(_parsed(address)[0]).is_file()


def without_checksum(address: str) -> str:
    """Returns an address without its `#sha256=…`."""
    return address.partition("#")[0]


def _parsed(address: str) -> tuple[str, Checksum | None]:
    """Returns the address without its fragment, and the checksum in that.

    Raises:
        DataError: when it is no address of an archive, or its fragment is no checksum.
    """
    url, _, fragment = address.partition("#")
    if not _is_of_archive(url):
        raise DataError(
            f"{escaped(address)} is no address of an archive; expected https://… that ends in {', '.join(_SUFFIXES)}, "
            "or the path of a file or folder: download it by hand and name that with --data"
        )
    match = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if fragment and not match:
        raise DataError(
            f"{escaped(address)} ends in #{escaped(fragment)}; expected #sha256= and 64 hex digits, or nothing"
        )
    return url, Checksum("sha256", match[1].lower()) if match else None


def _is_of_archive(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # such as half an IPv6 address
        return False
    return parts.scheme in ("https", "http") and parts.path.casefold().endswith(_SUFFIXES)


def _target(url: str) -> Path:
    name = hyphenated(unquote(urlsplit(url).path).rpartition("/")[2])
    return cache_folder() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:16] / name


def _checksum_of(file: Path) -> Checksum:
    with storage_errors("read", file):
        return Checksum("sha256", "").of(file)
