"""The files of a store: its index, and arrays of images that are written in any order."""

import io
import json
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.core import durable
from tenfold.core.disk import display_path
from tenfold.core.errors import DataError

FORMAT = 1
PATHS, GROUPS = "paths.json", "groups.json"


class ShardList(NamedTuple):
    """The shards of a split.

    Args:
        rows: number of images in each.
        sha256: digest of the file that all images would make together.
    """

    rows: list[int]
    sha256: str


@dataclass(frozen=True)
class Index:
    """The content of `index.json`: everything in a store but pixels, labels and paths.

    Args:
        name: name of the dataset.
        classes: class names in the order of the labels.
        fit: how images were brought to size.
        source: where they come from; shown to people.
        num_images: number of images in each split; the file calls it `pictures`.
        skipped: path and reason of every file that was left out, unreadable images included.
        notes: sentences that a user should read.
        drawn: names of the splits that were drawn at random.
        layout: how the source was understood.
        typical_size: median height and width of the training images in their files; None if unknown.
        created: when the store was made, UTC.
        format: version of the layout.
        shards: the shards of each split that has several.
    """

    name: str
    classes: tuple[str, ...]
    fit: str
    source: str
    num_images: dict[str, int]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    layout: str = ""
    typical_size: tuple[int, int] | None = None
    created: str = ""
    format: int = FORMAT
    shards: dict[str, ShardList] = field(default_factory=dict)


def write_index(
    folder: Path, index: Index, paths: dict[str, list[str] | None], groups: dict[str, list[str]] | None = None
) -> None:
    """Writes the last files of a store.

    Args:
        folder: folder of the unfinished store.
        index: its `created` is set here.
        paths: paths of the images of each split, or None for images that never were files.
        groups: group of each image of each split, see `Split`; None where no image has one.

    Raises:
        StorageError: when the disk refuses.
    """
    stamped = replace(index, created=datetime.now(UTC).isoformat(timespec="seconds"))
    value = {"pictures" if key == "num_images" else key: item for key, item in asdict(stamped).items()}
    if not index.shards:
        del value["shards"]
    durable.write_json(folder / PATHS, paths)
    if groups is not None:
        durable.write_json(folder / GROUPS, groups)
    durable.write_json(folder / "index.json", value)


def read_index(path: Path) -> Index:
    """Returns the index of the store at `path`.

    Raises:
        OSError: when it cannot be read.
        DataError: when it has another version.
        ValueError, KeyError, TypeError, AttributeError: when its content is invalid.
    """
    value = json.loads((path / "index.json").read_bytes())
    if value.get("format") != FORMAT:
        raise DataError(f"{display_path(path)} has format {value.get('format')}; expected {FORMAT}")
    value.setdefault("drawn", _drawn_of(value["notes"]))
    for key in ("classes", "notes", "drawn"):
        value[key] = tuple(value[key])
    value["shards"] = {split: ShardList(*shards) for split, shards in value.get("shards", {}).items()}
    typical = value.get("typical_size")
    value["typical_size"] = None if typical is None else tuple(typical)
    value["skipped"] = tuple((str(name), str(reason)) for name, reason in value["skipped"])
    return Index(num_images=value.pop("pictures"), **value)


def _drawn_of(notes: list[str]) -> list[str]:
    """Returns the splits that were drawn for an older store, which does not list them but has a note."""
    return ["test"] if any(note.startswith("no test folder") for note in notes) else []


_BUFFER = 1024**2
"""Size of the write buffer, in bytes."""


class PixelFile:
    """A `.npy` file of images of one size; each row is written once or never, in any order.

    Args:
        path: the file; an existing file is replaced.
        rows: highest number of images.
        size: height and width in pixels.

    Raises:
        OSError: when the disk refuses.

    Example:
        >>> file = PixelFile(Path("train-images.npy"), 2, (32, 32))  # doctest: +SKIP
        >>> file.write(1, image)  # doctest: +SKIP
        >>> file.complete()  # doctest: +SKIP
        1
    """

    def __init__(self, path: Path, rows: int, size: tuple[int, int]) -> None:
        self._size = size
        self._written = np.zeros(rows, dtype=bool)
        self._start = len(npy_header(rows, size))
        self._image_bytes = size[0] * size[1] * 3
        self._next_row = -1
        self._file = path.open("w+b", buffering=_BUFFER)

    def close(self) -> None:
        """Closes the file as it is."""
        self._file.close()

    def write(self, row: int, image: NDArray[np.uint8] | bytes) -> None:
        """Writes an image.

        Args:
            row: its row, in [0, rows).
            image: uint8 [H, W, 3], or its bytes.

        Raises:
            OSError: when the disk refuses.
        """
        if row != self._next_row:  # a seek empties the buffer, and most images come in order
            self._file.seek(self._start + row * self._image_bytes)
        self._next_row = -1  # unknown if the write fails half-way
        self._file.write(image if isinstance(image, bytes) else image.tobytes())
        self._next_row = row + 1
        self._written[row] = True

    def complete(self) -> int:
        """Moves images up over rows that were never written, and closes the file; returns the number of images.

        Raises:
            OSError: when the disk refuses.
        """
        rows = np.flatnonzero(self._written)
        with self._file:
            for new_row, row in enumerate(rows.tolist()):
                if new_row != row:
                    self._file.seek(self._start + row * self._image_bytes)
                    image = self._file.read(self._image_bytes)
                    self._file.seek(self._start + new_row * self._image_bytes)
                    self._file.write(image)
            self._file.truncate(self._start + len(rows) * self._image_bytes)
            self._file.seek(0)
            self._file.write(npy_header(len(rows), self._size))
        return len(rows)


def npy_header(rows: int, size: tuple[int, int]) -> bytes:
    """Returns the header of a `.npy` file of images; NumPy pads it, so its length is the same for any `rows`."""
    stream = io.BytesIO()
    fields = {"descr": "|u1", "fortran_order": False, "shape": (rows, *size, 3)}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def images_file(split: str, number: int | None = None) -> str:
    """Returns the name of the file of a split's images, or of its shard with this number."""
    return f"{split}-images.npy" if number is None else f"{split}-images-{number:05}.npy"


def is_shard(name: str) -> bool:
    """Returns whether a file's name is that of a shard."""
    return re.search(r"-images-\d+\.npy$", name) is not None
