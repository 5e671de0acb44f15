"""Scans the images of a source for their sizes, and checks what a store is made of.

Small images of one size keep it. So small images are decoded during the scan, as long as all have the same size: then
no file is read twice.
"""

from collections import Counter
from contextlib import suppress
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, percent
from tenfold.data.decode.decode import FileSource, image_size
from tenfold.data.decode.fit_rule import parse_fit
from tenfold.data.decode.tasks import MAX_KEPT_SIDE, DecodedImage, decode_if_small, may_keep_size
from tenfold.data.decode.workers import DecodePool
from tenfold.data.sources.layout import name_list
from tenfold.data.types import ProgressCallback

_PROGRESS_EVERY = 500
_KEEP_BELOW = 256 * 1024**2
"""Limit in bytes for files, and for pixels, that are kept in memory until the size is chosen."""

_FIT_NAMES = {"crop": "center crop", "pad": "padding", "stretch": "stretching"}


class SizeScan:
    """Scans each image that it is called with; the attributes are complete after the `with` block of its `pool`.

    Args:
        progress: called with the number of images that were scanned.

    Attributes:
        sizes: number of images of each height and width.
        decoded: images by path, in their own size; empty once sizes differ.
        files: bytes of an archive's files by path; empty where they are too many.
        pool: decodes the images.
    """

    def __init__(self, progress: ProgressCallback) -> None:
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.decoded: dict[str, DecodedImage] = {}
        self.files: dict[str, bytes] = {}
        self.pool = DecodePool(decode_if_small, (MAX_KEPT_SIDE, MAX_KEPT_SIDE), self._add)
        self._progress = progress
        self._one_size = True
        self._num_scanned = self._file_bytes = self._pixel_bytes = 0

    def __call__(self, path: str, source: FileSource) -> None:
        """Scans an image.

        Args:
            path: path of the image in its source.
            source: the path or the bytes of its file.

        Raises:
            TenfoldError: when workers end before they can decode anything.
        """
        self._num_scanned += 1
        if self._num_scanned % _PROGRESS_EVERY == 1:
            self._progress("Scanning images", self._num_scanned, 0)
        self._keep_file(path, source)
        if self._one_size and self._pixel_bytes < _KEEP_BELOW:
            self.pool.put(path, source)
        else:
            with suppress(DataError):  # decoding will report the reason
                self.sizes[image_size(source)] += 1

    def _keep_file(self, path: str, source: FileSource) -> None:
        if isinstance(source, bytes):
            self._file_bytes += len(source)
            self.files.setdefault(path, source)  # of two members with one name the first is used
        if self._file_bytes > _KEEP_BELOW:
            self.files.clear()

    def _add(self, path: str, image: DecodedImage) -> None:
        if image.size:
            self.sizes[image.size] += 1
        self._one_size = self._one_size and len(self.sizes) <= 1 and all(map(may_keep_size, self.sizes))
        if self._one_size:
            self.decoded[path] = image
            self._pixel_bytes += len(image.data)
        else:
            self.decoded.clear()


def choose_size(sizes: Counter[tuple[int, int]], fit: str) -> tuple[tuple[int, int], str]:
    """Chooses the image size: the own size of the images where all agree and it is at most 64, else a square.

    Args:
        sizes: number of images of each height and width.
        fit: how images will be brought to size.

    Returns:
        Height and width, and a sentence on the choice and how to change it (empty for the own size).

    Example:
        >>> choose_size(Counter({(28, 28): 100}), "crop")
        ((28, 28), '')
    """
    if not sizes:
        return (32, 32), ""
    if len(sizes) == 1:
        (height, width) = next(iter(sizes))
        if may_keep_size((height, width)):
            return (height, width), ""
        found = f"images are {width}×{height}"
    else:
        height, width = median_size(sizes)
        found = f"images have different sizes (median {width}×{height})"
    side = 64 if min(height, width) >= 48 else 32
    note = (
        f"{found}: brought to {side}×{side} by {_FIT_NAMES[parse_fit(fit).kind]}; change with --set data.image_size=…"
    )
    return (side, side), note


def median_size(sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    """Returns the median height and the median width of images, from the number of images of each size, one or more."""
    return _median(sizes, 0), _median(sizes, 1)


def _median(sizes: Counter[tuple[int, int]], axis: int) -> int:
    values = np.array([size[axis] for size in sizes])
    return int(np.median(np.repeat(values, list(sizes.values()))))


def check_unreadable(unreadable: list[tuple[str, str]], num_images: int, max_fraction: float, source: str) -> None:
    """Checks that not too many images are unreadable.

    Args:
        unreadable: path and reason of each.
        num_images: number of images in the source, readable or not.
        max_fraction: fraction that may be unreadable, in [0, 1).
        source: what the message calls the source.

    Raises:
        DataError: when more are; with the first three reasons and the remedy.
    """
    fraction = len(unreadable) / max(1, num_images)
    if fraction <= max_fraction:
        return
    examples = "; ".join(f"{escaped(path)}: {reason}" for path, reason in unreadable[:3])
    remedy = "repair or remove them"
    if fraction < 0.99:
        remedy += f", or go on without them: --set data.max_unreadable={np.ceil(fraction * 100) / 100:g}"
    raise DataError(
        f"{len(unreadable)} of {num_images} images in {escaped(source)} cannot be read "
        f"(at most {percent(max_fraction, 0)} may be unreadable): {examples}; {remedy}"
    )


def check_labels(classes: tuple[str, ...], labels: dict[str, NDArray[np.int64]], source: str) -> None:
    """Checks that a dataset can be trained and tested on.

    Args:
        classes: class names in the order of the labels.
        labels: int64 [N] for each split.
        source: what a message calls the source.

    Raises:
        DataError: when there are fewer than two classes, a label is out of range, a class has no training image, or
            there are no test images.
    """
    if len(classes) < 2:
        raise DataError(f"{source} has {len(classes)} class; expected two or more")
    all_labels = np.fromiter(chain.from_iterable(labels.values()), dtype=np.int64)
    if len(all_labels) and not 0 <= all_labels.min() <= all_labels.max() < len(classes):
        raise DataError(
            f"{source} has labels from {all_labels.min()} to {all_labels.max()}; "
            f"expected 0 to {len(classes) - 1} for {len(classes)} classes"
        )
    counts = np.bincount(labels["train"], minlength=len(classes))
    if (counts == 0).any():
        missing = [classes[label] for label in np.flatnonzero(counts == 0)]
        raise DataError(f"{source} has no readable training image of {name_list(missing)}; add some")
    if not len(labels.get("test", ())):
        raise DataError(
            f"{source} has no readable test image; expected some in its test folder or, where they are drawn, two "
            "images of a class"
        )
