"""Remembers the features that a frozen network has computed, by the content of each image.

    <cache>/features/<16 digits of the network>/<random>.keys.npy        uint8 [N, 16]
    <cache>/features/<16 digits of the network>/<random>.features.npy    float32 [N, D], memory-mapped

So the same photo is computed once, whatever its file, split, fold or run. A file that is damaged or of another length
counts as none. What was not used for the longest time is deleted when all files take more than `MAX_BYTES`.
"""

import io
import os
import secrets
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.core import durable
from tenfold.core.cache import cache_folder
from tenfold.core.disk import storage_errors
from tenfold.core.errors import StorageError

MAX_BYTES = 2 * 1024**3

_KEY_BYTES = 16
_KEYS, _FEATURES = ".keys.npy", ".features.npy"

Features = NDArray[np.float32]


def image_key(image: NDArray[np.uint8]) -> bytes:
    """Returns a digest of the pixels of an image, uint8 [H, W, 3], 16 bytes."""
    return blake2b(np.ascontiguousarray(image).data, digest_size=_KEY_BYTES, key=str(image.shape).encode()).digest()


def features_folder() -> Path:
    """Returns the folder of all features; it may not exist."""
    return cache_folder() / "features"


def features_bytes() -> int:
    """Returns the size of all features on disk."""
    return sum(size for _, size, _ in _files(features_folder()))


def delete_features() -> int:
    """Deletes all features and returns how many bytes they took.

    Raises:
        StorageError: when the disk refuses.
    """
    folder, size = features_folder(), features_bytes()
    if folder.is_dir():
        with storage_errors("remove", folder):
            durable.disk.remove(folder)
    return size


class FeatureCache:
    """The features of one network.

    Args:
        network: digest of all that decides them but the image: weights, normalization, precision.
        size: number of features of an image.
    """

    def __init__(self, network: str, size: int) -> None:
        self._folder = features_folder() / network[:16]
        self._size = size
        self._new: dict[bytes, Features] = {}
        self._rows: dict[bytes, tuple[Features, int]] = {}
        for path in sorted(self._folder.glob(f"*{_KEYS}")) if self._folder.is_dir() else ():
            self._open(path)

    def get(self, key: bytes) -> Features | None:
        """Returns the features of the image with this key, float32 [D], or None."""
        if key in self._new:
            return self._new[key]
        array, row = self._rows.get(key, (None, 0))
        return None if array is None else array[row]

    def add(self, key: bytes, features: Features) -> None:
        """Remembers the features of an image, float32 [D]; they are written by `flush`."""
        self._new[key] = features

    def flush(self) -> None:
        """Writes what was added since the last call. A cache that cannot be written costs time, not the run."""
        if not self._new:
            return
        keys = np.frombuffer(b"".join(self._new), np.uint8).reshape(-1, _KEY_BYTES)
        features = np.stack(list(self._new.values()))
        self._rows |= {key: (features, row) for row, key in enumerate(self._new)}
        self._new = {}
        name = secrets.token_hex(8)
        with suppress(StorageError):
            durable.make_folder(self._folder)
            durable.remove_leftovers(self._folder)
            durable.write_bytes(self._folder / f"{name}{_FEATURES}", _npy(features))
            durable.write_bytes(self._folder / f"{name}{_KEYS}", _npy(keys))  # last: with it, the features count
            self._open(self._folder / f"{name}{_KEYS}")  # from the disk, so that memory does not grow
            _limit(features_folder())

    def _open(self, path: Path) -> None:
        """Adds the rows of a file of keys; a damaged one is passed over."""
        with suppress(OSError, ValueError):
            keys = np.load(path, allow_pickle=False)
            other = path.with_name(path.name.replace(_KEYS, _FEATURES))
            features = np.load(other, mmap_mode="r", allow_pickle=False).view(np.ndarray)
            expected = (keys.shape, features.shape) == ((len(keys), _KEY_BYTES), (len(keys), self._size))
            if expected and features.dtype == np.float32:
                self._rows |= {key.tobytes(): (features, row) for row, key in enumerate(keys)}
                for used in (path, other):
                    os.utime(used)  # the time of its last use


def _npy(array: NDArray[np.generic]) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    """Returns time of the last use, size and path of all files of features; others may delete some meanwhile."""
    found = []
    for path in folder.glob("*/*.npy"):
        with suppress(OSError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return sorted(found)


def _limit(folder: Path) -> None:
    """Deletes the files that were used longest ago until all take at most `MAX_BYTES`."""
    files = _files(folder)
    excess = sum(size for _, size, _ in files) - MAX_BYTES
    for _, size, path in files:
        if excess <= 0:
            return
        with suppress(OSError):
            durable.disk.remove(path)
        excess -= size
