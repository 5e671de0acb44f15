"""The images of a source with their splits and labels: what every kind of source is turned into."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, natural_key
from tenfold.data.decode.decode import FORMAT_NAMES
from tenfold.data.sources.rules import SPLITS as SPLITS
from tenfold.data.splits import Labels, draw
from tenfold.data.types import Skipped

ACCEPTED = (
    f"expected images ({FORMAT_NAMES}) as train/<class>/… and test/<class>/…, or as <class>/…, with two classes or more"
)

LAYOUT_VERSION = 3
"""Increased whenever the same files give other splits or labels than before, so that old stores are not used."""


ReadRows = Callable[[Collection[str]], Iterator[tuple[str, bytes]]]
"""Yields the path of each of these images and the bytes of its file."""


class FilePart(NamedTuple):
    """An image file inside a larger file, from a position on, in bytes."""

    path: Path
    start: int
    size: int


class UnlabeledError(DataError):
    """A source holds images, and no class folders that say what they show."""


class Placed(NamedTuple):
    """An image file with its split, its class and the group that it belongs to, or an empty text."""

    path: str
    split: str
    class_name: str
    group: str = ""


class ImageEntry(NamedTuple):
    """An image file: its path in the source, its split, its label and its group."""

    path: str
    split: str
    label: int
    group: str = ""


@dataclass(frozen=True)
class Layout:
    """The images, classes and splits of a folder or an archive.

    Args:
        root: the folder or the archive.
        classes: class names in natural order; a label is an index into it.
        entries: the images, train before test before val, within each in natural order of their paths.
        skipped: other files, and images without a class, with the reason.
        notes: sentences that a user should read.
        drawn: names of the splits that were drawn at random.
        has_splits: whether the source says which images are for what; else all are for training.
        understood: a sentence that says how the source was understood.
        tree: a drawing of the folders, one a line.
        read: reads images of a source that is neither a folder of files nor an archive; None for these.
        parts: where each image is in such a source, by path, if it can be read from there.
    """

    root: Path
    classes: tuple[str, ...]
    entries: tuple[ImageEntry, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    has_splits: bool = False
    understood: str = ""
    tree: tuple[str, ...] = ()
    read: ReadRows | None = field(default=None, compare=False, repr=False)
    parts: Mapping[str, FilePart] = field(default_factory=dict, compare=False, repr=False)

    def indices_of(self, split: str) -> list[int]:
        """Returns the indices in `entries` of the images of a split, ascending."""
        return [index for index, entry in enumerate(self.entries) if entry.split == split]


HELD_OUT_NOTE = "val is the only held-out split, so it is the test split"


def arranged(
    root: Path, placed: Sequence[Placed], skipped: Iterable[Skipped], understood: str, *, for_training: bool
) -> Layout:
    """Returns the layout of images whose splits and classes are known.

    A validation split without a test split is the held-out data, so it becomes the test split.

    Args:
        root: the source.
        placed: its images.
        skipped: files that were left out.
        understood: a sentence that says how the source was understood.
        for_training: whether the classes are those of train, two or more; else those of all images, one or more.

    Raises:
        DataError: when there are too few classes, or for training a class that train does not have.
    """
    splits, notes = {image.split for image in placed}, []
    if splits == {"train", "val"}:
        placed = [image._replace(split="test") if image.split == "val" else image for image in placed]
        notes = [HELD_OUT_NOTE]
    classes = _classes(root, placed) if for_training else _all_classes(root, placed)
    notes += _alike_notes(classes)
    labels = {class_name: label for label, class_name in enumerate(classes)}
    ordered = sorted(placed, key=lambda image: (SPLITS.index(image.split), natural_key(image.path)))
    entries = tuple(ImageEntry(path, split, labels[class_name], group) for path, split, class_name, group in ordered)
    has_splits = splits != {"train"}
    return Layout(root, classes, entries, tuple(skipped), tuple(notes), has_splits=has_splits, understood=understood)


def _classes(root: Path, placed: Sequence[Placed]) -> tuple[str, ...]:
    trained = {image.class_name for image in placed if image.split == "train"}
    classes = tuple(sorted(trained, key=natural_key))
    untrained = sorted({(image.split, image.class_name) for image in placed if image.class_name not in trained})
    if untrained:
        split, name = untrained[0]
        raise DataError(
            f"{escaped(str(root))} has images of class '{escaped(name)}' in {split} but none in train; "
            f"add some to train, or remove it from {split} (train has: {name_list(classes) or 'no images'})"
        )
    if len(classes) < 2:
        found = f"only one class, '{escaped(classes[0])}'" if classes else "images but no class folder"
        raise UnlabeledError(f"{escaped(str(root))} holds {found}; {ACCEPTED}")
    return classes


def _alike_notes(classes: Iterable[str]) -> Iterator[str]:
    """Yields a sentence for the first names that may mean one class, such as `Cat` and `cat`, or `0` and `0.0`."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        key = re.sub(r"(?<=\d)\.0+$", "", re.sub(r"[\s_-]+", " ", name.casefold().strip()))
        alike.setdefault(key, []).append(name)
    found = [names for names in alike.values() if len(names) > 1]
    if found:
        more = f", and {len(found) - 1} more such names" if len(found) > 1 else ""
        listed = " and ".join(f"'{escaped(name)}'" for name in found[0])
        yield f"{listed} are different classes{more}: if they mean the same, give them one name"


def _all_classes(root: Path, placed: Sequence[Placed]) -> tuple[str, ...]:
    if not placed:
        raise UnlabeledError(
            f"{escaped(str(root))} holds images but no class folder; expected the images of each class in a folder "
            "with its name"
        )
    return tuple(sorted({image.class_name for image in placed}, key=natural_key))


def only_split(layout: Layout, split: str) -> Layout:
    """Returns the layout with the images of one split, or `all` of them, as its test split, and with their classes.

    Raises:
        DataError: when it has no such split; the message names those it has.
    """
    root = escaped(str(layout.root))
    if split != "all" and not layout.has_splits:
        raise DataError(f"{root} has class folders but no {split} folder; leave --split out to evaluate all images")
    chosen = [entry for entry in layout.entries if split in ("all", entry.split)]
    if not chosen:
        found = ", ".join(name for name in SPLITS if layout.indices_of(name))
        raise DataError(f"{root} has no split '{split}'; expected {found} or all")
    classes = tuple(layout.classes[label] for label in sorted({entry.label for entry in chosen}))
    labels = {name: label for label, name in enumerate(classes)}
    entries = tuple(entry._replace(split="test", label=labels[layout.classes[entry.label]]) for entry in chosen)
    return replace(layout, classes=classes, entries=entries)


def name_list(names: Sequence[str], max_names: int = 10) -> str:
    """Returns the names separated by commas; of more than `max_names` the rest is counted."""
    rest = f" and {len(names) - max_names} more" if len(names) > max_names else ""
    return ", ".join(escaped(name) for name in names[:max_names]) + rest


_NO_TEST = "no test "
_SHARED = "the same image is in "


def drawn_note(missing: str, fraction: float, num_images: int, seed: int, *, grouped: bool = False) -> str:
    """Returns the sentence that says that test images were drawn, because the source has no test `folder` or `images`.

    Args:
        missing: what the source has not, such as `test folder`.
        fraction: fraction that was asked for.
        num_images: number of drawn images.
        seed: of the draw.
        grouped: whether whole groups were drawn.
    """
    groups = ", in whole groups" if grouped else ""
    return (
        f"no {missing}: {fraction:.3g} of each class was drawn for testing{groups} ({num_images} images, seed {seed}); "
        "change with --set data.test_fraction=…"
    )


def shared_note(first: str, second: str, duplicates: str) -> str:
    """Returns the sentence that says which images are in two splits."""
    return f"{_SHARED}{first} and {second}: {duplicates}"


def without_drawn_note(notes: Iterable[str]) -> tuple[str, ...]:
    """Returns the notes without those on test images that were drawn, for a dataset where they are drawn again."""
    outdated = (_NO_TEST, f"{_SHARED}train and test", f"{_SHARED}val and test")
    return tuple(note for note in notes if not note.startswith(outdated))


def draw_test(layout: Layout, fraction: float, seed: int) -> Layout:
    """Draws a stratified fraction of train as the test split, where the layout has no test split.

    Args:
        layout: the images of the source.
        fraction: fraction of each class, in (0, 1).
        seed: seed of the draw.

    Raises:
        DataError: when groups make the draw impossible.
        ValueError: when `fraction` is out of range.
    """
    if layout.indices_of("test"):
        return layout
    train = layout.indices_of("train")
    labels = np.array([layout.entries[index].label for index in train], dtype=np.int64)
    groups = [layout.entries[index].group for index in train]
    images = Labels(labels, groups, layout.classes, escaped(str(layout.root)))
    drawn = {train[i] for i in draw(images, fraction, seed, "train and test")[1]}
    entries = [entry._replace(split="test") if index in drawn else entry for index, entry in enumerate(layout.entries)]
    entries.sort(key=lambda entry: SPLITS.index(entry.split))
    note = drawn_note("test folder", fraction, len(drawn), seed, grouped=images.has_groups)
    return replace(layout, entries=tuple(entries), notes=(*layout.notes, note), drawn=("test",))
