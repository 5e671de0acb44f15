"""The shapes of data on its way from source to step.

N pictures, H×W pixels, 3 channels (red, green, blue), B pictures in a batch.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Pictures that belong together, with their labels.

    Args:
        images: uint8 [N, H, W, 3], often memory-mapped.
        labels: int64 [N], each in [0, number of classes).
        paths: where each picture came from (N names), or None where it never was a file.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    paths: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            raise DataError(f"images are {self.images.dtype} {list(self.images.shape)}; expected uint8 [N, H, W, 3]")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"labels are {self.labels.dtype} {list(self.labels.shape)}; "
                f"expected int64 [{len(self.images)}], one for each picture"
            )
        if self.paths is not None and len(self.paths) != len(self.images):
            raise DataError(f"{len(self.paths)} paths for {len(self.images)} pictures; expected one each")

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: NDArray[np.int64]) -> "Split":
        """Returns the pictures at `indices` (int64 [M], each in [0, N)), in that order."""
        paths = None if self.paths is None else tuple(self.paths[i] for i in indices)
        return Split(self.images[indices], self.labels[indices], paths)


@dataclass(frozen=True)
class Skipped:
    """A file that was left out of the data, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Everything a run needs to know about its pictures.

    Args:
        name: short, fit for a folder name: `cifar10`, `shapes`, `my-cats`.
        classes: class names in the order of the labels; every later artifact stores this order.
        train: pictures to learn from.
        test: pictures used once, at the end.
        val: pictures to select on, where the source or the recipe sets some apart.
        fit: how pictures of another shape were brought to size: `crop`, `pad` or `stretch`.
        fingerprint: hex digest of what the splits hold; two equal ones mean the same data.
        skipped: files that could not be used.
        notes: sentences that a user should read (a size that was chosen, a split that was drawn).

    Raises:
        DataError: when the splits disagree in picture size or a label is out of range.
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

    def __post_init__(self) -> None:
        for name, split in self.splits().items():
            self._check(name, split)

    def _check(self, name: str, split: Split) -> None:
        if split.images.shape[1:] != self.train.images.shape[1:]:
            raise DataError(
                f"{name} pictures are {list(split.images.shape[1:])}, "
                f"train pictures {list(self.train.images.shape[1:])}; expected one size"
            )
        if len(split) and not 0 <= split.labels.min() <= split.labels.max() < len(self.classes):
            raise DataError(
                f"{name} labels run from {split.labels.min()} to {split.labels.max()}; "
                f"expected 0 to {len(self.classes) - 1} for {len(self.classes)} classes"
            )

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of every picture, in pixels."""
        height, width = self.train.images.shape[1:3]
        return int(height), int(width)

    def splits(self) -> dict[str, Split]:
        """Returns the splits that exist, by name: train, test and perhaps val."""
        named = {"train": self.train, "test": self.test}
        return named if self.val is None else {**named, "val": self.val}


class Mixture(NamedTuple):
    """What was mixed into the pictures of a batch.

    Args:
        labels: int64 [B], of each picture's partner.
        share: float32 [B] in [0, 1], of the picture's own label in its target; the rest is the partner's.
    """

    labels: "Tensor"
    share: "Tensor"


class Batch(NamedTuple):
    """What one step consumes, on the device.

    Args:
        images: uint8 [B, 3, H, W] in channels_last memory order.
        labels: int64 [B].
        indices: int64 [B], each picture's place in its split.
        mixture: what was mixed into the pictures, or None.
    """

    images: "Tensor"
    labels: "Tensor"
    indices: "Tensor"
    mixture: Mixture | None = None
