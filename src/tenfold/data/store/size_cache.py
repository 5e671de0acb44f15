"""Remembers the typical size of the images in a file, so that a warm start does not open it.

    <cache>/sizes/<name>-<16 hex digits>.json       of an archive, a Parquet or a NumPy file

A file is recognized by path, length and time of change. What is missing, damaged or from another version counts as
unknown: the images are looked at again.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from tenfold.core import durable
from tenfold.core.cache import cache_folder
from tenfold.core.disk import storage_errors
from tenfold.core.errors import StorageError
from tenfold.data.store.cache_key import dataset_name

_VERSION = 1
"""Increased whenever the images of a sample are chosen in another way."""


def read_size(path: Path) -> tuple[int, int] | None:
    """Returns the height and width that `write_size` wrote for this file, or None.

    Raises:
        OSError: when the file cannot be looked at.
        StorageError: when no cache folder can be determined.
    """
    with suppress(FileNotFoundError, ValueError, TypeError):
        height, width = json.loads(_file(path).read_bytes())["size"]
        if min(height, width) > 0:
            return int(height), int(width)
    return None


def write_size(path: Path, size: tuple[int, int]) -> None:
    """Writes the typical height and width of the images in a file. A cache that cannot be written costs time."""
    with suppress(StorageError):
        durable.make_folder(_file(path).parent)
        durable.write_json(_file(path), {"size": size})


def delete_sizes(name: str) -> None:
    """Deletes what was remembered of all files whose dataset has this name.

    Raises:
        StorageError: when the disk refuses.
    """
    for file in (cache_folder() / "sizes").glob("*.json"):
        if file.stem.rpartition("-")[0] == name:
            with storage_errors("remove", file):
                durable.disk.remove(file)


def _file(path: Path) -> Path:
    status = path.stat()
    key = repr((_VERSION, str(path.absolute()), status.st_size, status.st_mtime_ns))
    digits = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return cache_folder() / "sizes" / f"{dataset_name(path.absolute())}-{digits}.json"
