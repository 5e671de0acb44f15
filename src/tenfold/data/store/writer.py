"""Fills stores: decodes the images of a source, fits arrays to size, and finds images that splits share.

Shapes: N images of a split, H×W pixels, 3 channels.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.text import escaped
from tenfold.data.decode.fit import fit_image
from tenfold.data.decode.fit_rule import stored_size
from tenfold.data.decode.tasks import DecodedImage, decode_to_size
from tenfold.data.decode.workers import DecodePool
from tenfold.data.request import DataRequest
from tenfold.data.sources.class_folders import FolderListing, read_images, scan
from tenfold.data.sources.groups import grouped
from tenfold.data.sources.layout import SPLITS, Layout, draw_test, shared_note
from tenfold.data.store.cache_key import dataset_name
from tenfold.data.store.format import Index, PixelFile, write_index
from tenfold.data.store.scan import SizeScan, check_labels, check_unreadable, choose_size, median_size
from tenfold.data.types import Dataset, ProgressCallback

_DECODE_PROGRESS_EVERY = 64
_FIT_PROGRESS_EVERY = 500


@dataclass
class DecodeResult:
    """The result of decoding all images of a layout.

    Args:
        paths: paths of the images of each split, in the order in which they were written.
        labels: int64 [N] for each split, in the same order.
        groups: groups of the images of each split, in the same order.
        unreadable: path and reason of each image that could not be decoded.
        notes: sentences that a user should read.
        train_sizes: number of training images of each height and width in their files.
    """

    paths: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    train_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)


def decode_all(
    layout: Layout,
    folder: Path,
    size: tuple[int, int],
    fit: str,
    progress: ProgressCallback,
    decoded: Mapping[str, DecodedImage],
    files: Mapping[str, bytes],
) -> DecodeResult:
    """Decodes every image of `layout` into `<split>-images.npy` files.

    Args:
        layout: the images.
        folder: where the files are written.
        size: height and width of the stored images, in pixels.
        fit: see `fit_image`.
        progress: called with the number of images that are done.
        decoded: images of this size by path that an earlier scan has decoded.
        files: see `read_images`.

    Raises:
        DataError: when the archive cannot be read.
        TenfoldError: when decoding processes end before they can decode anything.
        OSError: when the disk refuses.
    """
    starts = {split: indices[0] for split in SPLITS if (indices := layout.indices_of(split))}
    digests = np.zeros(len(layout.entries), dtype=np.uint64)
    # An image whose decoding is never reported was deleted after it was listed.
    reasons = dict.fromkeys(range(len(layout.entries)), "no longer there")
    train_sizes: Counter[tuple[int, int]] = Counter()
    num_done = 0

    def add(index: int, image: DecodedImage) -> None:
        nonlocal num_done
        if image.reason:
            reasons[index] = image.reason
        else:
            del reasons[index]
            split = layout.entries[index].split
            image_files[split].write(index - starts[split], image.data)
            digests[index] = image.digest
            if split == "train" and image.size is not None:
                train_sizes[image.size] += 1
        num_done += 1
        if num_done % _DECODE_PROGRESS_EVERY == 0 or num_done == len(layout.entries):
            progress("Preparing images", num_done, len(layout.entries))

    with ExitStack() as stack:
        image_files = {
            split: stack.enter_context(PixelFile(folder / f"{split}-images.npy", len(layout.indices_of(split)), size))
            for split in starts
        }
        pool = stack.enter_context(DecodePool(partial(decode_to_size, size=size, fit=fit), size, add))
        remaining = []
        for index, entry in enumerate(layout.entries):
            if entry.path in decoded:
                add(index, decoded[entry.path])
            else:
                remaining.append(index)
        for index, source in read_images(layout, remaining, files) if remaining else ():
            pool.put(index, source)
    result = _decode_result(layout, reasons, digests)
    result.train_sizes = train_sizes
    return result


def _decode_result(layout: Layout, reasons: dict[int, str], digests: NDArray[np.uint64]) -> DecodeResult:
    result = DecodeResult(unreadable=[(layout.entries[index].path, reasons[index]) for index in sorted(reasons)])
    readable = {
        split: [index for index in layout.indices_of(split) if index not in reasons]
        for split in SPLITS
        if layout.indices_of(split)
    }
    for split, indices in readable.items():
        result.paths[split] = [layout.entries[index].path for index in indices]
        result.groups[split] = [layout.entries[index].group for index in indices]
        result.labels[split] = np.array([layout.entries[index].label for index in indices], dtype=np.int64)
    for first, second in (("train", "test"), ("train", "val"), ("val", "test")):
        duplicates = _duplicates(layout, digests, readable.get(first, []), readable.get(second, []))
        if duplicates:
            result.notes.append(shared_note(first, second, duplicates))
    return result


def _duplicates(layout: Layout, digests: NDArray[np.uint64], first: list[int], second: list[int]) -> str:
    """Returns which images of `second` have the pixels of one of `first`: an example, and how many more."""
    by_digest = {digest: index for index, digest in zip(reversed(first), digests[first][::-1].tolist(), strict=True)}
    pairs = [
        (by_digest[digest], index)
        for index, digest in zip(second, digests[second].tolist(), strict=True)
        if digest in by_digest
    ]
    if not pairs:
        return ""
    one, other = (escaped(layout.entries[index].path) for index in pairs[0])
    more = f", and {len(pairs) - 1} more" if len(pairs) > 1 else ""
    return f"{one} and {other}{more}; results would look better than they are"


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
    for name, split in splits.items():
        _write_images(folder / f"{name}-images.npy", split.images, request, progress)
        np.save(folder / f"{name}-labels.npy", split.labels)
    counts = {name: len(split) for name, split in splits.items()}
    own_size = dataset.image_size
    index = Index(dataset.name, dataset.classes, request.fit, source, counts, typical_size=own_size)
    write_index(folder, index, dict.fromkeys(splits))


def _write_images(path: Path, images: NDArray[np.uint8], request: DataRequest, progress: ProgressCallback) -> None:
    old_size: tuple[int, int] = images.shape[1:3]
    size = stored_size(request.size or old_size, request.fit)
    if size == old_size:
        np.save(path, images)
        return
    with PixelFile(path, len(images), size) as file:
        for row, image in enumerate(images):
            file.write(row, fit_image(Image.fromarray(image), size, request.fit))
            if row % _FIT_PROGRESS_EVERY == 0:
                progress("Resizing images", row, len(images))


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
    with size_scan.pool:
        layout = scan(path, listing, None if request.size else size_scan, rules=request.rules)
    layout = draw_test(grouped(layout, request.group_rule), request.test_fraction, request.split_seed)
    size, size_note = (request.size, "") if request.size else choose_size(size_scan.sizes, request.fit)
    size = stored_size(size, request.fit)
    decoded = size_scan.decoded if set(size_scan.sizes) == {size} else {}
    result = decode_all(layout, folder, size, request.fit, progress, decoded, size_scan.files)
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
    result = decode_all(layout, folder, size, request.fit, progress, {}, {})
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
    )
    has_groups = any(map(any, result.groups.values()))
    write_index(folder, index, dict(result.paths), result.groups if has_groups else None)
