"""Assigns image paths to classes and splits: a pure function of the names, for folders and archives alike."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tenfold.core.errors import DataError
from tenfold.core.text import escaped
from tenfold.data.decode.decode import FORMAT_NAMES
from tenfold.data.splits import stratified_split
from tenfold.data.types import Skipped

SPLITS = ("train", "test", "val")
ACCEPTED = (
    f"expected images ({FORMAT_NAMES}) as train/<class>/… and test/<class>/…, or as <class>/…, with two classes or more"
)
_SPLIT_NAMES = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}


class ImageEntry(NamedTuple):
    """An image file: its path in the source, its split and its label."""

    path: str
    split: str
    label: int


@dataclass(frozen=True)
class Layout:
    """The images, classes and splits of a folder or an archive of class folders.

    Args:
        root: the folder or the archive.
        classes: class names in natural order; a label is an index into it.
        entries: the images, train before test before val, within each in natural order of their paths.
        skipped: other files, and images in no class folder, with the reason.
        notes: sentences that a user should read.
        drawn: names of the splits that were drawn at random.
    """

    root: Path
    classes: tuple[str, ...]
    entries: tuple[ImageEntry, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()

    def indices_of(self, split: str) -> list[int]:
        """Returns the indices in `entries` of the images of a split, ascending."""
        return [index for index, entry in enumerate(self.entries) if entry.split == split]


def natural_key(name: str) -> tuple[object, ...]:
    """Returns a key for natural sorting: numbers by value, upper case beside lower case.

    Example:
        >>> sorted(["b10", "b9", "A"], key=natural_key)
        ['A', 'b9', 'b10']
    """
    parts = re.split(r"([0-9]+)", name.casefold())
    numbers = [(len(digits.lstrip("0")), digits.lstrip("0")) for digits in parts[1::2]]
    key: list[object] = [*parts]
    key[1::2] = numbers
    # Text and numbers alternate, so equal types are compared; the name itself decides between "1" and "01".
    return (tuple(key), name)


class _Placed(NamedTuple):
    split: str
    class_name: str
    path: str


def arrange(
    root: Path,
    paths: Sequence[str],
    skipped: Iterable[Skipped],
    empty_folders: Iterable[str],
    *,
    for_training: bool = True,
) -> Layout:
    """Assigns image files to splits and classes.

    Args:
        root: the source, for messages.
        paths: paths of image files, with `/` between parts.
        skipped: files that were left out already.
        empty_folders: paths of empty folders.
        for_training: whether the classes are those of train, two or more; else those of all images, one or more.

    Raises:
        DataError: when there are no images or too few classes, or for training a class that train does not have.
    """
    if not paths:
        raise DataError(f"{escaped(str(root))} holds no images; {ACCEPTED}")
    depth = _wrapper_depth(paths)
    has_splits = _has_splits(paths, depth)
    all_skipped = list(skipped)
    placed: list[_Placed] = []
    for path in paths:
        split, class_name, reason = _place(path.split("/")[depth:], has_splits)
        if reason:
            all_skipped.append(Skipped(path, reason))
        else:
            placed.append(_Placed(split, class_name, path))
    classes = _classes(root, placed) if for_training else _all_classes(root, placed)
    labels = {class_name: label for label, class_name in enumerate(classes)}
    placed.sort(key=lambda image: (SPLITS.index(image.split), natural_key(image.path)))
    entries = tuple(ImageEntry(path, split, labels[class_name]) for split, class_name, path in placed)
    notes = tuple(_empty_notes(empty_folders, depth, has_splits, labels))
    return Layout(root, classes, entries, tuple(all_skipped), notes)


def _wrapper_depth(paths: Sequence[str]) -> int:
    """Returns 1 where one folder contains everything, else 0."""
    parts = [path.split("/", 3) for path in paths]
    is_wrapped = len({part[0] for part in parts}) == 1 and all(len(part) >= 3 for part in parts)
    return int(is_wrapped and parts[0][0].lower() not in _SPLIT_NAMES)


def _has_splits(paths: Sequence[str], depth: int) -> bool:
    """Returns whether the outer folders are splits; a class called `train` would contain its images directly."""
    depths: Counter[int] = Counter()
    for path in paths:
        parts = path.split("/")[depth:]
        if parts[0].lower() in _SPLIT_NAMES:
            depths[min(len(parts), 3)] += 1
    return depths[3] > depths[2]


def _place(parts: list[str], has_splits: bool) -> tuple[str, str, str]:
    """Returns split and class, and the reason where an image has none."""
    if not has_splits:
        return ("train", parts[0], "") if len(parts) >= 2 else ("", "", "not in a class folder")
    split = _SPLIT_NAMES.get(parts[0].lower(), "")
    if not split:
        return "", "", "outside train, test and val"
    return (split, parts[1], "") if len(parts) >= 3 else ("", "", "not in a class folder")


def _classes(root: Path, placed: list[_Placed]) -> tuple[str, ...]:
    trained = {image.class_name for image in placed if image.split == "train"}
    classes = tuple(sorted(trained, key=natural_key))
    untrained = sorted({(image.split, image.class_name) for image in placed if image.class_name not in trained})
    if untrained:
        split, name = untrained[0]
        raise DataError(
            f"{escaped(str(root))} has images of class '{escaped(name)}' in {split} but none in train; "
            f"add some to train, or remove it from {split} (train has: {name_list(classes)})"
        )
    if len(classes) < 2:
        found = f"only one class, '{escaped(classes[0])}'" if classes else "images but no class folder"
        raise DataError(f"{escaped(str(root))} holds {found}; {ACCEPTED}")
    return classes


def _all_classes(root: Path, placed: list[_Placed]) -> tuple[str, ...]:
    if not placed:
        raise DataError(
            f"{escaped(str(root))} holds images but no class folder; expected the images of each class in a folder "
            "with its name"
        )
    return tuple(sorted({image.class_name for image in placed}, key=natural_key))


def only_split(layout: Layout, split: str) -> Layout:
    """Returns the layout with the images of one split, or `all` of them, as its test split, and with their classes.

    Raises:
        DataError: when it has no such split; the message names those it has.
    """
    root, paths = escaped(str(layout.root)), [entry.path for entry in layout.entries]
    if split != "all" and not _has_splits(paths, _wrapper_depth(paths)):
        raise DataError(f"{root} has class folders but no {split} folder; leave --split out to evaluate all images")
    chosen = [entry for entry in layout.entries if split in ("all", entry.split)]
    if not chosen:
        found = ", ".join(name for name in SPLITS if layout.indices_of(name))
        raise DataError(f"{root} has no split '{split}'; expected {found} or all")
    classes = tuple(layout.classes[label] for label in sorted({entry.label for entry in chosen}))
    labels = {name: label for label, name in enumerate(classes)}
    entries = tuple(ImageEntry(path, "test", labels[layout.classes[label]]) for path, _, label in chosen)
    return replace(layout, classes=classes, entries=entries)


def name_list(names: Sequence[str], max_names: int = 10) -> str:
    """Returns the names separated by commas; of more than `max_names` the rest is counted."""
    rest = f" and {len(names) - max_names} more" if len(names) > max_names else ""
    return ", ".join(escaped(name) for name in names[:max_names]) + rest


def _empty_notes(empty_folders: Iterable[str], depth: int, has_splits: bool, labels: dict[str, int]) -> Iterable[str]:
    level = depth + (2 if has_splits else 1)
    for folder in empty_folders:
        parts = folder.split("/")
        if len(parts) == level and parts[-1] not in labels:
            yield f"class folder '{escaped(folder)}' holds no images: left out"


def drawn_note(missing: str, fraction: float, num_images: int, seed: int) -> str:
    """Returns the sentence that says that test images were drawn, because the source has none."""
    return (
        f"no {missing}: {fraction:.3g} of each class was drawn for testing ({num_images} images, seed {seed}); "
        "change with --set data.test_fraction=…"
    )


def draw_test(layout: Layout, fraction: float, seed: int) -> Layout:
    """Draws a stratified fraction of train as the test split, where the layout has no test split.

    Args:
        layout: the images of the source.
        fraction: fraction of each class, in (0, 1).
        seed: seed of the draw.

    Raises:
        ValueError: when `fraction` is out of range.
    """
    if layout.indices_of("test"):
        return layout
    train = layout.indices_of("train")
    labels = np.array([layout.entries[index].label for index in train], dtype=np.int64)
    drawn = {train[i] for i in stratified_split(labels, fraction, seed)[1]}
    entries = [entry._replace(split="test") if index in drawn else entry for index, entry in enumerate(layout.entries)]
    entries.sort(key=lambda entry: SPLITS.index(entry.split))
    note = drawn_note("test folder", fraction, len(drawn), seed)
    return replace(layout, entries=tuple(entries), notes=(*layout.notes, note), drawn=("test",))
