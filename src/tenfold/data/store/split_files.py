"""The image files of a store while they are written: one for each split, or several shards of a large one.

A file is finished when each of its images was written or left out. It is then made durable and recorded, see
`unfinished.py`.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.core import durable
from tenfold.data.store.format import PixelFile, ShardList, images_file, npy_header
from tenfold.data.store.shards import Shard
from tenfold.data.store.unfinished import Facts, finished_files, record_finished

_READ_BYTES = 1 << 24


class StoreFiles:
    """The image files of all splits.

    Args:
        folder: of the unfinished store; it may hold what a killed process has finished.
        rows: highest number of images of each split.
        size: height and width in pixels.
        shard_bytes: see `data.shard_size`.
        facts: returns what else to record of a range of rows of a split, as JSON; None for nothing.
        note: says how the size was chosen; recorded with it.

    Raises:
        StorageError: when the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        rows: dict[str, int],
        size: tuple[int, int],
        shard_bytes: int,
        facts: Callable[[str, range], Facts] | None = None,
        note: str = "",
    ) -> None:
        plan = {"rows": rows, "size": list(size), "shard_bytes": shard_bytes, "note": note}
        finished = finished_files(folder, plan)
        self._splits = {
            split: _SplitFiles(folder, split, count, size, shard_bytes, facts, finished)
            for split, count in rows.items()
        }

    def __enter__(self) -> "StoreFiles":
        return self

    def __exit__(self, *_: object) -> None:
        for files in self._splits.values():
            files.close()

    def finished(self, split: str) -> list[tuple[range, Facts]]:
        """Returns the rows of each file of a split that was finished before, and the facts recorded of them."""
        return self._splits[split].finished

    def write(self, split: str, row: int, image: NDArray[np.uint8] | bytes) -> None:
        """Writes an image, uint8 [H, W, 3] or its bytes; each row is written or left out once, in any order.

        Raises:
            OSError, StorageError: when the disk refuses.
        """
        self._splits[split].add(row, image)

    def leave_out(self, split: str, row: int) -> None:
        """Reports that there is no image of a row. Rows of which nothing is said until the end are left out too."""
        self._splits[split].add(row, None)

    def shards(self) -> dict[str, ShardList]:
        """Finishes all files; returns the shards of each split that has several.

        Raises:
            OSError, StorageError: when the disk refuses.
        """
        return {split: shards for split, files in self._splits.items() if (shards := files.complete())}


class _SplitFiles:
    """The files of one split; see `StoreFiles`."""

    def __init__(
        self,
        folder: Path,
        split: str,
        rows: int,
        size: tuple[int, int],
        shard_bytes: int,
        facts: Callable[[str, range], Facts] | None,
        finished: dict[str, Facts],
    ) -> None:
        self._folder, self._split, self._size, self._facts = folder, split, size, facts
        per_file = max(1, shard_bytes // (size[0] * size[1] * 3))
        self._is_sharded = rows > per_file
        self._per_file = per_file if self._is_sharded else max(1, rows)
        self._ranges = [range(start, min(start + self._per_file, rows)) for start in range(0, rows, self._per_file)]
        self._ranges = self._ranges or [range(0)]
        self._left = [len(rows) for rows in self._ranges]
        self._open: dict[int, PixelFile] = {}
        self._counts: dict[int, int] = {}
        self.finished: list[tuple[range, Facts]] = []
        for number, part in enumerate(self._ranges):
            if (record := finished.get(self._path(number).name)) is not None:
                self._counts[number], self._left[number] = int(record["rows"]), 0
                self.finished.append((part, record["facts"]))

    def add(self, row: int, image: NDArray[np.uint8] | bytes | None) -> None:
        number = row // self._per_file
        if number in self._counts:
            return
        if image is not None:
            self._file(number).write(row - self._ranges[number].start, image)
        self._left[number] -= 1
        if not self._left[number]:
            self._finish(number)

    def complete(self) -> ShardList | None:
        for number in range(len(self._ranges)):
            if number not in self._counts:
                self._finish(number)
        counts = [self._counts[number] for number in range(len(self._ranges))]
        if not self._is_sharded:
            return None
        sources = [
            Shard(self._path(number), len(npy_header(0, self._size)), rows) for number, rows in enumerate(counts)
        ]
        return ShardList(counts, _digest_as_one_file(sources, self._size))

    def close(self) -> None:
        for file in self._open.values():
            file.close()

    def _path(self, number: int) -> Path:
        return self._folder / images_file(self._split, number if self._is_sharded else None)

    def _file(self, number: int) -> PixelFile:
        if number not in self._open:
            self._open[number] = PixelFile(self._path(number), len(self._ranges[number]), self._size)
        return self._open[number]

    def _finish(self, number: int) -> None:
        path = self._path(number)
        self._counts[number] = self._file(number).complete()
        del self._open[number]
        durable.disk.sync(path)
        durable.disk.sync_folder(self._folder)
        facts = {} if self._facts is None else self._facts(self._split, self._ranges[number])
        record = {"file": path.name, "bytes": path.stat().st_size, "rows": self._counts[number], "facts": facts}
        record_finished(self._folder, record)


def _digest_as_one_file(shards: list[Shard], size: tuple[int, int]) -> str:
    """Returns the SHA-256 of the file that all images would make together, so that fingerprints are the same."""
    digest = hashlib.sha256(npy_header(sum(shard.rows for shard in shards), size))
    for shard in shards:
        with shard.path.open("rb") as file:
            file.seek(shard.offset)
            while data := file.read(_READ_BYTES):
                digest.update(data)
    return digest.hexdigest()
