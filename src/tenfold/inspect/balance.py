"""Class counts of a dataset, and warnings about empty, tiny and imbalanced classes and small test splits."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tenfold.core.text import plural, printable
from tenfold.data.types import Dataset
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.macro import is_uneven
from tenfold.inspect.findings import Finding

ClassCounts = Mapping[str, int]
"""Number of images by class name."""

_MIN_CLASS_IMAGES = 10
"""Fewer training images of a class are not enough to train on."""

REMEDIES = ("optim.class_weights=balanced", "data.balance=1")
"""Settings that let small classes count more."""

_MIN_TEST_IMAGES = 100
"""With fewer test images an accuracy is a rough estimate at best."""

_MAX_NAMES = 5


def class_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Returns the number of images by split and class, zeros included."""
    return count_labels(dataset.classes, {name: split.labels for name, split in dataset.splits().items()})


def count_labels(classes: Sequence[str], labels: Mapping[str, NDArray[np.int64]]) -> dict[str, dict[str, int]]:
    """Returns the number of labels by split and class.

    Args:
        classes: C names in label order.
        labels: int64 [N] of each split, each in [0, C).
    """
    return {
        split: dict(zip(classes, np.bincount(values, minlength=len(classes)).tolist(), strict=True))
        for split, values in labels.items()
    }


def label_warnings(dataset: Dataset, *, balanced: bool = False) -> tuple[str, ...]:
    """Returns a sentence for each problem with the labels: empty, tiny or imbalanced classes, a small test split.

    Args:
        dataset: whose splits are counted.
        balanced: whether a recipe lets small classes count more already; imbalance is not mentioned then.

    Example:
        >>> label_warnings(dataset)  # doctest: +SKIP
        ("1 class has fewer than 10 training images: 'bat' (3); add more images of it",)
    """
    counts = {split: by_class for split, by_class in class_counts(dataset).items() if any(by_class.values())}
    findings = label_findings(counts)  # a final model on all folds has no test split
    return tuple(finding.sentence for finding in findings if not (balanced and finding.rule == "lopsided"))


def label_findings(counts: Mapping[str, ClassCounts]) -> Iterator[Finding]:
    """Yields the findings on the class counts of all splits.

    Args:
        counts: number of images by split and class; holds `train`.
    """
    for split, split_counts in counts.items():
        yield from _empty_classes(split, split_counts)
    yield from _tiny_classes(counts["train"])
    yield from _class_imbalance(counts["train"])
    if "test" in counts:  # without one, a fraction of train becomes the test split
        yield from _small_test_split(sum(counts["test"].values()))


def _empty_classes(split: str, counts: ClassCounts) -> Iterator[Finding]:
    names = [name for name, count in counts.items() if count == 0]
    if names:
        noun = "class has" if len(names) == 1 else "classes have"
        sentence = f"{len(names):,} {noun} no {split} images: {_quoted_names(names)}"
        yield Finding("error" if split == "train" else "warning", "empty-class", sentence, len(names), tuple(names))


def _tiny_classes(counts: ClassCounts) -> Iterator[Finding]:
    names = [name for name, count in counts.items() if 0 < count < _MIN_CLASS_IMAGES]
    if names:
        noun, them = ("class has", "it") if len(names) == 1 else ("classes have", "them")
        sentence = (
            f"{len(names):,} {noun} fewer than {_MIN_CLASS_IMAGES} training images: {_quoted_names(names, counts)}; "
            f"add more images of {them}"
        )
        yield Finding("warning", "tiny-class", sentence, len(names), tuple(names))


def _class_imbalance(counts: ClassCounts) -> Iterator[Finding]:
    present = {name: count for name, count in counts.items() if count}
    if not is_uneven(present.values()):
        return
    largest, smallest = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    ratio = present[largest] / present[smallest]
    sentence = (
        f"class imbalance: '{printable(largest)}' has {plural(counts[largest], 'training image')}, "
        f"'{printable(smallest)}' has {counts[smallest]:,}, {ratio:,.{int(ratio < 10)}f} times fewer; "
        "go by the balanced accuracy, and let small classes count more: "
        f"{' or '.join(f'--set {remedy}' for remedy in REMEDIES)}"
    )
    yield Finding("warning", "lopsided", sentence, 2, (largest, smallest))


def _small_test_split(num_images: int) -> Iterator[Finding]:
    if num_images < _MIN_TEST_IMAGES:
        low, high = wilson(num_images // 2, num_images)  # widest at an accuracy of one half
        sentence = (
            f"only {plural(num_images, 'test image')}: a 95 % interval of the accuracy is up to "
            f"{100 * (high - low):.0f} points wide"
        )
        yield Finding("warning", "few-test", sentence, num_images)


def _quoted_names(names: Sequence[str], counts: ClassCounts | None = None) -> str:
    """Returns the first names in quotation marks, each with its count if `counts` is given."""
    parts = [f"'{printable(name)}'" + (f" ({counts[name]:,})" if counts else "") for name in names[:_MAX_NAMES]]
    more = len(names) - _MAX_NAMES
    return ", ".join(parts) + (f" and {more:,} more" if more > 0 else "")
