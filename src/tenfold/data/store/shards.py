"""Images of a split that is larger than memory may be: rows of several files, read when they are needed.

N images of the split, M of them that are read at once, H×W pixels.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from tenfold.data.store.open_files import OpenFile, OpenFiles

SHARD_BYTES = 256 * 1024**2
"""Bytes of images above which a split is stored in several files, and of each such file."""

MIN_SHARD_BYTES = 64 * 1024
"""Smallest shard, in bytes."""

_COPY_BELOW = 64 * 1024**2
"""Bytes up to which chosen images are copied into memory."""

_READ_BYTES = 1 << 24
"""Bytes that are read at once where the result is smaller than what is read, or is handed out image by image."""

Images = NDArray[np.uint8]
Indices = NDArray[np.int64]
Window = tuple[slice, slice]


class Shard(NamedTuple):
    """A file of images of one size, one after the other.

    Args:
        path: the file.
        offset: position of the first image, in bytes.
        rows: number of images.
    """

    path: Path
    offset: int
    rows: int


class RowSource(Protocol):
    """Images that are no file of pixels: an array, or one that decodes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Indices, /) -> Images:
        """Returns the images of some rows, uint8 [M, H, W, 3]."""


class ShardedImages:
    """Images in files, uint8 [N, H, W, 3], of which only what is asked for is in memory.

    It takes the place of an array: `len`, `shape`, `dtype`, `nbytes`, iteration, and `images[…]` with a number, a
    slice, or an array of numbers or of booleans, which always returns a new array. Reads are positioned reads: nothing
    stays mapped, so the resident memory of a process does not grow with the images that it has seen.

    Args:
        shards: files, or arrays uint8 [n, H, W, 3] and the like, in order.
        size: height and width of the stored images.
        rows: int64 [N], which of the stored images these are, in order; None for all of them.
        window: the rows and columns of pixels that are returned; None for all of them.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        shards: Sequence[Shard | RowSource],
        size: tuple[int, int],
        rows: Indices | None = None,
        window: Window | None = None,
    ) -> None:
        self._shards = tuple(shards)
        self._size = size
        self._rows = rows
        self._window = window
        self._starts = np.cumsum([0, *map(_num_rows, self._shards)], dtype=np.int64)
        self._files = OpenFiles()
        num_images = int(self._starts[-1]) if rows is None else len(rows)
        sides = np.empty(size, bool)[window or (slice(None), slice(None))].shape
        self.shape = (num_images, *sides, 3)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __repr__(self) -> str:
        return f"ShardedImages({list(self.shape)}, {len(self._shards)} files)"

    @property
    def nbytes(self) -> int:
        """Bytes of all images together, which are more than memory may hold."""
        return len(self) * self.image_bytes

    @property
    def size(self) -> int:
        """Number of all values, as an array has it."""
        return self.nbytes

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return int(self.shape[1] * self.shape[2]) * 3

    def __getitem__(self, key: object) -> Images:
        if isinstance(key, tuple):
            first, *others = key
            found = self[first]
            return found[(*others,) if found.ndim == 3 else (slice(None), *others)]
        if isinstance(key, slice):
            return self.read(np.arange(*key.indices(len(self)), dtype=np.int64))
        indices = np.asarray(key)
        if indices.dtype == np.bool_:
            indices = np.arange(len(self))[indices]
        elif not indices.size:
            indices = indices.astype(np.int64)
        if indices.dtype.kind not in "iu":
            raise IndexError(f"images are chosen by numbers, a slice or booleans, not by {key!r}")
        if indices.size and not -len(self) <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"index {key} is out of range for {len(self)} images")
        flat = np.where(indices < 0, indices + len(self), indices).astype(np.int64).reshape(-1)
        return self.read(flat).reshape(*indices.shape, *self.shape[1:])

    def __iter__(self) -> Iterator[Images]:
        step = max(1, _READ_BYTES // max(1, self.image_bytes))
        for first in range(0, len(self), step):
            yield from self[first : first + step]

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def as_array(self) -> Images:
        """Returns these images under the type of an array, for a `Split`; nothing is read."""
        return cast(Images, self)

    def select(self, indices: Indices) -> "ShardedImages":
        """Returns the images at `indices`, int64 [M], in that order; nothing is read."""
        rows = indices if self._rows is None else self._rows[indices]
        return ShardedImages(self._shards, self._size, np.asarray(rows, np.int64), self._window)

    def cropped(self, window: Window) -> "ShardedImages":
        """Returns the images with these rows and columns of pixels alone; nothing is read.

        Raises:
            ValueError: when they are cropped already.
        """
        if self._window is not None:
            raise ValueError("these images are cropped already")
        return ShardedImages(self._shards, self._size, self._rows, window)

    def followed_by(self, others: "Sequence[ShardedImages]") -> "ShardedImages":
        """Returns these images and then those of others without a window; nothing is read."""
        sources = [self, *others]
        starts = np.cumsum([0, *(int(source._starts[-1]) for source in sources)]).tolist()
        rows = [
            start + (np.arange(len(source)) if source._rows is None else source._rows)
            for source, start in zip(sources, starts, strict=False)
        ]
        shards = [shard for source in sources for shard in source._shards]
        return ShardedImages(shards, self._size, np.concatenate(rows).astype(np.int64))

    def read(self, indices: Indices, out: Images | None = None) -> Images:
        """Returns the images at `indices`.

        Args:
            indices: int64 [M], each in [0, N).
            out: uint8 [M, H, W, 3] in one piece of memory, which receives them; a new array by default.

        Raises:
            StorageError: when a file cannot be read.
            DataError: when a file is shorter than it was.
        """
        out = np.empty((len(indices), *self.shape[1:]), np.uint8) if out is None else out
        if self._window is None:
            self._read_stored(indices, out)
            return out
        step = max(1, _READ_BYTES // max(1, self._size[0] * self._size[1] * 3))
        for first in range(0, len(indices), step):
            part = indices[first : first + step]
            whole = np.empty((len(part), *self._size, 3), np.uint8)
            self._read_stored(part, whole)
            out[first : first + step] = whole[:, *self._window]
        return out

    def will_need(self, indices: Indices) -> None:
        """Lets the system fetch images, int64 [M], that are read next, from a slow disk meanwhile."""
        if hasattr(os, "posix_fadvise"):
            for file, _, start, length in self._pieces(indices, np.empty(0, np.uint8)):
                os.posix_fadvise(file.number, start, length, os.POSIX_FADV_WILLNEED)

    def _read_stored(self, indices: Indices, out: Images) -> None:
        """Reads whole images, uint8 [M, H, W, 3]."""
        flat = out.reshape(-1)
        memory = memoryview(flat.data)
        for file, position, start, length in self._pieces(indices, flat):
            file.read(memory[position : position + length], start)

    def _pieces(self, indices: Indices, out: NDArray[np.uint8]) -> Iterator[tuple[OpenFile, int, int, int]]:
        """Yields file, position in the result, position in the file and number of bytes of what lies side by side.

        They come in the order of the files, in which disks read fastest. Images of other sources are copied to `out`,
        if it is not empty.
        """
        image_bytes = self._size[0] * self._size[1] * 3
        rows = indices if self._rows is None else self._rows[indices]
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        breaks = (np.diff(rows) != 1) | (np.diff(owners) != 0)
        positions = np.flatnonzero(np.concatenate([np.ones(min(1, len(rows)), bool), breaks]))
        counts = np.diff(positions, append=len(rows))
        order = np.argsort(rows[positions], kind="stable")
        positions, counts = positions[order], counts[order]
        numbers = owners[positions]
        firsts = rows[positions] - self._starts[numbers]
        edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1)).tolist()
        for first, last in pairwise(edges):
            source = self._shards[int(numbers[first])]
            starts, lengths, places = (part[first:last] * image_bytes for part in (firsts, counts, positions))
            if isinstance(source, Shard):
                file = self._files.opened(source.path)
                columns = (places.tolist(), (starts + source.offset).tolist(), lengths.tolist())
                yield from zip(repeat(file), *columns, strict=False)
            elif out.size:
                mine = np.flatnonzero(owners == numbers[first])
                inner = rows[mine] - self._starts[numbers[first]]
                out.reshape(len(rows), -1)[mine] = source[inner].reshape(len(mine), -1)


def sharded(images: object) -> ShardedImages | None:
    """Returns images that are `ShardedImages` under their own type, or None; a `Split` calls them an array."""
    return images if isinstance(images, ShardedImages) else None


def joined(parts: Sequence[Images]) -> Images:
    """Returns the images of several arrays or `ShardedImages`, one after the other; of the latter nothing is read.

    Args:
        parts: uint8 [n, H, W, 3] each, one or more, without a window.
    """
    if not any(sharded(part) is not None for part in parts):
        return np.concatenate(parts)
    sources = [sharded(part) or ShardedImages([part], part.shape[1:3]) for part in parts]
    return sources[0].followed_by(sources[1:]).as_array()


def chosen(images: Images, indices: Indices) -> Images:
    """Returns the images at `indices`, int64 [M]: a copy, or a choice that reads nothing where it is a large one."""
    source = sharded(images)
    if source is not None and len(indices) * source.image_bytes > _COPY_BELOW:
        return source.select(indices).as_array()
    return images[indices]


def _num_rows(shard: Shard | RowSource) -> int:
    return shard.rows if isinstance(shard, Shard) else len(shard)
