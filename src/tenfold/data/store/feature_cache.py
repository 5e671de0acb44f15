"""Remembers the features that a frozen network has computed, by the content of each image.

    <cache>/features/<16 digits of the network>/<random>.safetensors    keys uint8 [N, 16], features float32 [N, D]

So the same photo is computed once, whatever its file, split, fold or run. A file that is damaged or of another length
counts as none. What was not used for the longest time is deleted when all files take more than `MAX_BYTES`.
"""

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
_SUFFIX = ".safetensors"

Features = NDArray[np.float32]


def image_key(image: NDArray[np.uint8]) -> bytes:
    """Returns a digest of the pixels of an image, uint8 [H, W, 3], 16 bytes."""
    return blake2b(np.ascontiguousarray(image).data, digest_size=_KEY_BYTES, key=str(image.shape).encode()).digest()


def features_folder() -> Path:
    """Returns the folder of all features; it may not exist."""
    return cache_folder() / "features"


def features_bytes() -> int:
    """Returns the size of all features on disk."""
    return sum(file.stat().st_size for file in features_folder().glob(f"*/*{_SUFFIX}"))


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
        self._rows: dict[bytes, Features] = {}
        self._new: dict[bytes, Features] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")) if self._folder.is_dir() else ():
            self._rows |= self._read(path)

    def get(self, key: bytes) -> Features | None:
        """Returns the features of the image with this key, float32 [D], or None."""
        return self._rows.get(key)

    def add(self, key: bytes, features: Features) -> None:
        """Remembers the features of an image, float32 [D]; they are written by `flush`."""
        self._rows[key] = self._new[key] = features

    def flush(self) -> None:
        """Writes what was added since the last call. A cache that cannot be written costs time, not the run."""
        if not self._new:
            return
        from safetensors.numpy import save

        keys = np.frombuffer(b"".join(self._new), np.uint8).reshape(-1, _KEY_BYTES)
        content = save({"keys": keys, "features": np.stack(list(self._new.values()))})
        self._new = {}
        with suppress(StorageError):
            durable.make_folder(self._folder)
            durable.write_bytes(self._folder / f"{secrets.token_hex(8)}{_SUFFIX}", content)
            _limit(features_folder())

    def _read(self, path: Path) -> dict[bytes, Features]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        with suppress(OSError, SafetensorError, KeyError, ValueError):
            tensors = load(path.read_bytes())
            keys, features = tensors["keys"], tensors["features"]
            if features.shape == (len(keys), self._size) and keys.shape[1:] == (_KEY_BYTES,):
                with suppress(OSError):
                    os.utime(path)  # the time of its last use
                return dict(zip(map(bytes, keys), features.astype(np.float32, copy=False), strict=True))
        return {}


def _limit(folder: Path) -> None:
    """Deletes the files that were used longest ago until all take at most `MAX_BYTES`."""
    with suppress(OSError):
        files = sorted((file.stat().st_mtime, file.stat().st_size, file) for file in folder.glob(f"*/*{_SUFFIX}"))
        excess = sum(size for _, size, _ in files) - MAX_BYTES
        for _, size, file in files:
            if excess <= 0:
                return
            durable.disk.remove(file)
            excess -= size
