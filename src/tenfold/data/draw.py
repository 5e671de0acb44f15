"""Splits that are drawn from a dataset: validation images, folds, and test images that keep duplicates together.

N images, G groups.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.data.duplicates.dataset_images import DatasetImages
from tenfold.data.duplicates.search import Duplicates, find_duplicates
from tenfold.data.sources.layout import drawn_note, without_drawn_note
from tenfold.data.splits import Labels, draw, grouped_folds, stratified_folds
from tenfold.data.store.leak_cache import read_groups, write_groups
from tenfold.data.store.shards import joined
from tenfold.data.types import Dataset, ProgressCallback, Split

Indices = NDArray[np.int64]

_VERSION = 1
"""A changed search for duplicates gets another number, so that remembered results are not used."""


def with_validation(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """Returns the dataset with a validation split drawn from train, if it has none and one is requested.

    Raises:
        DataError: when too few images or groups are left for validation.
    """
    if dataset.val is not None or fraction == 0:
        return dataset
    rest, drawn = draw(_labels([dataset.train], dataset), fraction, seed, "train and val")
    if not len(drawn):
        raise DataError(
            f"{dataset.name} has one training image per class and none left for validation; set data.val_fraction=0"
        )
    return replace(
        dataset,
        train=dataset.train.subset(rest),
        val=dataset.train.subset(drawn),
        fingerprint=_fingerprint(dataset, f"val {fraction!r} {seed}"),
        drawn=(*dataset.drawn, "val"),
    )


def with_duplicate_groups(dataset: Dataset, fraction: float, seed: int, progress: ProgressCallback) -> Dataset:
    """Returns the dataset with exact and near duplicates as groups, and with test images drawn in whole groups.

    Only test images that were drawn are drawn again. Whoever is a duplicate of a duplicate belongs to the group too.

    Args:
        dataset: whose groups are replaced.
        fraction: fraction of the test images, in (0, 1).
        seed: of the draw.
        progress: called with what is being done; not called for a remembered result.

    Raises:
        DataError: when the groups make the draw impossible.
    """
    images = DatasetImages(dataset)
    numbers = read_groups(dataset, _VERSION)
    if numbers is None:
        numbers = duplicate_groups(find_duplicates(images, progress)).tolist()
        write_groups(dataset, _VERSION, numbers)
    sizes = np.bincount(numbers)
    names = [images.ref(number).name if sizes[number] > 1 else "" for number in numbers]
    parts = {
        name: replace(split, groups=tuple(names[images.split_range(name)])) for name, split in dataset.splits().items()
    }
    dataset = replace(dataset, train=parts["train"], test=parts["test"], val=parts.get("val"))
    return _redrawn(dataset, fraction, seed) if "test" in dataset.drawn else dataset


def duplicate_groups(duplicates: Duplicates) -> Indices:
    """Returns the first image of the group of each image, int64 [N]: groups are connected by duplicates."""
    group: Indices = duplicates.owner.copy()
    first, second = group[duplicates.first], group[duplicates.second]
    while True:
        lower = np.minimum(group[first], group[second])
        before = group.copy()
        np.minimum.at(group, first, lower)
        np.minimum.at(group, second, lower)
        group = group[group]
        if (group == before).all():
            return group


def _redrawn(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    parts = [dataset.train, dataset.test]
    rest, drawn = draw(_labels(parts, dataset), fraction, seed, "train and test")
    note = drawn_note("test images", fraction, len(drawn), seed, grouped=True)
    return replace(
        dataset,
        train=_take(parts, rest),
        test=_take(parts, drawn),
        fingerprint=_fingerprint(dataset, f"test {fraction!r} {seed}"),
        notes=(*without_drawn_note(dataset.notes), note),
    )


def with_fold(dataset: Dataset, folds: int, fold: int, seed: int) -> Dataset:
    """Returns the dataset of one fold of a cross-validation, over train and over test images that were drawn.

    Args:
        dataset: test images of its own are not in any fold.
        folds: number of folds, at least 2.
        fold: the fold that is tested, from 1; or 0 to train on all folds. Then only test images of its own are left.
        seed: of the folds.

    Raises:
        DataError: when a class has fewer images or groups than there are folds.
    """
    parts = [dataset.train, dataset.test] if "test" in dataset.drawn else [dataset.train]
    images = _labels(parts, dataset)
    most = "take fewer folds (--folds)" if folds > 2 else "take the class out"
    if not images.has_groups:
        most += ", or add images to it"
    images.check(folds, f"{folds} folds", most)
    if images.groups is None or not images.has_groups:
        fold_of = stratified_folds(images.labels, folds, seed)
    else:
        fold_of = grouped_folds(images.labels, images.groups, folds, seed)
    tested = fold_of == fold - 1
    others = _take(parts, np.flatnonzero(~tested))
    if missing := set(images.labels.tolist()) - set(others.labels.tolist()):
        raise DataError(
            f"fold {fold} of {dataset.name} would hold all images of class '{images.classes[min(missing)]}'; expected "
            "each class in two folds or more: take other groups (data.group) or another data.split_seed"
        )
    test = _take(parts, np.flatnonzero(tested)) if fold or "test" in dataset.drawn else dataset.test
    return replace(
        dataset,
        train=others,
        test=test,
        fingerprint=_fingerprint(dataset, f"fold {fold} of {folds} {seed}"),
        notes=without_drawn_note(dataset.notes) if "test" in dataset.drawn else dataset.notes,
        drawn=("test",) if fold else (),
    )


class GroupCounts(NamedTuple):
    """The groups of a dataset.

    Args:
        groups: number of groups in each split; images of their own do not count.
        shared: number of images of each split but train whose group is in train too.
    """

    groups: dict[str, int]
    shared: dict[str, int]


def group_counts(dataset: Dataset) -> GroupCounts | None:
    """Returns how many groups a dataset has, and what they share; None where images have no groups."""
    groups = {name: set(split.groups or ()) - {""} for name, split in dataset.splits().items()}
    if not any(groups.values()):
        return None
    others = {name: split for name, split in dataset.splits().items() if name != "train"}
    shared = {name: sum(group in groups["train"] for group in split.groups or ()) for name, split in others.items()}
    return GroupCounts({name: len(found) for name, found in groups.items()}, shared)


def _labels(parts: Sequence[Split], dataset: Dataset) -> Labels:
    groups = [name for part in parts for name in part.groups or ("",) * len(part)]
    return Labels(np.concatenate([part.labels for part in parts]), groups, dataset.classes, dataset.name)


def _take(parts: Sequence[Split], indices: Indices) -> Split:
    """Returns the images at `indices` of the parts, which are numbered one after the other; see `chosen`."""
    if len(parts) == 1:
        return parts[0].subset(indices)
    starts = np.cumsum([0, *map(len, parts)])
    chosen = [
        part.subset(indices[(indices >= first) & (indices < first + len(part))] - first)
        for part, first in zip(parts, starts.tolist(), strict=False)
    ]
    return Split(
        joined([part.images for part in chosen]),
        np.concatenate([part.labels for part in chosen]),
        None if parts[0].paths is None else tuple(path for part in chosen for path in part.paths or ()),
        None if parts[0].groups is None else tuple(name for part in chosen for name in part.groups or ()),
    )


def _fingerprint(dataset: Dataset, text: str) -> str:
    """Returns the fingerprint after a draw: images have other groups where the same images are drawn otherwise."""
    groups = "".join(
        f" {name}={tuple(split.groups or ())}" for name, split in dataset.splits().items() if any(split.groups or ())
    )
    return hashlib.sha256(f"{dataset.fingerprint} {text}{groups}".encode()).hexdigest()
