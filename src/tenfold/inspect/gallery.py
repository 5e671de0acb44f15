"""All pictures of a dataset in one row: train, then val, then test, numbered by their place in it.

N pictures, P of them, H×W pixels, 3 channels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.data.types import Dataset

Places = NDArray[np.int64]

ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class Picture:
    """A picture as reports name it.

    Args:
        split: `train`, `val` or `test`.
        index: its place in the split.
        path: where it came from, or None where it never was a file.
        label: name of its class.
    """

    split: str
    index: int
    path: str | None
    label: str

    @property
    def name(self) -> str:
        """Its path, or where it stands."""
        return self.path if self.path is not None else f"{self.split}[{self.index}]"


class Gallery:
    """The pictures of a dataset, without copying them.

    Attributes:
        splits: names of the splits there are, in order.
        starts: place of each split's first picture, and the number of all at the end; int64 [splits + 1].
        labels: int64 [N].
    """

    def __init__(self, dataset: Dataset) -> None:
        by_name = dataset.splits()
        self.splits = tuple(name for name in ORDER if name in by_name)
        self._dataset = dataset
        self._parts = [by_name[name] for name in self.splits]
        self.starts = np.cumsum([0, *map(len, self._parts)], dtype=np.int64)
        self.labels: Places = np.concatenate([part.labels for part in self._parts])

    def __len__(self) -> int:
        return len(self.labels)

    def parts(self) -> list[NDArray[np.uint8]]:
        """Returns the pictures of each split, uint8 [its number, H, W, 3], perhaps memory-mapped."""
        return [part.images for part in self._parts]

    def images(self, places: Places) -> NDArray[np.uint8]:
        """Returns copies of the pictures at `places` (int64 [P]), uint8 [P, H, W, 3]."""
        result = np.empty((len(places), *self._parts[0].images.shape[1:]), np.uint8)
        where = self.split_of(places)
        for number, part in enumerate(self._parts):
            chosen = np.flatnonzero(where == number)
            result[chosen] = part.images[places[chosen] - self.starts[number]]
        return result

    def split_of(self, places: Places) -> Places:
        """Returns for each place the number of its split in `splits`, int64 [P]."""
        return np.searchsorted(self.starts, places, side="right").astype(np.int64) - 1

    def within(self, split: str) -> slice:
        """Returns the places of a split; an empty slice where there is none."""
        if split not in self.splits:
            return slice(0, 0)
        number = self.splits.index(split)
        return slice(int(self.starts[number]), int(self.starts[number + 1]))

    def picture(self, place: int) -> Picture:
        """Returns what to call the picture at `place`."""
        number = int(self.split_of(np.array([place]))[0])
        part, index = self._parts[number], place - int(self.starts[number])
        path = None if part.paths is None else part.paths[index]
        return Picture(self.splits[number], index, path, self._dataset.classes[int(part.labels[index])])
