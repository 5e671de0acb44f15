"""Writes a dataset as tar files of WebDataset, for programs that read those; `sources/webdataset.py` reads them.

train-000000.tar · … · test-000000.tar · …      0000007.png and 0000007.cls, with groups also 0000007.json
classes.txt                                     name of each class, one a line
manifest.json                                   sizes and digests
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tenfold.core import durable
from tenfold.data.sources.webdataset import CLASSES_FILE, TAR
from tenfold.data.types import Dataset, ProgressCallback, Split

_ROWS = 256
"""Number of images that are read at once."""


def write_webdataset(dataset: Dataset, folder: Path, shard_bytes: int, progress: ProgressCallback) -> int:
    """Writes all splits; pixels are those of the store, as PNG.

    Args:
        dataset: its images.
        folder: must not exist; it appears when it is complete.
        shard_bytes: size above which a tar file is not continued.
        progress: called with the number of images that are done.

    Returns:
        The number of tar files.

    Raises:
        StorageError: when the disk refuses, or the folder exists.
    """
    total, done = sum(map(len, dataset.splits().values())), 0
    with durable.new_folder(folder) as temporary:
        (temporary / CLASSES_FILE).write_text("".join(f"{name}\n" for name in dataset.classes), "utf-8")
        for name, split in dataset.splits().items():
            shards = _Shards(temporary, name, shard_bytes)
            for row, files in enumerate(_samples(split)):
                shards.add(row, files)
                done += 1
                if done % _ROWS == 0 or done == total:
                    progress("Writing images", done, total)
            shards.close()
    return len(list(folder.glob("*.tar")))


def is_exported(folder: Path) -> bool:
    """Returns whether a folder holds what `write_webdataset` has written, and nothing else."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    own = {CLASSES_FILE, durable.MANIFEST}
    return own <= names and all(name.endswith(TAR) for name in names - own)


class _Shards:
    """The tar files of one split, one after the other."""

    def __init__(self, folder: Path, split: str, max_bytes: int) -> None:
        self._folder, self._split, self._max_bytes = folder, split, max_bytes
        self._number = 0
        self._tar = self._next()

    def add(self, row: int, files: dict[str, bytes]) -> None:
        if self._tar.offset >= self._max_bytes:
            self._tar.close()
            self._tar = self._next()
        for kind, content in files.items():
            member = tarfile.TarInfo(f"{row:07}.{kind}")
            member.size = len(content)
            self._tar.addfile(member, io.BytesIO(content))
        self._tar.members = []  # type: ignore[attr-defined]  # which would grow with the file

    def close(self) -> None:
        self._tar.close()

    def _next(self) -> tarfile.TarFile:
        path = self._folder / f"{self._split}-{self._number:06}.tar"
        self._number += 1
        return tarfile.open(path, "w")


def _samples(split: Split) -> Iterator[dict[str, bytes]]:
    """Yields the contents of the files of each image by kind."""
    for first in range(0, len(split), _ROWS):
        for row, image in enumerate(split.images[first : first + _ROWS], start=first):
            content = io.BytesIO()
            Image.fromarray(image).save(content, "PNG")
            group = split.groups[row] if split.groups is not None else ""
            more = {"json": json.dumps({"group": group}).encode()} if group else {}
            yield {"png": content.getvalue(), "cls": str(split.labels[row]).encode(), **more}
