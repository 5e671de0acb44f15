"""Groups of images: those that splits keep together, and those that file names suggest but a random draw has torn."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, natural_key, plural
from tenfold.data.draw import group_counts
from tenfold.data.splits import Labels, draw
from tenfold.data.types import Dataset

_TRIED_FRACTION = 0.2

_MIN_IMAGES = 3
"""Images of a series, on average and at least."""

_MIN_SERIES = 2
"""Series in each class, at least: one stem per class is the name of the class."""

_MIN_FRACTION = 0.9
"""Fraction of the images whose names must have the form."""

_FORMS = (
    r"([^/]*\d[^/]*?)[ _.-]+(?:[A-Za-z]+[ _.-]*)?\d+\.\w+$",  # patient07_frame003.jpg, IMG_0001_2.jpg
    r"([^/]*\d[^/]*)/[^/]*$",  # patient07/3.jpg
)
"""A name with a number, then the number of an image. Names without a number may be kinds, such as breeds."""


def group_lines(dataset: Dataset) -> Iterator[str]:
    """Yields how many groups each split has, where images have groups."""
    found = group_counts(dataset)
    if found is not None:
        sizes = dataset.splits()
        counts = " · ".join(f"{number:,} in {name}" for name, number in found.groups.items() if len(sizes[name]))
        torn = "" if any(found.shared.values()) else ", none in two splits"
        yield f"groups: {counts}{torn}"


def group_warnings(dataset: Dataset, *, in_folds: bool = False) -> Iterator[str]:
    """Yields a sentence for each split with groups of train in it, or that groups by file name have been torn apart.

    Args:
        dataset: its names are looked at.
        in_folds: whether folds are drawn from train.
    """
    found = group_counts(dataset)
    for name, number in found.shared.items() if found else ():
        if number:
            total = len(dataset.splits()[name])
            yield (
                f"{number:,} of {plural(total, f'{name} image')} are of a group that is also in train: accuracy on "
                f"them measures memorization; the {name} split is your own and stays as it is: take these groups "
                "out of it or out of train"
            )
    is_torn = found is None and bool(dataset.drawn or in_folds)
    if is_torn and (named := frame_groups(dataset)) is not None:
        drawn = "folds" if in_folds else " and ".join(dataset.drawn)
        yield (
            f"file names look like {named.groups:,} series of about {named.size:.0f} images each, such as "
            f"'{escaped(named.example)}', and the draw of {drawn} tore them apart: accuracy may "
            f"measure memorization; --group '{named.pattern}' keeps them together"
        )


class FrameGroups(NamedTuple):
    """Groups that file names suggest.

    Args:
        pattern: regular expression for paths whose first group names the group; the draw has been tried.
        groups: number of groups.
        size: mean number of images of a group.
        example: name of a group.
    """

    pattern: str
    groups: int
    size: float
    example: str


def frame_groups(dataset: Dataset) -> FrameGroups | None:
    """Returns the groups that file names suggest, or None where they do not look like images of several series.

    Args:
        dataset: train and what was drawn from it are looked at.
    """
    parts = [dataset.train, *(dataset.splits()[name] for name in dataset.drawn)]
    if any(part.paths is None for part in parts):
        return None
    paths = [path for part in parts for path in part.paths or ()]
    labels = np.concatenate([part.labels for part in parts])
    for form in _FORMS:
        names = _names(form, paths)
        if _are_series(names, labels):
            shortest = _shortest_pattern(set(names) - {""})
            pattern = shortest if shortest and _names(shortest, paths) == names else form
            sizes = Counter(names)
            del sizes[""]
            with suppress(DataError):  # the pattern is proposed where a draw by it is possible
                draw(Labels(labels, names, dataset.classes, dataset.name), _TRIED_FRACTION, 0, "train and test")
                return FrameGroups(pattern, len(sizes), sizes.total() / len(sizes), min(sizes, key=natural_key))
    return None


def _names(pattern: str, paths: Sequence[str]) -> list[str]:
    compiled = re.compile(pattern)
    return [match[1] if (match := compiled.search(path)) else "" for path in paths]


def _are_series(names: Sequence[str], labels: NDArray[np.int64]) -> bool:
    """Returns whether most images are of a series, of several in each class, with several images each."""
    series = {(name, int(label)) for name, label in zip(names, labels, strict=True) if name}
    num_images = sum(map(bool, names))
    if num_images < _MIN_FRACTION * len(names) or num_images < _MIN_IMAGES * len(series):
        return False
    per_class = Counter(label for _, label in series)
    return all(per_class[label] >= _MIN_SERIES for label in np.unique(labels).tolist())


def _shortest_pattern(names: Collection[str]) -> str:
    """Returns a pattern such as `(patient\\d+)` where all names are one word and a number, else an empty text."""
    words = {re.sub(r"\d+$", "", name) for name in names}
    is_short = len(words) == 1 and all(re.search(r"[^\d]\d+$", name) for name in names)
    return f"({re.escape(words.pop())}\\d+)" if is_short else ""
