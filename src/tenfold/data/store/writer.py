"""Fills stores from folders, archives and arrays.

Shapes: N images of a split, H×W pixels, 3 channels.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.text import escaped
from tenfold.data.decode.fit import fit_image
from tenfold.data.decode.fit_rule import stored_size
from tenfold.data.request import DataRequest
from tenfold.data.sources.class_folders import FolderListing, scan
from tenfold.data.sources.groups import grouped
from tenfold.data.sources.layout import Layout, draw_test
from tenfold.data.store.cache_key import dataset_name
from tenfold.data.store.decode_layout import DecodeResult, decode_all
from tenfold.data.store.format import Index, ShardList, write_index
from tenfold.data.store.scan import SizeScan, check_labels, check_unreadable, choose_size, median_size
from tenfold.data.store.split_files import StoreFiles
from tenfold.data.store.unfinished import plan_of
from tenfold.data.types import Dataset, ProgressCallback, Split

_PROGRESS_EVERY = 500


def fill_from_arrays(
    folder: Path, dataset: Dataset, request: DataRequest, source: str, progress: ProgressCallback
) -> None:
    """Fills a store from arrays in memory.

    Args:
        folder: the store.
        dataset: name, classes and splits.
        request: image size and fit.
        source: where the arrays come from; shown to people.
        progress: called with the number of images that are done.

    Raises:
        DataError: when there is nothing to train or to test on.
        OSError, StorageError: when the disk refuses.
    """
    splits = dataset.splits()
    check_labels(dataset.classes, {name: split.labels for name, split in splits.items()}, dataset.name)
    shards = _write_images(folder, splits, request, progress)
    for name, split in splits.items():
        np.save(folder / f"{name}-labels.npy", split.labels)
    counts = {name: len(split) for name, split in splits.items()}
    own_size = dataset.image_size
    index = Index(dataset.name, dataset.classes, request.fit, source, counts, typical_size=own_size, shards=shards)
    write_index(folder, index, dict.fromkeys(splits))


def _write_images(
    folder: Path, splits: Mapping[str, Split], request: DataRequest, progress: ProgressCallback
) -> dict[str, ShardList]:
    old_size: tuple[int, int] = splits["train"].images.shape[1:3]
    size = stored_size(request.size or old_size, request.fit)
    rows = {name: len(split) for name, split in splits.items()}
    with StoreFiles(folder, rows, size, request.shard_size) as files:
        for name, split in splits.items():
            finished = {row for part, _ in files.finished(name) for row in part}
            for row in (row for row in range(len(split)) if row not in finished):
                image = split.images[row]
                files.write(name, row, image if size == old_size else _fitted(image, size, request.fit))
                if (row + 1) % _PROGRESS_EVERY == 0:
                    progress("Storing images" if size == old_size else "Resizing images", row + 1, len(split))
        return files.shards()


def _fitted(image: NDArray[np.uint8], size: tuple[int, int], fit: str) -> NDArray[np.uint8]:
    return fit_image(Image.fromarray(image), size, fit)


def fill_from_folders(
    folder: Path, path: Path, listing: FolderListing | None, request: DataRequest, progress: ProgressCallback
) -> None:
    """Fills a store from a folder or an archive of class folders.

    Args:
        folder: the store.
        path: the folder or archive.
        listing: the files of the folder; None for an archive.
        request: image size and fit, the draw of a test split, and how many images may be unreadable.
        progress: called with the number of images that are done.

    Raises:
        DataError: when the classes are invalid, too many images are unreadable, or a class has none left.
        OSError, StorageError: when the disk refuses.
    """
    size_scan = SizeScan(progress)
    plan = plan_of(folder)  # of a killed process, which had chosen the size
    with size_scan.pool:
        layout = scan(path, listing, None if request.size or plan else size_scan, rules=request.rules)
    layout = draw_test(grouped(layout, request.group_rule), request.test_fraction, request.split_seed)
    if plan:
        size, size_note = (plan["size"][0], plan["size"][1]), plan["note"]
    else:
        size, size_note = (request.size, "") if request.size else choose_size(size_scan.sizes, request.fit)
        size = stored_size(size, request.fit)
    decoded = size_scan.decoded if set(size_scan.sizes) == {size} else {}
    result = decode_all(layout, folder, size, request, progress, decoded, size_scan.files, size_note)
    check_unreadable(result.unreadable, len(layout.entries), request.max_unreadable, str(path))
    check_labels(layout.classes, result.labels, str(path))
    result.notes = [note for note in (*layout.notes, size_note, *result.notes) if note]
    _write_labels_and_index(folder, layout, result, request.fit)


def fill_for_evaluation(folder: Path, layout: Layout, request: DataRequest, progress: ProgressCallback) -> None:
    """Fills a store with the test images of a layout alone.

    Args:
        folder: the store.
        layout: see `only_split`.
        request: image size (not `auto`) and fit, and how many images may be unreadable.
        progress: called with the number of images that are done.

    Raises:
        DataError: when too many images are unreadable.
        OSError, StorageError: when the disk refuses.
    """
    assert request.size is not None
    size = stored_size(request.size, request.fit)
    result = decode_all(layout, folder, size, request, progress, {}, {})
    check_unreadable(result.unreadable, len(layout.entries), request.max_unreadable, str(layout.root))
    result.notes = list(layout.notes)
    _write_labels_and_index(folder, layout, result, request.fit)


def _write_labels_and_index(folder: Path, layout: Layout, result: DecodeResult, fit: str) -> None:
    for split, labels in result.labels.items():
        np.save(folder / f"{split}-labels.npy", labels)
    skipped = [(file.path, file.reason) for file in layout.skipped]
    index = Index(
        name=dataset_name(layout.root.absolute()),
        classes=layout.classes,
        fit=fit,
        source=escaped(str(layout.root.absolute())),
        num_images={split: len(labels) for split, labels in result.labels.items()},
        skipped=(*result.unreadable, *skipped),
        notes=tuple(result.notes),
        drawn=layout.drawn,
        layout=layout.understood,
        typical_size=median_size(result.train_sizes) if result.train_sizes else None,
        shards=result.shards,
    )
    has_groups = any(map(any, result.groups.values()))
    write_index(folder, index, dict(result.paths), result.groups if has_groups else None)
