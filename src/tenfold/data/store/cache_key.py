"""Names and digests of sources, without decoding an image."""

import hashlib
import json
import os
from pathlib import Path

from tenfold.core.disk import storage_errors
from tenfold.core.text import hyphenated
from tenfold.data.decode.decode import has_no_suffix, is_image_name
from tenfold.data.decode.fit_rule import parse_fit, stored_size
from tenfold.data.sources.archive import ARCHIVE_SUFFIXES
from tenfold.data.sources.class_folders import FolderListing
from tenfold.data.sources.containers import CONTAINER_SUFFIXES

_MAX_HASHED = 1 << 30
_END_BYTES = 1 << 20
_FALLBACK_NAME = "pictures"  # part of the names of existing stores


def dataset_name(path: Path) -> str:
    """Returns a short dataset name for the path of a source, usable as a folder name on any system.

    Example:
        >>> dataset_name(Path("My cats & dogs.tar.gz"))
        'My-cats-dogs'
    """
    name = path.name or _FALLBACK_NAME
    suffixes = (*ARCHIVE_SUFFIXES[::-1], *CONTAINER_SUFFIXES)
    suffix = next((suffix for suffix in suffixes if name.lower().endswith(suffix)), "")
    stem = name[: len(name) - len(suffix)] if suffix and not path.is_dir() else name
    return hyphenated(stem, "._")[:40].strip("-._") or _FALLBACK_NAME


def size_key(size: tuple[int, int] | None, fit: str) -> tuple[object, str]:
    """Returns the parts of a store's key that say how its images were brought to size.

    Args:
        size: height and width of the network's input in pixels; None where the size is chosen automatically.
        fit: a value of `data.fit`.
    """
    if parse_fit(fit).fraction == 1:
        return size, fit
    # Stores of earlier versions held only what a network sees, under a key with its size.
    return ["stored", stored_size(size, fit) if size else None], fit


def folder_digest(listing: FolderListing) -> str:
    """Returns a hex digest of a folder's content: names of all files, and sizes and times of what may be an image."""
    is_other = [not is_image_name(file.path) and not has_no_suffix(file.path) for file in listing.files]
    images = [file for file, other in zip(listing.files, is_other, strict=True) if not other]
    others = [file.path for file, other in zip(listing.files, is_other, strict=True) if other]
    skipped = [(file.path, file.reason) for file in listing.skipped]
    text = json.dumps([images, others, listing.empty_folders, skipped])
    return hashlib.sha256(text.encode()).hexdigest()


def archive_digest(path: Path) -> str:
    """Returns a hex digest of an archive's bytes; above 1 GiB, of its size, its time and its first and last MiB.

    Raises:
        StorageError: when it cannot be read.
    """
    with storage_errors("read", path), path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size <= _MAX_HASHED:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns} ".encode())
        digest.update(file.read(_END_BYTES))
        file.seek(-_END_BYTES, os.SEEK_END)
        digest.update(file.read(_END_BYTES))
        return digest.hexdigest()
