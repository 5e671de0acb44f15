"""The data types between source and training step: splits, datasets and batches.

Shapes: N images of a split, B images in a batch, H×W pixels, 3 channels (red, green, blue).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.text import plural, size_text
from tenfold.data.decode.fit_rule import network_size, parse_fit
from tenfold.data.decode.margin import centered
from tenfold.data.store.names import chosen_names
from tenfold.data.store.shards import chosen

if TYPE_CHECKING:
    from torch import Tensor

ProgressCallback = Callable[[str, int, int], None]
"""Called with a description, the number of images or bytes that are done, and the total (0 where it is unknown)."""


_DIGEST_BYTES = 1 << 24
"""Bytes of images that are in memory at once while they are digested."""


def no_progress(description: str, done: int, total: int) -> None:
    """A `ProgressCallback` that shows nothing."""


@dataclass(frozen=True)
class Split:
    """The images of one split, with their labels.

    Args:
        images: uint8 [N, H, W, 3], often memory-mapped; of a large split `ShardedImages`, which take an array's place.
        labels: int64 [N], each in [0, number of classes).
        paths: path of each image in its source (N names), or None for images that never were files.
        groups: what must not be torn apart by a split, such as the patient of each image (N names); an empty name is an
            image of its own. None where nothing is known.

    Raises:
        DataError: when a shape or a dtype is wrong.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    paths: Sequence[str] | None = None
    groups: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            raise DataError(f"images are {self.images.dtype} {list(self.images.shape)}; expected uint8 [N, H, W, 3]")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"labels are {self.labels.dtype} {list(self.labels.shape)}; "
                f"expected int64 [{len(self.images)}], one for each image"
            )
        for name, values in (("paths", self.paths), ("groups", self.groups)):
            if values is not None and len(values) != len(self.images):
                raise DataError(f"{len(values)} {name} for {len(self.images)} images; expected one each")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({plural(len(self), 'image')}, {size_text(self.images.shape[1:3])})"

    def subset(self, indices: NDArray[np.int64]) -> "Split":
        """Returns the images at `indices` (int64 [M], each in [0, N)), in that order."""
        paths, groups = chosen_names(self.paths, indices), chosen_names(self.groups, indices)
        return Split(chosen(self.images, indices), self.labels[indices], paths, groups)

    def digest(self) -> str:
        """Returns the SHA-256 of images and labels in hex, without paths and groups. Images are read in pieces."""
        content = hashlib.sha256(repr(self.images.shape).encode())
        rows = max(1, _DIGEST_BYTES // max(1, self.images[:1].nbytes))
        for first in range(0, len(self), rows):
            content.update(np.ascontiguousarray(self.images[first : first + rows]).data)
        content.update(np.ascontiguousarray(self.labels).data)
        return content.hexdigest()


@dataclass(frozen=True)
class Skipped:
    """A file that was left out of the data, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """The splits of a dataset and its class names.

    Args:
        name: short, usable as a folder name: `cifar10`, `shapes`, `my-cats`.
        classes: class names in the order of the labels; every model and run folder stores this order.
        train: images to train on.
        test: images for the final evaluation; they are used once.
        val: images for model selection, or None.
        fit: how images of another shape were brought to size, see `parse_fit`. With a fraction, as in `crop:0.875`,
            they have a margin around what a network sees.
        fingerprint: hex digest of the content of the splits; equal digests mean equal data.
        skipped: files that could not be used.
        notes: sentences that a user should read, such as the image size that was chosen.
        drawn: names of the splits that Tenfold drew at random from the source, of `test` and `val`.
        typical_size: median height and width of the training images before they were brought to size; None if unknown.
        layout: a sentence that says how the files of the source were understood; empty where there are none.

    Raises:
        DataError: when the splits differ in image size, a label is out of range or the fit is invalid.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    val: Split | None = None
    fit: str = "crop"
    fingerprint: str = ""
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = field(default=())
    drawn: tuple[str, ...] = ()
    typical_size: tuple[int, int] | None = None
    layout: str = ""

    def __post_init__(self) -> None:
        parse_fit(self.fit)
        for name, split in self.splits().items():
            self._check(name, split)

    def _check(self, name: str, split: Split) -> None:
        if split.images.shape[1:] != self.train.images.shape[1:]:
            raise DataError(
                f"{name} images are {list(split.images.shape[1:])}, "
                f"train images {list(self.train.images.shape[1:])}; expected one size"
            )
        if len(split) and not 0 <= split.labels.min() <= split.labels.max() < len(self.classes):
            raise DataError(
                f"{name} labels run from {split.labels.min()} to {split.labels.max()}; "
                f"expected 0 to {len(self.classes) - 1} for {len(self.classes)} classes"
            )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(split):,} {name}" for name, split in self.splits().items())
        return f"Dataset({self.name!r}, {len(self.classes):,} classes, {sizes}, {size_text(self.image_size)})"

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of a network's input, in pixels; stored images may have a margin, see `without_margin`."""
        height, width = self.train.images.shape[1:3]
        return network_size((int(height), int(width)), self.fit)

    def without_margin(self, split: Split) -> Split:
        """Returns a split of this dataset with its images as the network sees them in evaluation, of `image_size`."""
        return replace(split, images=centered(split.images, self.image_size))

    def splits(self) -> dict[str, Split]:
        """Returns the existing splits by name: train, test and possibly val."""
        named = {"train": self.train, "test": self.test}
        return named if self.val is None else {**named, "val": self.val}


@dataclass(frozen=True)
class Leak:
    """Images of an evaluation split that have a duplicate in train.

    Args:
        total: number of images in the split.
        exact: number with an exact duplicate in train.
        near: number with only a near duplicate in train.
        indices: positions in the split of both kinds, ascending.
    """

    total: int
    exact: int
    near: int
    indices: tuple[int, ...]

    def to_json(self) -> dict[str, object]:
        """Returns plain values."""
        return {"places" if name == "indices" else name: value for name, value in asdict(self).items()}


class Mixture(NamedTuple):
    """The mixup or cutmix partners of a batch.

    Args:
        labels: int64 [B], label of each image's partner.
        weight: float32 [B] in [0, 1], weight of the image's own label in its target (mixup's λ); the partner's label
            has the rest.
    """

    labels: "Tensor"
    weight: "Tensor"


class Batch(NamedTuple):
    """The input of one training step, on the device.

    Args:
        images: uint8 [B, 3, H, W] in channels_last memory format.
        labels: int64 [B].
        indices: int64 [B], index of each image in its split.
        mixture: the partners of mixed images, or None.
        total: number of images of the whole batch, where these are one process's share of it; None where they are all.
    """

    images: "Tensor"
    labels: "Tensor"
    indices: "Tensor"
    mixture: Mixture | None = None
    total: int | None = None
