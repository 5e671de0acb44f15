"""What a store knows beside pixels and labels, and how that is written down."""

import io
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from tenfold.core import durable
from tenfold.core.disk import shown
from tenfold.core.errors import DataError

FORMAT = 1


@dataclass(frozen=True)
class Index:
    """What a store knows beside pixels, labels and paths.

    Args:
        name: the name of the dataset.
        classes: class names in the order of the labels.
        fit: how pictures were brought to size.
        source: where they came from, for people.
        pictures: number of pictures in each split.
        skipped: path and reason of every file that was left out, unreadable pictures among them.
        notes: sentences that a user should read.
        created: when the store was made, UTC.
        format: version of this layout.
    """

    name: str
    classes: tuple[str, ...]
    fit: str
    source: str
    pictures: dict[str, int]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    created: str = ""
    format: int = FORMAT


def write_index(folder: Path, index: Index, paths: dict[str, list[str] | None]) -> None:
    """Writes what makes splits a store.

    Args:
        folder: the folder that is being filled.
        index: `created` is filled in here.
        paths: for each split the names of its pictures, or None where they never were files.

    Raises:
        StorageError: when the disk refuses.
    """
    stamped = replace(index, created=datetime.now(UTC).isoformat(timespec="seconds"))
    durable.write_json(folder / "paths.json", paths)
    durable.write_json(folder / "index.json", asdict(stamped))


def read_index(path: Path) -> Index:
    """Returns the index of the store at `path`.

    Raises:
        OSError: when it cannot be read.
        DataError: when it was written by another version.
        ValueError, TypeError: when it makes no sense.
    """
    value = json.loads((path / "index.json").read_bytes())
    if value.get("format") != FORMAT:
        raise DataError(f"{shown(path)} has format {value.get('format')}; expected {FORMAT}")
    for key in ("classes", "notes"):
        value[key] = tuple(value[key])
    value["skipped"] = tuple((str(name), str(reason)) for name, reason in value["skipped"])
    return Index(**value)


_BUFFER = 1024**2
"""Bytes that go to the disk together."""


class PixelFile:
    """Room for `rows` pictures of one size, each written once or never.

    Args:
        path: the file; a file of that name is replaced.
        rows: number of pictures, N.
        size: height and width in pixels.

    Example:
        >>> with PixelFile(Path("train-images.npy"), 2, (32, 32)) as file:  # doctest: +SKIP
        ...     file.write(1, picture)
        >>> np.load("train-images.npy").shape  # doctest: +SKIP
        (1, 32, 32, 3)
    """

    def __init__(self, path: Path, rows: int, size: tuple[int, int]) -> None:
        self._path = path
        self._size = size
        self._written = np.zeros(rows, dtype=bool)
        self._start = len(self._header(rows))
        self._bytes = size[0] * size[1] * 3
        self._next = -1

    def __enter__(self) -> "PixelFile":
        self._file = self._path.open("w+b", buffering=_BUFFER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._close_gaps()

    def write(self, row: int, picture: NDArray[np.uint8] | bytes) -> None:
        """Puts a picture (uint8 [H, W, 3], or its bytes) in its place; raises OSError when the disk refuses."""
        if row != self._next:  # a seek empties the buffer, and most pictures come in order
            self._file.seek(self._start + row * self._bytes)
        self._next = -1  # unknown, should the write fail half-way
        self._file.write(picture if isinstance(picture, bytes) else picture.tobytes())
        self._next = row + 1
        self._written[row] = True

    def _close_gaps(self) -> None:
        """Moves pictures up over rows that were never written, and says at the top how many there are."""
        kept = np.flatnonzero(self._written)
        for place, row in enumerate(kept.tolist()):
            if place != row:
                self._file.seek(self._start + row * self._bytes)
                picture = self._file.read(self._bytes)
                self._file.seek(self._start + place * self._bytes)
                self._file.write(picture)
        self._file.truncate(self._start + len(kept) * self._bytes)
        self._file.seek(0)
        self._file.write(self._header(len(kept)))

    def _header(self, rows: int) -> bytes:
        """Returns the .npy header; numpy leaves room in it, so that its length is the same for any `rows`."""
        stream = io.BytesIO()
        described = {"descr": "|u1", "fortran_order": False, "shape": (rows, *self._size, 3)}
        np.lib.format.write_array_header_1_0(stream, described)
        return stream.getvalue()
