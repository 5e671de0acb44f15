"""Stratified random splits and folds, with or without groups: pure functions of labels, groups and seed.

N images, G groups, C classes, K folds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, plural

Indices = NDArray[np.int64]


class Labels(NamedTuple):
    """What a draw needs to know of a dataset.

    Args:
        labels: int64 [N], at least 0.
        groups: name of each image's group, or None where images have no groups; an empty name is an image of its own.
        classes: class names in the order of the labels.
        source: what a message calls the dataset.
    """

    labels: NDArray[np.int64]
    groups: Sequence[str] | None
    classes: Sequence[str]
    source: str

    @property
    def has_groups(self) -> bool:
        """Whether an image has a group."""
        return self.groups is not None and any(self.groups)

    def check(self, parts: int, what: str, remedy: str) -> None:
        """Raises DataError unless each class has enough groups for `parts` parts, or images where there are no groups.

        Args:
            parts: number of parts.
            what: what the parts are, such as `train and test`.
            remedy: what to do.
        """
        groups = self.groups if self.has_groups else None
        counts = num_groups(self.labels, groups or [""] * len(self.labels), len(self.classes))
        for label in np.flatnonzero((counts > 0) & (counts < parts)).tolist()[:1]:
            number, name = int(counts[label]), escaped(self.classes[label])
            found = f"{plural(number, 'image')} of class '{name}'"
            if groups is not None:
                names = {groups[index] for index in np.flatnonzero(self.labels == label).tolist()} - {""}
                first = escaped(min(names, default=""))
                found = f"all images of class '{name}' in {plural(number, 'group')} ('{first}')"
            raise DataError(f"{self.source} has {found}; expected {parts} or more for {what}: {remedy}")


def draw(images: Labels, fraction: float, seed: int, what: str) -> tuple[Indices, Indices]:
    """Draws a fraction of each class; no group is torn apart.

    Args:
        images: to draw from.
        fraction: fraction to draw, in [0, 1).
        seed: any integer.
        what: the two sides, such as `train and test`.

    Returns:
        Indices of the rest and of the drawn images, see `stratified_split` and `grouped_split`.

    Raises:
        DataError: when groups make the draw impossible.
    """
    if not images.has_groups or images.groups is None or fraction == 0:
        return stratified_split(images.labels, fraction, seed)
    remedy = "choose other groups with data.group, or make folders train/ and test/ yourself"
    images.check(2, what, remedy)
    try:
        return grouped_split(images.labels, images.groups, fraction, seed)
    except ValueError as error:
        raise DataError(
            f"the groups of {images.source} leave no draw in which {what} have images of each class ({error}); {remedy}"
        ) from None


def stratified_split(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Draws a fraction of each class. A class of two or more images is present on both sides.

    The draw of a class depends only on the seed, its label and its number of images. It uses the raw output of Philox,
    which NumPy promises never to change.

    Args:
        labels: int64 [N], at least 0.
        fraction: fraction to draw, in [0, 1); each class gets it to within one image.
        seed: any integer.

    Returns:
        Indices of the rest and of the drawn images, int64, each ascending; together they are 0 to N − 1.

    Raises:
        ValueError: when `fraction` is out of range.

    Example:
        >>> rest, drawn = stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.25, seed=0)
        >>> len(rest), len(drawn)
        (4, 2)
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction is {fraction}; expected 0 or more and less than 1")
    is_drawn = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels) if fraction > 0 else ():
        members = np.flatnonzero(labels == label)
        count = min(max(1, round(len(members) * fraction)), len(members) - 1)
        is_drawn[members[_permutation(len(members), int(label), seed)[:count]]] = True
    return np.flatnonzero(~is_drawn), np.flatnonzero(is_drawn)


def _permutation(count: int, label: int, seed: int) -> Indices:
    """Returns a permutation of 0 to count − 1 that depends on seed and label."""
    entropy = np.random.SeedSequence([seed % 2**64, label])
    return np.argsort(np.random.Philox(entropy).random_raw(count), kind="stable")


def grouped_split(
    labels: NDArray[np.int64], groups: Sequence[str], fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """Draws a fraction of each class, as near as groups that stay together allow.

    Groups are placed one by one, in random order within each order of magnitude of their sizes, where the fractions of
    all classes deviate least: the rule of scikit-learn's StratifiedGroupKFold. Then a class that is missing on a side
    gets its smallest group there.

    Args:
        labels: int64 [N], at least 0; each class in two groups or more, see `num_groups`.
        groups: name of each image's group; an empty name is an image of its own.
        fraction: fraction to draw, in (0, 1).
        seed: any integer.

    Returns:
        Indices of the rest and of the drawn images, int64, each ascending; together they are 0 to N − 1.

    Raises:
        ValueError: when no draw was found that has each class on both sides.

    Example:
        >>> rest, drawn = grouped_split(np.array([0, 0, 0, 1, 1, 1]), ["a", "a", "b", "c", "c", "d"], 0.3, seed=0)
        >>> rest, drawn
        (array([0, 1, 3, 4]), array([2, 5]))
    """
    group_of = group_numbers(groups)
    counts = _GroupCounts.of(labels, group_of)
    side = _place(counts, np.array([1 - fraction, fraction]), seed)
    _repair(side, counts)
    is_drawn = side[group_of] == 1
    return np.flatnonzero(~is_drawn), np.flatnonzero(is_drawn)


def stratified_folds(labels: NDArray[np.int64], folds: int, seed: int) -> Indices:
    """Assigns images to folds in turn, class by class in random order.

    Args:
        labels: int64 [N], at least 0.
        folds: number of folds, at least 1.
        seed: at least 0.

    Returns:
        The fold of each image, int64 [N] in [0, folds). Fold sizes differ by at most one, in all and in each class.

    Example:
        >>> np.bincount(stratified_folds(np.array([0, 0, 0, 0, 1, 1]), 2, seed=0)).tolist()
        [3, 3]
    """
    import torch  # takes a second, which commands that draw no folds save

    from tenfold.core.randomness import generator_for

    shuffled: list[Indices] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = torch.randperm(len(members), generator=generator_for(seed, "folds", int(label)))
        shuffled.append(members[order.numpy()])
    fold_of = np.empty(len(labels), np.int64)
    fold_of[np.concatenate(shuffled)] = np.arange(len(labels)) % folds
    return fold_of


def grouped_folds(labels: NDArray[np.int64], groups: Sequence[str], folds: int, seed: int) -> Indices:
    """Assigns images to folds so that groups stay together and each class is spread as evenly as that allows.

    Args:
        labels: int64 [N], at least 0.
        groups: see `grouped_split`.
        folds: number of folds, at least 2.
        seed: any integer.

    Returns:
        The fold of each image, int64 [N] in [0, folds).

    Example:
        >>> grouped_folds(np.array([0, 0, 0, 1, 1, 1]), ["a", "a", "b", "c", "c", "d"], 2, seed=0).tolist()
        [0, 0, 1, 1, 1, 0]
    """
    group_of = group_numbers(groups)
    return _place(_GroupCounts.of(labels, group_of), np.full(folds, 1 / folds), seed)[group_of]


def group_numbers(groups: Sequence[str]) -> Indices:
    """Returns a number in [0, G) for each image's group, int64 [N]; an image with an empty name has its own."""
    numbers: dict[str | int, int] = {}
    keys = (name or index for index, name in enumerate(groups))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def num_groups(labels: NDArray[np.int64], groups: Sequence[str], num_classes: int) -> Indices:
    """Returns the number of groups with images of each class, int64 [C]."""
    return np.bincount(_GroupCounts.of(labels, group_numbers(groups)).label, minlength=num_classes)


class _GroupCounts(NamedTuple):
    """Number of images of each class in each group, without the zeros: E entries, ordered by group.

    Args:
        group: int64 [E].
        label: int64 [E].
        images: int64 [E], at least 1.
        starts: int64 [G + 1], index of the first entry of each group, then E.
    """

    group: Indices
    label: Indices
    images: Indices
    starts: Indices

    @classmethod
    def of(cls, labels: NDArray[np.int64], group_of: Indices) -> "_GroupCounts":
        num_classes = int(labels.max(initial=0)) + 1
        keys, images = np.unique(group_of * num_classes + labels, return_counts=True)
        group, label = np.divmod(keys, num_classes)
        starts = np.searchsorted(group, np.arange(group_of.max(initial=-1) + 2))
        return cls(group, label, images.astype(np.int64), starts)

    def totals(self, chosen: NDArray[np.bool_]) -> Indices:
        """Returns the number of images of each class in the chosen groups, int64 [C]; `chosen` is bool [G]."""
        weights = np.where(chosen[self.group], self.images, 0)
        return np.bincount(self.label, weights).astype(np.int64)


def _place(counts: _GroupCounts, portions: NDArray[np.float64], seed: int) -> Indices:
    """Returns the part that each group belongs to, int64 [G].

    Args:
        counts: of the groups.
        portions: the fraction of all images that each part shall have, float64 [parts].
        seed: any integer.
    """
    sizes = np.add.reduceat(counts.images, counts.starts[:-1])
    shuffled = _permutation(len(sizes), 0, seed)
    order = shuffled[np.argsort(-np.floor(np.log2(sizes[shuffled])), kind="stable")]
    totals = counts.totals(np.ones(len(sizes), np.bool_))
    filled = np.zeros((len(portions), len(totals)))  # fraction of each class in each part
    part_of = np.empty(len(sizes), np.int64)
    for group in order:
        entries = slice(counts.starts[group], counts.starts[group + 1])
        classes = counts.label[entries]
        added = counts.images[entries] / totals[classes]
        # How much more the parts deviate from their portions: the sum of filled² / portion, over classes, grows.
        change = (added * (added + 2 * filled[:, classes])).sum(1) / portions
        part = int(np.lexsort((filled.sum(1) / portions, change.round(12)))[0])
        filled[part, classes] += added
        part_of[group] = part
    return part_of


def _repair(side: Indices, counts: _GroupCounts) -> None:
    """Moves the smallest possible group to a side on which a class is missing; changes `side`."""
    sizes = np.add.reduceat(counts.images, counts.starts[:-1])
    for target in (0, 1):
        for label in np.flatnonzero(counts.totals(side == target) == 0):
            others = counts.totals(side != target)
            movable = [
                int(group) for group in counts.group[counts.label == label] if _leaves_some(others, counts, int(group))
            ]
            if not movable:
                raise ValueError(f"class {label} cannot be on both sides")
            side[min(movable, key=lambda group: (sizes[group], group))] = target


def _leaves_some(totals: Indices, counts: _GroupCounts, group: int) -> bool:
    """Returns whether a side of these totals has images of each class of a group without the group."""
    entries = slice(counts.starts[group], counts.starts[group + 1])
    return bool((totals[counts.label[entries]] > counts.images[entries]).all())
