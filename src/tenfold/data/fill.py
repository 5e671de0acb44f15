"""Fills the folder of a store: pixels, labels, paths and index, after the checks that must come before training.

N pictures, H×W pixels, 3 channels.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.data.checks import check_labels, check_unreadable
from tenfold.data.decode import one_line
from tenfold.data.download import Progress
from tenfold.data.firstlook import FirstLook
from tenfold.data.folder import Listing, scan
from tenfold.data.identity import dataset_name
from tenfold.data.index import Index, write_index
from tenfold.data.layout import Layout, draw_test
from tenfold.data.pictures import fit_picture
from tenfold.data.pixelfile import PixelFile
from tenfold.data.prepare import decode_all
from tenfold.data.request import DataRequest
from tenfold.data.sizing import choose_size
from tenfold.data.types import Dataset

_PROGRESS_EVERY = 500


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
            if row % _PROGRESS_EVERY == 0:
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
