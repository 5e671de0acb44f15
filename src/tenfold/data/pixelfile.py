"""A .npy file of pictures that is filled in any order, by plain writes.

A memory map would count every written page as memory of this process, and a store may be larger than memory.
"""

import io
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

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
