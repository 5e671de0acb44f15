"""Lists of pictures whose labels are doubted: written here, edited by people, and honoured without touching a picture.

    picture,split,label,suggested,score,probability_of_label,probability_of_suggested

`picture` is the path that the picture has in its source, or its place among the training pictures where it never was a
file. A list that is read needs no other column, and `suggested` where labels are to be changed.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tenfold.core import durable
from tenfold.core.disk import shown, translated
from tenfold.core.errors import DataError
from tenfold.data.types import Split

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
