"""Datasets without a copy: `data.store = "none"` decodes image files each time they are needed.

Shapes: N images of a split, H×W pixels, 3 channels.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.core.devices import num_cores
from tenfold.core.disk import storage_errors
from tenfold.core.errors import DataError
from tenfold.core.text import escaped
from tenfold.core.world import current_world
from tenfold.data.decode.decode import FileSource
from tenfold.data.decode.fit_rule import stored_size
from tenfold.data.decode.tasks import decode_to_size
from tenfold.data.listed_source import ListedSource
from tenfold.data.request import DataRequest
from tenfold.data.sources.class_folders import scan
from tenfold.data.sources.groups import grouped
from tenfold.data.sources.layout import SPLITS, FilePart, Layout, draw_test
from tenfold.data.store.cache_key import dataset_name
from tenfold.data.store.scan import check_labels
from tenfold.data.store.shards import ShardedImages
from tenfold.data.types import Dataset, Split


def unstored(source: ListedSource, request: DataRequest) -> Dataset:
    """Returns the dataset of a folder or of tar files, of which only names and labels are read.

    Args:
        source: what is read.
        request: with an image size.

    Raises:
        DataError: when the size is not given, or the source cannot be read image by image.
    """
    if request.size is None:
        raise DataError('data.store = "none" needs the size that images get; expected --set data.image_size=…')
    layout = scan(source.path, source.listing, rules=request.rules)
    layout = draw_test(grouped(layout, request.group_rule), request.test_fraction, request.split_seed)
    if not (layout.parts or (layout.read is None and source.path.is_dir())):
        raise DataError(
            f'data.store = "none" reads folders of images and tar files of WebDataset, and {escaped(str(source.path))} '
            "is neither; leave data.store out"
        )
    splits = {name: _split(layout, indices, request) for name in SPLITS if (indices := layout.indices_of(name))}
    check_labels(layout.classes, {name: split.labels for name, split in splits.items()}, str(source.path))
    settings = [source.digest, request.size, request.fit, request.test_fraction, request.split_seed, request.group]
    return Dataset(
        name=dataset_name(source.path.absolute()),
        classes=layout.classes,
        train=splits["train"],
        test=splits["test"],
        val=splits.get("val"),
        fit=request.fit,
        fingerprint=hashlib.sha256(json.dumps(settings).encode()).hexdigest(),
        skipped=layout.skipped,
        notes=(*layout.notes, 'data.store = "none": images are decoded each time, and nothing is stored'),
        drawn=layout.drawn,
        layout=layout.understood,
    )


def _split(layout: Layout, indices: Sequence[int], request: DataRequest) -> Split:
    assert request.size is not None
    entries = [layout.entries[index] for index in indices]
    files = [layout.parts.get(entry.path) or layout.root / entry.path for entry in entries]
    size = stored_size(request.size, request.fit)
    encoded = EncodedImages(files, [entry.path for entry in entries], size, request.fit)
    groups = tuple(entry.group for entry in entries)
    return Split(
        ShardedImages([encoded], size).as_array(),
        np.array([entry.label for entry in entries], np.int64),
        tuple(entry.path for entry in entries),
        groups if any(groups) else None,
    )


@dataclass
class EncodedImages:
    """Image files that are decoded when they are asked for: a part of `ShardedImages`.

    Args:
        files: N files, or parts of files.
        names: what messages call them.
        size: height and width that they are brought to, in pixels.
        fit: see `fit_image`.
    """

    files: Sequence[Path | FilePart]
    names: Sequence[str]
    size: tuple[int, int]
    fit: str

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Returns images, uint8 [M, H, W, 3]; threads decode them.

        Raises:
            DataError: when a file cannot be decoded.
            StorageError: when a file cannot be read.
        """
        images = np.empty((len(rows), *self.size, 3), np.uint8)
        for place, data in enumerate(self._threads.map(self._decoded, rows.tolist())):
            images[place] = np.frombuffer(data, np.uint8).reshape(images.shape[1:])
        return images

    def __reduce__(self) -> tuple[type["EncodedImages"], tuple[object, ...]]:
        return EncodedImages, (self.files, self.names, self.size, self.fit)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max(1, num_cores() // current_world().local_size))

    def _decoded(self, row: int) -> bytes:
        file = self.files[row]
        source: FileSource = file if isinstance(file, Path) else _content(file)
        image = decode_to_size(source, self.size, self.fit)
        if image.reason:
            raise DataError(
                f'{escaped(self.names[row])} cannot be read: {image.reason}; remove it, or leave data.store = "none" '
                "out, which skips such files"
            )
        return image.data


def _content(part: FilePart) -> bytes:
    with storage_errors("read", part.path), part.path.open("rb") as stream:
        stream.seek(part.start)
        return stream.read(part.size)
