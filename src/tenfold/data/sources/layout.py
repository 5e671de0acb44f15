"""From a list of names to classes and splits: pure, so that folders and archives are told alike."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tenfold.core.errors import DataError
from tenfold.data.decode.decode import SUFFIXES, one_line
from tenfold.data.splits import stratified_split
from tenfold.data.types import Skipped

SPLITS = ("train", "test", "val")
ACCEPTED = (
    f"expected pictures ({', '.join(sorted(SUFFIXES))}) as train/<class>/… and test/<class>/…, "
    "or as <class>/…, with two classes or more"
)
_SPLIT_NAMES = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}


class Entry(NamedTuple):
    """A picture's name in its source, its split and its class."""

    path: str
    split: str
    label: int


@dataclass(frozen=True)
class Layout:
    """What a folder or an archive of class folders holds.

    Args:
        root: the folder or the archive.
        classes: class names, sorted naturally; a label is a place in this order.
        entries: the pictures, train before test before val, sorted naturally by name within each.
        skipped: files that are no pictures or lie in no class folder, and why.
        notes: sentences that a user should read.
    """

    root: Path
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def places(self, split: str) -> list[int]:
        """Returns the places in `entries` of the pictures in `split`, ascending; raises nothing."""
        return [place for place, entry in enumerate(self.entries) if entry.split == split]


def natural(name: str) -> tuple[object, ...]:
    """Returns a key that sorts names as people do: 1, 2, 10, capitals beside small letters; raises nothing.

    Example:
        >>> sorted(["b10", "b9", "A"], key=natural)
        ['A', 'b9', 'b10']
    """
    parts = re.split(r"([0-9]+)", name.casefold())
    numbers = [(len(digits.lstrip("0")), digits.lstrip("0")) for digits in parts[1::2]]
    key: list[object] = [*parts]
    key[1::2] = numbers
    # Text and numbers alternate, so like meets like; the name itself settles "1" against "01".
    return (tuple(key), name)


def arrange(root: Path, pictures: Sequence[str], skipped: Iterable[Skipped], empty: Iterable[str]) -> Layout:
    """Finds out which picture belongs to which split and class.

    Args:
        root: the source, for messages.
        pictures: names of picture files, `/` between parts.
        skipped: what was left out already.
        empty: names of empty folders.

    Raises:
        DataError: when there are no pictures, fewer than two classes, or a class that train does not have.
    """
    if not pictures:
        raise DataError(f"{one_line(str(root))} holds no pictures; {ACCEPTED}")
    depth = _wrapping(pictures)
    has_splits = _has_splits(pictures, depth)
    left_out = list(skipped)
    placed: list[tuple[str, str, str]] = []
    for path in pictures:
        split, name, fault = _place(path.split("/")[depth:], has_splits)
        if fault:
            left_out.append(Skipped(path, fault))
        else:
            placed.append((split, name, path))
    classes = _classes(root, placed)
    label = {name: place for place, name in enumerate(classes)}
    placed.sort(key=lambda one: (SPLITS.index(one[0]), natural(one[2])))
    entries = tuple(Entry(path, split, label[name]) for split, name, path in placed)
    notes = [*_missing_notes(classes, placed), *_empty_notes(empty, depth, has_splits, label)]
    return Layout(root, classes, entries, tuple(left_out), tuple(notes))


def _wrapping(pictures: Sequence[str]) -> int:
    """Returns 1 where one folder is wrapped around everything, else 0."""
    parts = [path.split("/", 3) for path in pictures]
    wrapped = len({part[0] for part in parts}) == 1 and all(len(part) >= 3 for part in parts)
    return int(wrapped and parts[0][0].lower() not in _SPLIT_NAMES)


def _has_splits(pictures: Sequence[str], depth: int) -> bool:
    """Returns whether the outer folders are splits; a class called `train` would hold its pictures itself."""
    depths: Counter[int] = Counter()
    for path in pictures:
        parts = path.split("/")[depth:]
        if parts[0].lower() in _SPLIT_NAMES:
            depths[min(len(parts), 3)] += 1
    return depths[3] > depths[2]


def _place(parts: list[str], has_splits: bool) -> tuple[str, str, str]:
    """Returns split, class and, where there is no place for the picture, the reason."""
    if not has_splits:
        return ("train", parts[0], "") if len(parts) >= 2 else ("", "", "not in a class folder")
    split = _SPLIT_NAMES.get(parts[0].lower(), "")
    if not split:
        return "", "", "outside train, test and val"
    return (split, parts[1], "") if len(parts) >= 3 else ("", "", "not in a class folder")


def _classes(root: Path, placed: list[tuple[str, str, str]]) -> tuple[str, ...]:
    learnt = {name for split, name, _ in placed if split == "train"}
    classes = tuple(sorted(learnt, key=natural))
    foreign = sorted({(split, name) for split, name, _ in placed if name not in learnt})
    if foreign:
        split, name = foreign[0]
        raise DataError(
            f"{one_line(str(root))} has pictures of class '{one_line(name)}' in {split} but none in train; "
            f"add some to train, or remove it from {split} (train has: {shortened(classes)})"
        )
    if len(classes) < 2:
        found = f"only one class, '{one_line(classes[0])}'" if classes else "pictures but no class folder"
        raise DataError(f"{one_line(str(root))} holds {found}; {ACCEPTED}")
    return classes


def shortened(names: Sequence[str], most: int = 10) -> str:
    """Returns the names, separated by commas and cut off after `most`; raises nothing."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(one_line(name) for name in names[:most]) + rest


def _missing_notes(classes: tuple[str, ...], placed: list[tuple[str, str, str]]) -> Iterable[str]:
    """Says which classes a split lacks; labels follow the names, so nothing shifts."""
    for split in ("test", "val"):
        present = {name for where, name, _ in placed if where == split}
        missing = [name for name in classes if name not in present]
        if present and missing:
            yield f"{split} has no pictures of {shortened(missing)}"


def _empty_notes(empty: Iterable[str], depth: int, has_splits: bool, known: dict[str, int]) -> Iterable[str]:
    level = depth + (2 if has_splits else 1)
    for folder in empty:
        parts = folder.split("/")
        if len(parts) == level and parts[-1] not in known:
            yield f"class folder '{one_line(folder)}' holds no pictures: left out"


def draw_test(layout: Layout, fraction: float, seed: int) -> Layout:
    """Returns the layout with a stratified share of train drawn for testing, where it has no test split.

    Args:
        layout: what was found.
        fraction: share of each class, in (0, 1).
        seed: of the draw.

    Raises:
        ValueError: when `fraction` is out of range.
    """
    if layout.places("test"):
        return layout
    train = layout.places("train")
    labels = np.array([layout.entries[place].label for place in train], dtype=np.int64)
    drawn = {train[index] for index in stratified_split(labels, fraction, seed)[1]}
    entries = [entry._replace(split="test") if place in drawn else entry for place, entry in enumerate(layout.entries)]
    entries.sort(key=lambda entry: SPLITS.index(entry.split))
    note = (
        f"no test folder: {fraction:.3g} of each class was drawn for testing ({len(drawn)} pictures, seed {seed}); "
        "change with --set data.test_fraction=…"
    )
    return replace(layout, entries=tuple(entries), notes=(*layout.notes, note))
