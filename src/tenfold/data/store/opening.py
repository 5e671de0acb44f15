"""Opens a store: labels are read, pixels stay on disk until they are needed."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from itertools import repeat
from pathlib import Path
from sys import intern

import numpy as np
from numpy.typing import NDArray

from tenfold.core import durable
from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import DataError
from tenfold.data.store.format import GROUPS, PATHS, Index, images_file, is_shard, npy_header, read_index
from tenfold.data.store.names import LazyNames
from tenfold.data.store.shards import SHARD_BYTES, Shard, ShardedImages
from tenfold.data.types import Dataset, Skipped, Split

_LAZY_BYTES = 1 << 20
"""Size of a file of names from which on it is not read before a name is needed."""


def open_store(path: Path) -> Dataset:
    """Opens a store; pixels stay on disk until they are read. `train` is empty in a store for evaluation.

    Raises:
        RunError: when a file is missing or has another size than when it was written.
        StorageError: when the disk cannot be read.
        DataError, ValueError, KeyError, TypeError, AttributeError: when the content is invalid.
    """
    durable.verify_folder(path, digests=False)
    with storage_errors("read", path):
        index = read_index(path)
        paths, groups = _Names(path / PATHS, index), _Names(path / GROUPS, index)
        splits = {
            split: Split(
                _open_images(path, index, split),
                np.load(path / f"{split}-labels.npy", allow_pickle=False),
                paths.of(split),
                groups.of(split),
            )
            for split in index.num_images
        }
    return Dataset(
        name=index.name,
        classes=index.classes,
        train=splits["train"] if "train" in splits else splits["test"].subset(np.zeros(0, np.int64)),
        test=splits["test"],
        val=splits.get("val"),
        fit=index.fit,
        fingerprint=_fingerprint(path, index),
        skipped=tuple(Skipped(*entry) for entry in index.skipped),
        notes=index.notes,
        drawn=index.drawn,
        typical_size=index.typical_size,
        layout=index.layout,
    )


class _Names:
    """The names in a file of a store: those of a large file are read when they are needed.

    Args:
        path: the file; without it there are no names.
        index: of the store.
    """

    def __init__(self, path: Path, index: Index) -> None:
        self._path, self._counts = path, index.num_images
        self._is_large = path.is_file() and path.stat().st_size > _LAZY_BYTES

    def of(self, split: str) -> Sequence[str] | None:
        """Returns the names of a split's images, or None; a large file has names for every split."""
        if self._is_large:
            return LazyNames(self._counts[split], lambda: self._checked(split))
        names = self._splits.get(split)
        return None if names is None else tuple(map(intern, names))  # there may be few groups of many images

    def _checked(self, split: str) -> list[str]:
        try:
            names = list(map(intern, self._splits[split] or ()))
        except (ValueError, KeyError, TypeError, AttributeError):
            names = []
        if len(names) != self._counts[split]:
            raise DataError(
                f"{display_path(self._path)} does not hold {self._counts[split]} names for {split}; delete "
                f"{display_path(self._path.parent)} to create it again"
            )
        return names

    @cached_property
    def _splits(self) -> dict[str, list[str] | None]:
        with storage_errors("read", self._path):
            found: dict[str, list[str] | None] = json.loads(self._path.read_bytes()) if self._path.is_file() else {}
        return found


def _open_images(path: Path, index: Index, split: str) -> NDArray[np.uint8]:
    """Opens the images of a split: a memory map, or `ShardedImages` of what is stored in shards or is as large."""
    shards = index.shards.get(split)
    first: NDArray[np.uint8] = np.load(
        path / images_file(split, 0 if shards else None), mmap_mode="r", allow_pickle=False
    )
    if shards is None and first.nbytes <= SHARD_BYTES:
        return first.view(np.ndarray)
    size = (first.shape[1], first.shape[2])
    counts = shards.rows if shards else [len(first)]
    paths = [path / images_file(split, number if shards else None) for number in range(len(counts))]
    header = len(npy_header(0, size))
    return ShardedImages([Shard(*file) for file in zip(paths, repeat(header), counts, strict=False)], size).as_array()


def _fingerprint(path: Path, index: Index) -> str:
    """Returns a digest of classes, pixels and labels, made of the digests in the manifest."""
    manifest = json.loads((path / durable.MANIFEST).read_bytes())
    shards = {images_file(split): shards.sha256 for split, shards in index.shards.items()}
    whole = {name: entry["sha256"] for name, entry in manifest.items() if name.endswith(".npy") and not is_shard(name)}
    digests = dict(sorted((whole | shards).items()))
    return hashlib.sha256(json.dumps([index.classes, digests]).encode()).hexdigest()
