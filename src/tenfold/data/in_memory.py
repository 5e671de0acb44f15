"""Datasets from images and labels in memory, as Python users pass them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.data.arrays import as_array, described, images_of, labels_of
from tenfold.data.splits import stratified_split
from tenfold.data.types import Split

SPLITS = ("train", "test", "val")
_EXPECTED = (
    "a dataset's name or path, a Dataset, (images, labels), or "
    '{"train": (images, labels), "test": (images, labels)}, where "val" may be added'
)


class InMemory(NamedTuple):
    """Images and labels in memory.

    Args:
        splits: by name; `train` and `test`, and `val` where there is one.
        classes: the labels of `train`, in order: names by alphabet, integers by value.
        drawn: names of the splits that were drawn at random: `test` where none was given.
    """

    splits: dict[str, Split]
    classes: tuple[str, ...]
    drawn: tuple[str, ...]


def read_in_memory(data: object, test_fraction: float, seed: int) -> InMemory:
    """Reads images and labels in memory.

    Args:
        data: `(images, labels)`, or such pairs by split: `train`, `test` and `val`. For images see `images_of`, for
            labels `labels_of`.
        test_fraction: fraction of each class that becomes the test split where there is none, in (0, 1).
        seed: of the draw.

    Raises:
        DataError: when `data` is something else, or labels do not fit.

    Example:
        >>> images = np.zeros((10, 8, 8, 3), np.uint8)
        >>> found = read_in_memory((images, ["cat", "dog"] * 5), 0.2, seed=0)
        >>> found.classes, {name: len(split) for name, split in found.splits.items()}
        (('cat', 'dog'), {'train': 8, 'test': 2})
    """
    pairs = split_pairs(data)
    if "train" not in pairs:
        raise DataError(
            f"data has {', '.join(pairs) or 'no split'}; expected train, with test and val where they exist"
        )
    images = {name: images_of(pair[0], f"{name} images") for name, pair in pairs.items()}
    labels = {name: labels_of(pair[1], f"{name} labels") for name, pair in pairs.items()}
    classes: list[Any] = sorted(set(labels["train"]))
    splits = {name: Split(images[name], _indices(labels[name], classes, name)) for name in pairs}
    drawn: tuple[str, ...] = ()
    if "test" not in splits:
        rest, test = stratified_split(splits["train"].labels, test_fraction, seed)
        if not len(test):
            raise DataError("train has one image per class and none left for testing; pass a test split")
        splits |= {"train": splits["train"].subset(rest), "test": splits["train"].subset(test)}
        drawn = ("test",)
    return InMemory(splits, tuple(map(str, classes)), drawn)


def split_pairs(data: object) -> dict[str, tuple[Any, Any]]:
    """Returns images and labels by split; a single pair is `train`.

    Raises:
        DataError: when `data` is no pair and no mapping from splits to pairs.
    """
    if isinstance(data, Mapping):
        unknown = [str(name) for name in data if name not in SPLITS]
        if unknown:
            raise DataError(f"data has the splits {', '.join(map(str, data))}; expected train, test and val")
        return {name: _pair(pair, f"data[{name!r}]") for name, pair in data.items()}
    return {"train": _pair(data, "data")}


def _pair(value: object, name: str) -> tuple[Any, Any]:
    if isinstance(value, tuple | list) and len(value) == 2 and all(_is_collection(part) for part in value):
        return value[0], value[1]
    expected = _EXPECTED if name == "data" else "(images, labels)"
    raise DataError(f"{name} is {described(value)}; expected {expected}")


def _is_collection(value: object) -> bool:
    array = as_array(value)
    return isinstance(value, list | tuple) or (array is not None and array.ndim > 0)


def _indices(labels: list[str] | list[int], classes: list[Any], split: str) -> NDArray[np.int64]:
    """Returns the position of each label in `classes`, int64 [N]."""
    index = {label: i for i, label in enumerate(classes)}
    unknown = [str(label) for label in dict.fromkeys(labels) if label not in index]
    if unknown:
        raise DataError(
            f"{split} has labels that train does not have ({', '.join(unknown[:5])}); "
            f"expected {', '.join(map(str, classes[:20]))}"
        )
    return np.array([index[label] for label in labels], np.int64)
