"""Lists of training images with doubtful labels: written here, edited by people, and applied to a dataset.

    path,split,label,suggested,score,probability_of_label,probability_of_suggested

`path` is the path of the image in its source, or its index in the train split where it never was a file; older lists
call the column `picture`. A list that is read needs only `path`, and `suggested` to change labels. Image files never
change.
"""

import csv
import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from tenfold.core import durable
from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import DataError
from tenfold.core.registry import did_you_mean
from tenfold.core.text import plural
from tenfold.data.sources.layout import name_list
from tenfold.data.sources.tables import Row, check_cells, csv_rows
from tenfold.data.types import Dataset, Split


class Suspect(NamedTuple):
    """A row of a list that is written.

    Args:
        path: see `image_names`.
        split: `train` or `val`.
        label: name of the class in the dataset.
        suggested: name of the most likely class.
        score: score of the label, in [0, 1]; the lower, the more suspicious.
        probability_of_label: predicted probability of the label, by classifiers that were not trained on the image.
        probability_of_suggested: predicted probability of the suggested class.
    """

    path: str
    split: str
    label: str
    suggested: str
    score: float
    probability_of_label: float
    probability_of_suggested: float


class ListRow(NamedTuple):
    """A row of a list that was read.

    Args:
        line: line number, from 1.
        path: see `image_names`.
        split: split of the image, or empty.
        suggested: name of a class; empty where the column was not asked for.
    """

    line: int
    path: str
    split: str
    suggested: str


def image_names(split: Split, name: str) -> tuple[str, ...]:
    """Returns the names of the images of a split in a list.

    Args:
        split: N images.
        name: `train` or `val`.

    Returns:
        N names: their paths, or their indices where they never were files (`0` in train, `val/0` in val).
    """
    return tuple(split.paths or ()) or tuple(
        str(index) if name == "train" else f"{name}/{index}" for index in range(len(split))
    )


def write_suspects(path: Path, rows: Sequence[Suspect]) -> None:
    """Writes a list durably; names may contain commas, quotes, newlines and bytes that are not UTF-8.

    Raises:
        StorageError: when the disk refuses; an existing file is then unchanged.
    """
    buffer = io.StringIO(newline="")
    # All text is quoted: otherwise Python's csv writes a carriage return bare, and cannot read it back.
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows([Suspect._fields, *rows])
    durable.write_text(path, buffer.getvalue())


def read_list(path: Path, *columns: str) -> list[ListRow]:
    """Returns the rows of a list that `write_suspects` or a spreadsheet wrote, without empty ones.

    Args:
        path: the CSV file; its columns may have any order, and there may be others.
        columns: required columns.

    Raises:
        DataError: when it is missing, is no table, or lacks a column.
        StorageError: when it cannot be read.
    """
    if not path.is_file():
        raise DataError(f"there is no list {display_path(path)}; expected a CSV such as `tenfold suspects` writes")
    with storage_errors("read", path):
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    header, *rows = csv_rows(str(path), text) or [Row(1, [])]
    names = [name.strip() for name in header.cells]
    if "path" not in names:
        names = ["path" if name == "picture" else name for name in names]
    if not set(columns) <= set(names):
        found = ", ".join(names) or "(none)"
        raise DataError(
            f"{display_path(path)} has the columns {found}; expected {' and '.join(columns)}, and perhaps others"
        )
    listed = []
    for line, cells in rows:
        check_cells(str(path), Row(line, cells), names)
        row = dict(zip(names, cells, strict=True))
        suggested = row["suggested"] if "suggested" in columns else ""
        listed.append(ListRow(line, row["path"], row.get("split", ""), suggested))
    return listed


Position = tuple[str, int]
"""The position of an image: the name of its split, and its index there."""

_MAX_CLASSES_NAMED = 20
_MAX_NAMES_COMPARED = 1000


def apply_lists(dataset: Dataset, exclude: Path | None, relabel: Path | None) -> Dataset:
    """Returns a dataset without the images of one list, and with the labels of another.

    Images of train may be listed, and of a validation split that the source has. The fingerprint depends on what
    changes, not on anything else in the lists.

    Args:
        dataset: the dataset of a source.
        exclude: list of images to leave out, or None.
        relabel: list of images whose `suggested` class becomes their label, or None.

    Raises:
        DataError: when a list is missing or invalid, names unknown images, test images or unknown classes; when both
            lists name an image; when a class has no training image left.
        StorageError: when a list cannot be read.
    """
    if exclude is None and relabel is None:
        return dataset
    images = _ListableImages(dataset)
    excluded = {} if exclude is None else images.positions(read_list(exclude, "path"), exclude)
    relabeled = {} if relabel is None else images.positions(read_list(relabel, "path", "suggested"), relabel)
    _check_disjoint([row for position, row in excluded.items() if position in relabeled], exclude, relabel)
    splits = dataset.splits()
    labels = {position: _label(row, dataset.classes, relabel) for position, row in relabeled.items()}
    changed_labels = {
        (split, index): label for (split, index), label in labels.items() if splits[split].labels[index] != label
    }
    notes = []
    if exclude is not None:
        notes.append(f"{plural(len(excluded), 'training image')} left out by {display_path(exclude)}")
    if relabel is not None:
        notes.append(f"{plural(len(changed_labels), 'training label')} changed by {display_path(relabel)}")
    changed = replace(_changed(dataset, excluded.keys(), changed_labels), notes=(*dataset.notes, *notes))
    lists = " and ".join(display_path(path) for path in (exclude, relabel) if path is not None)
    for label in np.setdiff1d(dataset.train.labels, changed.train.labels)[:1]:
        raise DataError(
            f"{lists} leaves no training image of '{dataset.classes[label]}'; expected at least one of each class"
        )
    return changed


class _ListableImages:
    """The images that a list may name, by their names."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._test_paths = frozenset(dataset.test.paths or ())
        self._positions = {
            name: (split_name, index)
            for split_name, split in dataset.splits().items()
            for index, name in enumerate(image_names(split, split_name) if split_name != "test" else ())
        }

    def positions(self, rows: list[ListRow], path: Path) -> dict[Position, ListRow]:
        """Returns the rows of the list at `path` by the positions of their images."""
        if tested := [row for row in rows if row.split == "test" or row.path in self._test_paths]:
            raise DataError(
                f"{_found(tested, 'test image', path)}: the test set cannot be edited; delete "
                f"{'that line' if len(tested) == 1 else 'those lines'}"
            )
        if unknown := [row for row in rows if row.path not in self._positions]:
            self._refuse(unknown, path)
        found: dict[Position, ListRow] = {}
        for row in rows:
            first = found.setdefault(self._positions[row.path], row)
            if first.suggested != row.suggested:
                raise DataError(
                    f"{display_path(path)} lists '{row.path}' twice, in line {first.line} as '{first.suggested}' and "
                    f"in line {row.line} as '{row.suggested}'; delete one of them"
                )
        return found

    def _refuse(self, unknown: list[ListRow], path: Path) -> NoReturn:
        names = list(self._positions)
        folder, _, file = unknown[0].path.rpartition("/")
        similar = [name for name in names if name.endswith(f"/{file}")] or [name for name in names if folder in name]
        hint = did_you_mean(unknown[0].path, similar[:_MAX_NAMES_COMPARED])
        if self._dataset.train.paths is None:
            hint = f", whose images are called 0 to {len(self._dataset.train) - 1}"
        raise DataError(
            f"{_found(unknown, 'image', path)}: no such training {'image' if len(unknown) == 1 else 'images'} in "
            f"{self._dataset.name}{hint or f'; expected names such as {names[0]}'}"
        )


def _found(rows: list[ListRow], noun: str, path: Path) -> str:
    """Returns what was found in a list, with the first of it."""
    first = f"'{rows[0].path}' in line {rows[0].line}"
    return f"{display_path(path)} lists {plural(len(rows), noun)}, {'' if len(rows) == 1 else 'the first '}{first}"


def _check_disjoint(rows: list[ListRow], exclude: Path | None, relabel: Path | None) -> None:
    """Raises DataError where images are in both lists; `rows` are their rows in the first."""
    if rows and exclude is not None and relabel is not None:
        raise DataError(
            f"{_found(rows, 'image', exclude)}, and {display_path(relabel)} lists it too; an image is either left out "
            "or relabeled, so delete it from one of them"
        )


def _label(row: ListRow, classes: tuple[str, ...], path: Path | None) -> int:
    """Returns the label that a row suggests."""
    if row.suggested in classes:
        return classes.index(row.suggested)
    where = f"line {row.line} of {display_path(path or Path())}"
    if not row.suggested.strip():
        raise DataError(f"{where} leaves `suggested` empty; write a class there, or delete the line")
    raise DataError(
        f"{where} suggests the unknown class '{row.suggested}'{did_you_mean(row.suggested, classes)} "
        f"(classes: {name_list(classes, _MAX_CLASSES_NAMED)})"
    )


def _changed(dataset: Dataset, excluded: Collection[Position], labels: Mapping[Position, int]) -> Dataset:
    """Returns the dataset with other labels and without the excluded images; the order stays."""
    if not excluded and not labels:
        return dataset
    splits = dataset.splits()
    for name, split in splits.items():
        new_labels = split.labels.copy()
        for (split_name, index), label in labels.items():
            if split_name == name:
                new_labels[index] = label
        kept = np.ones(len(split), bool)
        kept[[index for split_name, index in excluded if split_name == name]] = False
        split = replace(split, labels=new_labels)
        splits[name] = split if kept.all() else split.subset(np.flatnonzero(kept))
    text = f"{dataset.fingerprint} without {sorted(excluded)} with {sorted(labels.items())}"
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    val = splits.get("val")
    return replace(dataset, train=splits["train"], val=val if val and len(val) else None, fingerprint=fingerprint)
