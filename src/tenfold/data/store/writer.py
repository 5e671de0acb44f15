"""Decodes the pictures of a source into the files of a store, and looks for those that occur twice.

N pictures, H×W pixels, 3 channels.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.data.decode.decode import one_line
from tenfold.data.decode.pixels import Pixels, choose_size, fitted_pixels
from tenfold.data.decode.preprocessing import fit_picture
from tenfold.data.decode.workers import Decoders
from tenfold.data.request import DataRequest
from tenfold.data.sources.class_folders import Listing, read_pictures, scan
from tenfold.data.sources.download import Progress
from tenfold.data.sources.layout import SPLITS, Layout, draw_test
from tenfold.data.store.cache_key import dataset_name
from tenfold.data.store.format import Index, PixelFile, write_index
from tenfold.data.store.scan import FirstLook, check_labels, check_unreadable
from tenfold.data.types import Dataset

_PROGRESS_EVERY = 64


@dataclass
class Outcome:
    """What decoding gave.

    Args:
        paths: names of the pictures in each split, in the order in which they were written.
        labels: int64 [N] for each split, in the same order.
        unreadable: name and reason of each picture that could not be decoded.
        notes: what a user should know of the pictures.
    """

    paths: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def decode_all(
    layout: Layout,
    folder: Path,
    size: tuple[int, int],
    fit: str,
    progress: Progress,
    known: Mapping[str, Pixels],
    files: Mapping[str, bytes],
) -> Outcome:
    """Decodes every picture of `layout` into `<split>-images.npy` files.

    Args:
        layout: the pictures.
        folder: where the files go.
        size: height and width in pixels.
        fit: see `fit_picture`.
        progress: told how many pictures are done.
        known: pixels in this size by path, where an earlier look has decoded them.
        files: see `read_pictures`.

    Raises:
        DataError: when the archive cannot be read.
        TenfoldError: when a decoding process was ended from outside.
        OSError: when the disk refuses.
    """
    starts = {split: places[0] for split in SPLITS if (places := layout.places(split))}
    digests = np.zeros(len(layout.entries), dtype=np.uint64)
    # A picture that never arrives has vanished since it was listed.
    reasons = dict.fromkeys(range(len(layout.entries)), "no longer there")
    done = 0

    def take(place: int, pixels: Pixels) -> None:
        nonlocal done
        if pixels.reason:
            reasons[place] = pixels.reason
        else:
            del reasons[place]
            split = layout.entries[place].split
            images[split].write(place - starts[split], pixels.data)
            digests[place] = pixels.digest
        done += 1
        if done % _PROGRESS_EVERY == 0 or done == len(layout.entries):
            progress("Preparing pictures", done, len(layout.entries))

    with ExitStack() as stack:
        images = {
            split: stack.enter_context(PixelFile(folder / f"{split}-images.npy", len(layout.places(split)), size))
            for split in starts
        }
        decoders = stack.enter_context(Decoders(partial(fitted_pixels, size=size, fit=fit), size, take))
        for place, entry in enumerate(layout.entries):
            if entry.path in known:
                take(place, known[entry.path])
        rest = [place for place, entry in enumerate(layout.entries) if entry.path not in known]
        for place, source in read_pictures(layout, rest, files) if rest else ():
            decoders.put(place, source)
    return _outcome(layout, reasons, digests)


def _outcome(layout: Layout, reasons: dict[int, str], digests: NDArray[np.uint64]) -> Outcome:
    outcome = Outcome(unreadable=[(layout.entries[place].path, reasons[place]) for place in sorted(reasons)])
    whole = {
        split: [place for place in layout.places(split) if place not in reasons]
        for split in SPLITS
        if layout.places(split)
    }
    for split, places in whole.items():
        outcome.paths[split] = [layout.entries[place].path for place in places]
        outcome.labels[split] = np.array([layout.entries[place].label for place in places], dtype=np.int64)
    for first, second in (("train", "test"), ("train", "val"), ("val", "test")):
        shared = _shared(layout, digests, whole.get(first, []), whole.get(second, []))
        if shared:
            outcome.notes.append(f"the same picture is in {first} and {second}: {shared}")
    return outcome


def _shared(layout: Layout, digests: NDArray[np.uint64], first: list[int], second: list[int]) -> str:
    """Returns which pictures of `second` are in `first` too, pixel for pixel: one pair and how many more."""
    owner = {digest: place for place, digest in zip(reversed(first), digests[first][::-1].tolist(), strict=True)}
    twins = [(owner[d], place) for place, d in zip(second, digests[second].tolist(), strict=True) if d in owner]
    if not twins:
        return ""
    one, other = (one_line(layout.entries[place].path) for place in twins[0])
    more = f", and {len(twins) - 1} more" if len(twins) > 1 else ""
    return f"{one} and {other}{more}; the result would look better than it is"


_PROGRESS_EVERY_fill = 500


def fill_from_arrays(folder: Path, dataset: Dataset, request: DataRequest, source: str, progress: Progress) -> None:
    """Fills a store from arrays that are in memory already.

    Args:
        folder: of the store.
        dataset: name, classes and splits.
        request: says to which size, and how.
        source: where the arrays came from, for people.
        progress: told how many pictures are done.

    Raises:
        DataError: when there is nothing to learn or nothing to test on.
        OSError, StorageError: when the disk refuses.
    """
    splits = dataset.splits()
    check_labels(dataset.classes, {name: split.labels for name, split in splits.items()}, dataset.name)
    for name, split in splits.items():
        _write_images(folder / f"{name}-images.npy", split.images, request, progress)
        np.save(folder / f"{name}-labels.npy", split.labels)
    counts = {name: len(split) for name, split in splits.items()}
    index = Index(dataset.name, dataset.classes, request.fit, source, counts)
    write_index(folder, index, dict.fromkeys(splits))


def _write_images(path: Path, images: NDArray[np.uint8], request: DataRequest, progress: Progress) -> None:
    own: tuple[int, int] = images.shape[1:3]
    size = request.size or own
    if size == own:
        np.save(path, images)
        return
    with PixelFile(path, len(images), size) as file:
        for row, image in enumerate(images):
            file.write(row, fit_picture(Image.fromarray(image), size, request.fit))
            if row % _PROGRESS_EVERY_fill == 0:
                progress("Bringing pictures to size", row, len(images))


def fill_from_folders(
    folder: Path, path: Path, listing: Listing | None, request: DataRequest, progress: Progress
) -> None:
    """Fills a store from a folder or an archive of class folders.

    Args:
        folder: of the store.
        path: the folder or archive.
        listing: what lies below it, where it is a folder.
        request: says to which size, how, what to draw and how many pictures may be unreadable.
        progress: told how many pictures are done.

    Raises:
        DataError: when the classes make no sense, too many pictures are unreadable, or a class has none left.
        OSError, StorageError: when the disk refuses.
    """
    layout, look = _scanned(path, listing, request, progress)
    layout = draw_test(layout, request.test_fraction, request.split_seed)
    size, size_note = (request.size, "") if request.size else choose_size(look.sizes, request.fit)
    known = look.pixels if set(look.sizes) == {size} else {}
    outcome = decode_all(layout, folder, size, request.fit, progress, known, look.files)
    check_unreadable(outcome.unreadable, len(layout.entries), request.max_unreadable, str(path))
    check_labels(layout.classes, outcome.labels, str(path))
    for split, labels in outcome.labels.items():
        np.save(folder / f"{split}-labels.npy", labels)
    skipped = [(one.path, one.reason) for one in layout.skipped]
    index = Index(
        name=dataset_name(path.absolute()),
        classes=layout.classes,
        fit=request.fit,
        source=one_line(str(path.absolute())),
        pictures={split: len(labels) for split, labels in outcome.labels.items()},
        skipped=(*outcome.unreadable, *skipped),
        notes=tuple(note for note in (*layout.notes, size_note, *outcome.notes) if note),
    )
    write_index(folder, index, dict(outcome.paths))


def _scanned(path: Path, listing: Listing | None, request: DataRequest, progress: Progress) -> tuple[Layout, FirstLook]:
    """Returns the layout and what the first look has shown, which is only taken where a size is to be chosen."""
    look = FirstLook(progress)
    with look.decoders:
        return scan(path, listing, None if request.size else look), look
