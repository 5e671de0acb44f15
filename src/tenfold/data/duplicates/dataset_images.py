"""All images of a dataset under one numbering: train first, then val, then test.

N images in all, B of them in a batch, H×W pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.data.types import Dataset

Indices = NDArray[np.int64]

_SPLIT_ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class ImageRef:
    """Identifies one image in reports.

    Args:
        split: `train`, `val` or `test`.
        index: position in the split.
        path: file it came from; None for an image that never was a file.
        label: class name.
    """

    split: str
    index: int
    path: str | None
    label: str

    @property
    def name(self) -> str:
        """The path, or split and index, such as `train[7]`."""
        return self.path if self.path is not None else f"{self.split}[{self.index}]"


class DatasetImages:
    """Indexes the images of all splits from 0 to N - 1 without copying them.

    Attributes:
        splits: names of the splits the dataset has, in order.
        starts: index of the first image of each split, then N; int64 [splits + 1].
    """

    def __init__(self, dataset: Dataset) -> None:
        by_name = dataset.splits()
        self.splits = tuple(name for name in _SPLIT_ORDER if name in by_name)
        self._classes = dataset.classes
        self._parts = [by_name[name] for name in self.splits]
        self.starts = np.cumsum([0, *map(len, self._parts)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def arrays(self) -> list[NDArray[np.uint8]]:
        """Returns the images of each split, uint8 [split size, H, W, 3], possibly memory-mapped."""
        return [part.images for part in self._parts]

    def images(self, indices: Indices) -> NDArray[np.uint8]:
        """Returns a copy of the images at `indices` (int64 [B]), uint8 [B, H, W, 3]."""
        result = np.empty((len(indices), *self._parts[0].images.shape[1:]), np.uint8)
        split_numbers = self._split_numbers(indices)
        for number, part in enumerate(self._parts):
            rows = np.flatnonzero(split_numbers == number)
            result[rows] = part.images[indices[rows] - self.starts[number]]
        return result

    def split_range(self, split: str) -> slice:
        """Returns the range of indices of a split; an empty slice for a split the dataset lacks."""
        if split not in self.splits:
            return slice(0, 0)
        number = self.splits.index(split)
        return slice(int(self.starts[number]), int(self.starts[number + 1]))

    def ref(self, index: int) -> ImageRef:
        """Returns split, position, path and label of the image at `index`."""
        number = int(self._split_numbers(np.array([index]))[0])
        part, position = self._parts[number], index - int(self.starts[number])
        path = None if part.paths is None else part.paths[position]
        return ImageRef(self.splits[number], position, path, self._classes[int(part.labels[position])])

    def _split_numbers(self, indices: Indices) -> Indices:
        """Returns the position in `splits` of each image's split, int64 [B]."""
        return np.searchsorted(self.starts, indices, side="right").astype(np.int64) - 1
