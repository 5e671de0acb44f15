"""How many pictures each class has in each split."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tenfold.data.decode.decode import one_line
from tenfold.data.types import Dataset
from tenfold.inspect.findings import Finding

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


FEW_TEST = 100
"""Below so many test pictures an accuracy is hardly more than a guess."""
_Z = 1.96
_MOST_NAMES = 5


def first_glance(dataset: Dataset) -> tuple[str, ...]:
    """Returns sentences about empty, tiny and lopsided classes and a tiny test split; none for ordinary data.

    Args:
        dataset: only its labels are looked at.

    Example:
        >>> first_glance(dataset)  # doctest: +SKIP
        ("1 class has fewer than 10 training pictures: 'bat' (3); more pictures of it would help",)
    """
    return tuple(finding.sentence for finding in label_findings(class_counts(dataset)))


def label_findings(counts: Counts) -> Iterator[Finding]:
    """Yields what is to be said of the numbers of pictures by split and class."""
    for split, of_classes in counts.items():
        if names := empty_classes(of_classes):
            noun = "class has" if len(names) == 1 else "classes have"
            severity = "error" if split == "train" else "warning"
            sentence = f"{len(names):,} {noun} no {split} pictures: {quoted(names)}"
            yield Finding(severity, "empty-class", sentence, len(names), tuple(names))
    yield from _tiny(counts["train"])
    yield from _lopsided(counts["train"])
    if "test" in counts:  # else a share of train is drawn for it
        yield from _few_test(sum(counts["test"].values()))


def interval_width(pictures: int) -> float:
    """Returns the width of Wilson's 95 % interval around an accuracy of one half, the widest there is, in [0, 1].

    Example:
        >>> round(interval_width(10_000), 3), round(interval_width(40), 2)
        (0.02, 0.3)
    """
    return min(1.0, _Z / math.sqrt(pictures + _Z**2))


def quoted(names: list[str], counts: Mapping[str, int] | None = None) -> str:
    """Returns names in quotation marks, with their counts where given, cut off after five.

    Example:
        >>> quoted(["cat", "dog"], {"cat": 3, "dog": 1})
        "'cat' (3), 'dog' (1)"
    """
    parts = [f"'{one_line(name)}'" + (f" ({counts[name]:,})" if counts else "") for name in names[:_MOST_NAMES]]
    more = len(names) - _MOST_NAMES
    return ", ".join(parts) + (f" and {more:,} more" if more > 0 else "")


def _tiny(counts: Mapping[str, int]) -> Iterator[Finding]:
    names = tiny_classes(counts)
    if names:
        noun, them = ("class has", "it") if len(names) == 1 else ("classes have", "them")
        sentence = (
            f"{len(names):,} {noun} fewer than {FEW} training pictures: {quoted(names, counts)}; "
            f"more pictures of {them} would help"
        )
        yield Finding("warning", "tiny-class", sentence, len(names), tuple(names))


def _lopsided(counts: Mapping[str, int]) -> Iterator[Finding]:
    found = lopsided(counts)
    if found is not None:
        largest, smallest, ratio = found
        sentence = (
            f"lopsided classes: '{one_line(largest)}' has {counts[largest]:,} training pictures, "
            f"'{one_line(smallest)}' {counts[smallest]:,}, {ratio:.0f} times fewer; "
            "judge by the classes one by one, not by the accuracy of all"
        )
        yield Finding("warning", "lopsided", sentence, 2, (largest, smallest))


def _few_test(pictures: int) -> Iterator[Finding]:
    if pictures < FEW_TEST:
        sentence = (
            f"only {pictures:,} test picture{'s' * (pictures != 1)}: the 95 % interval of an accuracy can be "
            f"{100 * interval_width(pictures):.0f} points wide"
        )
        yield Finding("warning", "few-test", sentence, pictures)
