"""Finds the files that hold labels: the table that the user names, or the metadata of Hugging Face in the source."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tenfold.core.disk import expanded, storage_errors
from tenfold.core.errors import DataError
from tenfold.core.registry import did_you_mean
from tenfold.core.text import escaped, plural
from tenfold.data.sources.folder_layout import FoundFiles
from tenfold.data.sources.label_table import LABEL_COLUMNS, LabelTable, label_table
from tenfold.data.sources.rules import LabelRule, parse_labels
from tenfold.data.sources.tables import Table, decoded, is_table_name, read_table

ReadFile = Callable[[str], bytes]
"""Returns the bytes of a file of the source by its path there."""

_METADATA = ("metadata.csv", "metadata.jsonl")
"""Names of the tables that Hugging Face puts beside images, with a column `file_name`."""


def tables_in(found: FoundFiles) -> list[str]:
    """Returns the paths of the tables among the files of a source."""
    return [file.path for file in found.skipped if is_table_name(file.path)]


def is_metadata(path: str) -> bool:
    """Returns whether a file has the name of Hugging Face's metadata."""
    return path.rpartition("/")[2] in _METADATA


def named_tables(root: Path, found: FoundFiles, rule: LabelRule, read: ReadFile) -> list[LabelTable]:
    """Returns the table that a rule names; without a name, the metadata in the source.

    Raises:
        DataError: when there is none, it is no table, or lacks a column.
        StorageError: when it cannot be read.
    """
    if not rule.table:
        tables = [_in_source(path, read) for path in tables_in(found) if is_metadata(path)]
        if not tables:
            raise DataError(
                f"columns were named (data.labels, data.group) and no table, but {escaped(str(root))} has no "
                f"{' or '.join(_METADATA)}; expected a table: --labels 't.csv:label=COLUMN'"
            )
    else:
        tables = [_table(root, found, rule.table, read)]
    return [label_table(table, rule.columns, folder) for table, folder in tables]


def metadata_tables(found: FoundFiles, read: ReadFile) -> list[LabelTable]:
    """Returns the metadata of Hugging Face in a source; nothing where it has no labels.

    Raises:
        DataError: when it is damaged, or several columns may be the label.
    """
    tables = [_in_source(path, read) for path in tables_in(found) if is_metadata(path)]
    known = [(table, folder) for table, folder in tables if "file_name" in table.columns and _has_label(table)]
    return [label_table(table, {}, folder) for table, folder in known]


def _has_label(table: Table) -> bool:
    return any(column.casefold().strip() in LABEL_COLUMNS for column in table.columns)


def _in_source(path: str, read: ReadFile) -> tuple[Table, str]:
    """Returns a table of the source and the folder that its file names count from."""
    return read_table(path, read(path)), path.rpartition("/")[0]


def _table(root: Path, found: FoundFiles, name: str, read: ReadFile) -> tuple[Table, str]:
    inside = [path for path in tables_in(found) if f"/{path}".endswith(f"/{name.removeprefix('./')}")]
    if inside:
        return _in_source(min(inside, key=lambda path: path.count("/")), read)
    path = file_of(root, name)
    if path is None:
        others = tables_in(found)
        known = f" (it has: {', '.join(map(escaped, others[:5]))})" if others else ""
        raise DataError(
            f"there is no table {escaped(name)}, neither in {escaped(str(root))}{known} nor in the current "
            f"folder{did_you_mean(name, others)}; expected the path of a CSV, TSV, JSONL or Parquet file"
        )
    with storage_errors("read", path):
        content = path.read_bytes()
    inner = _name_in_source(root, str(path))
    return read_table(inner, content), "" if inner == str(path) else inner.rpartition("/")[0]


def _name_in_source(root: Path, name: str) -> str:
    """Returns the path in a folder of one of its files, and the name of another file unchanged."""
    path, folder = Path(name).absolute(), root.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else name


def file_of(root: Path, name: str) -> Path | None:
    """Returns the file that a setting names: in the source where that is a folder, else by its path; or None."""
    places = [root / name, expanded(name)] if root.is_dir() else [expanded(name)]
    return next((place for place in places if place.is_file()), None)


def labels_key(text: str, root: Path) -> str:
    """Returns the setting `data.labels` without the places of its files, whose content decides."""
    return _with_files(text, lambda name: _name_in_source(root, str(file_of(root, name) or name)).rpartition("/")[2])


def labels_from(text: str, root: Path) -> str:
    """Returns the setting `data.labels` with the absolute paths of its files, as far as they are there.

    Args:
        text: the setting.
        root: the source, whose own files may be named by their path in it.
    """
    return _with_files(text, lambda name: str(found.absolute()) if (found := file_of(root, name)) else name)


def moved_labels(text: str, before: Path, root: Path) -> str:
    """Returns the setting `data.labels` for a source that has moved: its files that lay in it have moved too.

    Args:
        text: the setting, with absolute paths.
        before: the source as it was.
        root: the source as it is.
    """

    def moved(name: str) -> str:
        path = Path(name)
        is_moved = not path.is_file() and path.is_relative_to(before)
        return str(root / path.relative_to(before)) if is_moved else name

    return _with_files(text, moved)


def _with_files(text: str, change: Callable[[str], str]) -> str:
    rule = parse_labels(text)
    if rule is None or rule.pattern:
        return text
    return replace(rule, table=rule.table and change(rule.table), names=rule.names and change(rule.names)).text


def label_names(root: Path, rule: LabelRule | None) -> Sequence[str]:
    """Returns the name of each numeric label, one a line of the file that a rule names; empty without one.

    Raises:
        DataError: when the file is missing or holds fewer than two names.
        StorageError: when it cannot be read.
    """
    if rule is None or not rule.names:
        return ()
    path = file_of(root, rule.names)
    if path is None:
        raise DataError(
            f"there is no file {escaped(rule.names)} of class names; expected one name a line, for the labels 0, 1, …"
        )
    with storage_errors("read", path):
        content = path.read_bytes()
    names = [name.strip() for name in decoded(rule.names, content).split("\n")]
    while names and not names[-1]:
        names.pop()
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise DataError(
            f"{escaped(rule.names)} holds {plural(len(names), 'name')}; expected two or more different ones, one a line"
        )
    return names


def files_on_disk(root: Path, listing: Sequence[str], rule: LabelRule | None) -> Iterator[Path]:
    """Yields the files whose content decides the labels, beside the images and the archive.

    Args:
        root: the source.
        listing: paths of the files of a folder.
        rule: where labels come from.
    """
    yield from (root / path for path in listing if is_metadata(path))
    for name in (rule.table, rule.names) if rule else ():
        if name and (path := file_of(root, name)):
            yield path
