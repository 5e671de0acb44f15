"""What a source is called and what it holds, told without decoding a picture."""

import hashlib
import json
import os
import re
import unicodedata
from pathlib import Path

from tenfold.core.disk import translated
from tenfold.data.decode.decode import is_picture_name
from tenfold.data.sources.archive import ARCHIVE_SUFFIXES
from tenfold.data.sources.class_folders import Listing

_READ_WHOLE = 1 << 30
_ENDS = 1 << 20


def dataset_name(path: Path) -> str:
    """Returns a short name for a dataset, fit for a folder name on any system; raises nothing.

    Example:
        >>> dataset_name(Path("My cats & dogs.tar.gz"))
        'My-cats-dogs'
    """
    name = path.name or "pictures"
    suffix = next((suffix for suffix in ARCHIVE_SUFFIXES[::-1] if name.lower().endswith(suffix)), "")
    stem = name[: len(name) - len(suffix)] if suffix and not path.is_dir() else name
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._]+", "-", plain)[:40].strip("-._") or "pictures"


def folder_digest(listing: Listing) -> str:
    """Returns a hex digest of what a folder holds: names, and sizes and times of the pictures; raises nothing."""
    pictures = [file for file in listing.files if is_picture_name(file.name)]
    others = [file.name for file in listing.files if not is_picture_name(file.name)]
    left_out = [(skipped.path, skipped.reason) for skipped in listing.skipped]
    text = json.dumps([pictures, others, listing.folders, left_out])
    return hashlib.sha256(text.encode()).hexdigest()


def archive_digest(path: Path) -> str:
    """Returns a hex digest of an archive's bytes; above 1 GiB, of its size, time, first and last megabyte.

    Raises:
        StorageError: when it cannot be read.
    """
    with translated("read", path), path.open("rb") as file:
        facts = os.fstat(file.fileno())
        if facts.st_size <= _READ_WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(f"{facts.st_size} {facts.st_mtime_ns} ".encode())
        digest.update(file.read(_ENDS))
        file.seek(-_ENDS, os.SEEK_END)
        digest.update(file.read(_ENDS))
        return digest.hexdigest()
