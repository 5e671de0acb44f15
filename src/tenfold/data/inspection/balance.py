"""How many pictures each class has in each split."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tenfold.data.types import Dataset

Counts = Mapping[str, Mapping[str, int]]
"""Pictures by split and class."""

FEW = 10
"""Fewer training pictures than this teach a network next to nothing about a class."""
LOPSIDED = 10
"""From this ratio of the largest to the smallest class on, plain accuracy tells little of the small ones."""


def class_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Returns the number of pictures by split and class, zeros included; raises nothing."""
    labels = {name: split.labels for name, split in dataset.splits().items()}
    return counted(dataset.classes, labels)


def counted(classes: Sequence[str], labels: Mapping[str, NDArray[np.int64]]) -> dict[str, dict[str, int]]:
    """Returns the number of labels by split and class.

    Args:
        classes: names in the order of the labels.
        labels: int64 [N] of each split, each in [0, number of classes).
    """
    return {
        split: dict(zip(classes, np.bincount(found, minlength=len(classes)).tolist(), strict=True))
        for split, found in labels.items()
    }


def empty_classes(counts: Mapping[str, int]) -> list[str]:
    """Returns the classes without a picture."""
    return [name for name, count in counts.items() if count == 0]


def tiny_classes(counts: Mapping[str, int]) -> list[str]:
    """Returns the classes with fewer than `FEW` pictures, empty ones left out."""
    return [name for name, count in counts.items() if 0 < count < FEW]


def lopsided(counts: Mapping[str, int]) -> tuple[str, str, float] | None:
    """Returns the largest and the smallest class and their ratio, where that is `LOPSIDED` or more.

    Example:
        >>> lopsided({"cat": 900, "dog": 60, "fish": 0})
        ('cat', 'dog', 15.0)
    """
    there = {name: count for name, count in counts.items() if count}
    if not there:
        return None
    largest, smallest = max(there, key=lambda name: there[name]), min(there, key=lambda name: there[name])
    ratio = there[largest] / there[smallest]
    return (largest, smallest, ratio) if ratio >= LOPSIDED else None
