"""Lists of pictures whose labels are doubted: written here, edited by people, and honoured without touching a picture.

    picture,split,label,suggested,score,probability_of_label,probability_of_suggested

`picture` is the path that the picture has in its source, or its place among the training pictures where it never was a
file. A list that is read needs no other column, and `suggested` where labels are to be changed.
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
from tenfold.core.disk import shown, translated
from tenfold.core.errors import DataError
from tenfold.core.registry import did_you_mean
from tenfold.data.types import Dataset, Split

_DELIMITERS = ",;\t"  # spreadsheets of half the world write semicolons


class Suspect(NamedTuple):
    """A row of a list.

    Args:
        picture: see `picture_names`.
        split: `train` or `val`.
        label: name of the class that it bears.
        suggested: name of the class that it likelier belongs to.
        score: in [0, 1], of its label; the lower, the more suspicious.
        probability_of_label: in [0, 1], by classifiers that have not learnt from it.
        probability_of_suggested: the same of the suggested class.
    """

    picture: str
    split: str
    label: str
    suggested: str
    score: float
    probability_of_label: float
    probability_of_suggested: float


class Listed(NamedTuple):
    """A line of a list that was read.

    Args:
        line: its number, from 1.
        picture: see `picture_names`.
        split: of the picture, empty where the list does not say.
        suggested: name of a class, empty where it was not asked for.
    """

    line: int
    picture: str
    split: str
    suggested: str


def picture_names(split: Split, name: str) -> tuple[str, ...]:
    """Returns what the pictures of a split are called in a list: N names.

    Args:
        split: N pictures.
        name: `train`, where a picture that never was a file is called by its place, or `val`: `val/0` and so on.
    """
    return split.paths or tuple(str(place) if name == "train" else f"{name}/{place}" for place in range(len(split)))


def write_suspects(path: Path, rows: Sequence[Suspect]) -> None:
    """Writes a list, durably; names may hold commas, quotes, newlines and bytes that are no UTF-8.

    Raises:
        StorageError: when the disk refuses; what was there before stays.
    """
    buffer = io.StringIO(newline="")
    # All text is quoted: Python's csv leaves a carriage return bare otherwise, and could not read it back.
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows([Suspect._fields, *rows])
    durable.write_text(path, buffer.getvalue())


def read_list(path: Path, *columns: str) -> list[Listed]:
    """Returns the lines of a list, as `write_suspects` or a spreadsheet wrote it; empty ones are passed over.

    Args:
        path: of the CSV; its columns may stand in any order, beside others.
        columns: that it must have.

    Raises:
        DataError: when it is missing, is no table, or lacks a column.
        StorageError: when it cannot be read.
    """
    if not path.is_file():
        raise DataError(f"there is no list {shown(path)}; expected a CSV such as `tenfold suspects` writes")
    with translated("read", path):
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    header, *rows = _cells(path, text) or [(1, [])]
    names = [name.strip() for name in header[1]]
    if not set(columns) <= set(names):
        found = ", ".join(names) or "(none)"
        raise DataError(f"{shown(path)} has the columns {found}; expected {' and '.join(columns)}, and perhaps more")
    listed = []
    takes_suggested = "suggested" in columns
    for line, cells in rows:
        if len(cells) != len(names):
            raise DataError(
                f"line {line} of {shown(path)} has another number of cells than line 1: {len(cells)}, "
                f"expected {len(names)}"
            )
        row = dict(zip(names, cells, strict=True))
        listed.append(Listed(line, row["picture"], row.get("split", ""), row["suggested"] if takes_suggested else ""))
    return listed


def _cells(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Returns the lines of a table that hold something, with their numbers."""
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cells)]
    except csv.Error as error:
        raise DataError(f"line {reader.line_num} of {shown(path)} is no CSV: {error}; correct it") from error


Place = tuple[str, int]
"""Where a picture stands: the name of its split, and its place there."""

_CLASSES_TOLD = 20
_NAMES_COMPARED = 1000


def edited(dataset: Dataset, exclude: Path | None, relabel: Path | None) -> Dataset:
    """Returns a dataset without the pictures of one list, and with the labels of another.

    Training pictures may be listed, and those that the source itself sets apart for validation. The fingerprint
    changes with what is changed, whatever else the lists hold.

    Args:
        dataset: as its source has it.
        exclude: list of pictures to leave out, or None.
        relabel: list of pictures whose `suggested` class becomes their label, or None.

    Raises:
        DataError: when a list is missing or no such table, names pictures that are not there or that are tested on, or
            classes that do not exist; when both lists name a picture; when a class is left without a training picture.
        StorageError: when a list cannot be read.
    """
    if exclude is None and relabel is None:
        return dataset
    places = _Places(dataset)
    out = {} if exclude is None else places.of(read_list(exclude, "picture"), exclude)
    new = {} if relabel is None else places.of(read_list(relabel, "picture", "suggested"), relabel)
    _refuse_in_both([row for place, row in out.items() if place in new], exclude, relabel)
    labels = {place: _label(row, dataset.classes, relabel) for place, row in new.items()}
    labels = {place: label for place, label in labels.items() if dataset.splits()[place[0]].labels[place[1]] != label}
    notes = []
    if exclude is not None:
        notes.append(f"{_counted(len(out), 'training picture')} left out by {shown(exclude)}")
    if relabel is not None:
        notes.append(f"{_counted(len(labels), 'training label')} changed by {shown(relabel)}")
    changed = replace(_changed(dataset, out.keys(), labels), notes=(*dataset.notes, *notes))
    _check_classes(dataset, changed, " and ".join(shown(path) for path in (exclude, relabel) if path is not None))
    return changed


class _Places:
    """Where the pictures stand that a list may name."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._tested = frozenset(dataset.test.paths or ())
        self._places = {
            name: (split_name, place)
            for split_name, split in dataset.splits().items()
            for place, name in enumerate(picture_names(split, split_name) if split_name != "test" else ())
        }

    def of(self, rows: list[Listed], path: Path) -> dict[Place, Listed]:
        """Returns the lines of the list at `path` by the places of their pictures."""
        if tested := [row for row in rows if row.split == "test" or row.picture in self._tested]:
            raise DataError(
                f"{_found(tested, 'test picture', path)}: the test set is not edited; delete "
                f"{'that line' if len(tested) == 1 else 'those lines'}"
            )
        if unknown := [row for row in rows if row.picture not in self._places]:
            self._refuse(unknown, path)
        found: dict[Place, Listed] = {}
        for row in rows:
            before = found.setdefault(self._places[row.picture], row)
            if before.suggested != row.suggested:
                raise DataError(
                    f"{shown(path)} lists '{row.picture}' twice, in line {before.line} as '{before.suggested}' and in "
                    f"line {row.line} as '{row.suggested}'; delete one of them"
                )
        return found

    def _refuse(self, unknown: list[Listed], path: Path) -> NoReturn:
        names = list(self._places)
        folder, _, file = unknown[0].picture.rpartition("/")
        near = [name for name in names if name.endswith(f"/{file}")] or [name for name in names if folder in name]
        hint = did_you_mean(unknown[0].picture, near[:_NAMES_COMPARED])
        if self._dataset.train.paths is None:
            hint = f", whose pictures are called 0 to {len(self._dataset.train) - 1}"
        raise DataError(
            f"{_found(unknown, 'picture', path)}: no such training {'picture' if len(unknown) == 1 else 'pictures'} in "
            f"{self._dataset.name}{hint or f'; expected names such as {names[0]}'}"
        )


def _found(rows: list[Listed], noun: str, path: Path) -> str:
    """Returns what was found in a list, and where first."""
    first = f"'{rows[0].picture}' in line {rows[0].line}"
    return f"{shown(path)} lists {_counted(len(rows), noun)}, {'' if len(rows) == 1 else 'the first '}{first}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _refuse_in_both(rows: list[Listed], exclude: Path | None, relabel: Path | None) -> None:
    """Raises DataError where pictures, told by their lines in the first list, stand in the second too."""
    if rows and exclude is not None and relabel is not None:
        raise DataError(
            f"{_found(rows, 'picture', exclude)}, that {shown(relabel)} lists too; a picture is either left out or "
            "given another label, so delete it from one of them"
        )


def _label(row: Listed, classes: tuple[str, ...], path: Path | None) -> int:
    """Returns the label that a line suggests."""
    if row.suggested in classes:
        return classes.index(row.suggested)
    where = f"line {row.line} of {shown(path or Path())}"
    if not row.suggested.strip():
        raise DataError(f"{where} leaves `suggested` empty; write a class there, or delete the line")
    known = ", ".join(classes[:_CLASSES_TOLD]) + ", …" * (len(classes) > _CLASSES_TOLD)
    raise DataError(
        f"{where} suggests the class '{row.suggested}', which there is not{did_you_mean(row.suggested, classes)} "
        f"(classes: {known})"
    )


def _changed(dataset: Dataset, out: Collection[Place], labels: Mapping[Place, int]) -> Dataset:
    """Returns the dataset with other labels, and without the pictures at `out`; the order stays."""
    if not out and not labels:
        return dataset
    splits = dataset.splits()
    for name, split in splits.items():
        given = split.labels.copy()
        for place, label in labels.items():
            if place[0] == name:
                given[place[1]] = label
        kept = np.ones(len(split), bool)
        kept[[place for split_name, place in out if split_name == name]] = False
        split = replace(split, labels=given)
        splits[name] = split if kept.all() else split.subset(np.flatnonzero(kept))
    text = f"{dataset.fingerprint} without {sorted(out)} with {sorted(labels.items())}"
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    val = splits.get("val")
    return replace(dataset, train=splits["train"], val=val if val and len(val) else None, fingerprint=fingerprint)


def _check_classes(before: Dataset, after: Dataset, lists: str) -> None:
    """Raises DataError where a class has lost its last training picture."""
    for label in np.setdiff1d(before.train.labels, after.train.labels)[:1]:
        raise DataError(
            f"no training picture of '{before.classes[label]}' is left by {lists}; expected at least one of each class"
        )
