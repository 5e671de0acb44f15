"""Proposes a flag for images without class folders: a table that names them, or a pattern that their names follow.

A proposal is made only where it works: the table or the pattern was tried on the files.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, natural_key, plural
from tenfold.data.sources.folder_layout import FoundFiles
from tenfold.data.sources.label_files import ReadFile, tables_in
from tenfold.data.sources.label_table import ImageFinder, LabelTable, known_columns, label_table
from tenfold.data.sources.layout import Layout, name_list
from tenfold.data.sources.tables import Table, read_table

_BEFORE_NUMBER = r"^(?P<label>[^0-9].*?)[ _.-]*[0-9]+\.[^.]+$"
_PATTERNS = (
    r"^(?P<label>[a-z]+)",
    r"^(?P<label>[A-Za-z]+)",
    _BEFORE_NUMBER,
    r"^[0-9]+[ _-](?P<label>[A-Za-z]+)",
)
"""The label is the beginning of the name, all before the last number, or what follows the first number."""

_MIN_MATCHED = 0.95
_MAX_TABLES = 5
_MAX_ROWS_TRIED = 2000


def proposal(found: FoundFiles, read: ReadFile) -> str:
    """Returns the part of a message that proposes where labels may come from; empty where nothing fits."""
    tables = [table for _, table in sorted(_usable_tables(found, read), key=lambda item: -item[0])]
    if tables:
        return f"; {escaped(tables[0][0])} labels them: --labels '{tables[0][1]}'"
    whole = _labels_of(_BEFORE_NUMBER, found.images)  # `great_dane_1.jpg` is no `great`
    for pattern in _PATTERNS:
        names = _labels_of(pattern, found.images)
        if names and names == (whole or names):
            some = name_list(sorted(names, key=natural_key), 3)
            return f"; the names of the files look like labels ({some}): --labels 'name:{pattern}'"
    return ""


def _usable_tables(found: FoundFiles, read: ReadFile) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yields the number of matched rows, the name and the flag of each table that labels images."""
    finder = ImageFinder(found.images, found.name)
    for path in tables_in(found)[:_MAX_TABLES]:
        if "submission" in path.casefold():  # what competitions call a table of made-up labels
            continue
        with suppress(DataError):
            table = read_table(path, read(path))
            for flag, columns in _column_choices(table):
                matched = _matched(label_table(table, columns), finder)
                if matched >= _MIN_MATCHED * min(len(table.rows), _MAX_ROWS_TRIED):
                    yield matched, (path, f"{path}{flag}")
                    break


def _column_choices(table: Table) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the columns to try: those known by name, else the other one of a table of two."""
    yield "", {}
    if len(table.columns) == 2:
        for file, label in (table.columns, table.columns[::-1]):
            yield f":file={file},label={label}", {"file": file, "label": label}


def _matched(table: LabelTable, finder: ImageFinder) -> int:
    """Returns how many of the first rows name an image, or 0 where their labels are no classes."""
    file, label = table.columns["file"], table.columns["label"]
    rows = [row.cells for row in table.table.rows[:_MAX_ROWS_TRIED]]
    labels = Counter(cells[label] for cells in rows)
    is_class = 2 <= len(labels) <= max(2, len(rows) // 2)
    return sum(bool(finder.find(cells[file])) for cells in rows) if is_class else 0


def _labels_of(pattern: str, images: Sequence[str]) -> Counter[str]:
    """Returns the number of images of each label by a pattern; empty where it does not fit nearly all names."""
    folders: dict[str, list[str]] = {}
    for path in images:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, []).append(name)
    labels: Counter[str] = Counter()
    for names in folders.values():
        of_names = [match["label"] for name in names if (match := re.search(pattern, name))]
        if of_names and len(of_names) < _MIN_MATCHED * len(names):
            return Counter()
        labels.update(of_names)
    return labels if len(labels) >= 2 and min(labels.values()) >= 2 else Counter()


def disagreement(found: FoundFiles, layout: Layout, read: ReadFile) -> str:
    """Returns the error message where a table beside class folders says that they are no classes; else empty.

    Args:
        found: the files of a source.
        layout: how its folders were understood.
        read: reads one of its files.
    """
    tables = tables_in(found)[:_MAX_TABLES]
    classes = {entry.path: entry.label for entry in layout.entries} if tables else {}
    finder = ImageFinder(classes, found.name)
    for path in tables:
        with suppress(DataError):
            table = label_table(read_table(path, read(path)), {})
            if _matched(table, finder) < _MIN_MATCHED * min(len(table.table.rows), _MAX_ROWS_TRIED):
                continue
            pairs = set(_pairs(table, finder, classes))
            if len(pairs) > max(len({pair[side] for pair in pairs}) for side in (0, 1)):
                folders = plural(len(layout.classes), "folder")
                return (
                    f"has {folders} with images, and {escaped(path)} labels these images otherwise: which are the "
                    f"classes? --labels '{escaped(path)}' takes the table, --classes-are-folders the folders"
                )
    return ""


def unused_table(found: FoundFiles, read: ReadFile) -> str:
    """Returns a note on a table beside class folders that names their images and has no column known as the label."""
    tables = tables_in(found)[:_MAX_TABLES]
    finder = ImageFinder(found.images if tables else (), found.name)
    for path in tables:
        with suppress(DataError):
            table = read_table(path, read(path))
            files = known_columns(table, "file")
            rows = table.rows[:_MAX_ROWS_TRIED]
            if not files or known_columns(table, "label") or not rows:
                continue
            if sum(bool(finder.find(row.cells[files[0]])) for row in rows) >= _MIN_MATCHED * len(rows):
                return (
                    f"{escaped(path)} names these images and was not used; for labels from it: "
                    f"--labels '{escaped(path)}:label=COLUMN'"
                )
    return ""


def _pairs(table: LabelTable, finder: ImageFinder, classes: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yields the label in the table and the class by folder of each image that a row names."""
    for row in table.table.rows[:_MAX_ROWS_TRIED]:
        for path in finder.find(row.cells[table.columns["file"]])[:1]:
            yield row.cells[table.columns["label"]], classes[path]
