"""Label tables: which column is which, and which image a row names."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from posixpath import splitext
from typing import NamedTuple

from tenfold.core.errors import DataError
from tenfold.core.registry import did_you_mean
from tenfold.core.text import escaped
from tenfold.data.sources.rules import COLUMNS, SPLITS, split_role
from tenfold.data.sources.tables import Table

FILE_COLUMNS = ("file_name", "filename", "file", "image", "image_name", "image_id", "path", "id")
LABEL_COLUMNS = ("label", "class", "target", "category")
_KNOWN = {"file": FILE_COLUMNS, "label": LABEL_COLUMNS, "split": ("split",), "group": ("group",)}


class LabelTable(NamedTuple):
    """A table of labels.

    Args:
        table: its rows.
        columns: index of the column of each of `file`, `label`, `split` and `group` that it has.
        folder: folder of the source that its file names count from.
    """

    table: Table
    columns: Mapping[str, int]
    folder: str = ""

    @property
    def text(self) -> str:
        """Which columns are used, for people."""
        names = {kind: escaped(self.table.columns[index]) for kind, index in self.columns.items()}
        more = "".join(f", {kind} in {names[kind]}" for kind in ("split", "group") if kind in names)
        return f"column {names['label']} of {escaped(self.table.name)}, files in {names['file']}{more}"


def label_table(table: Table, named: Mapping[str, str], folder: str = "") -> LabelTable:
    """Returns a table with the columns that are used.

    Args:
        table: the table.
        named: the columns that the user names, by `file`, `label`, `split` and `group`; others are found by name.
        folder: see `LabelTable`.

    Raises:
        DataError: when a column is missing, or several may be the label.
    """
    columns = {}
    for kind in COLUMNS:
        found = _named_column(table, kind, named[kind]) if kind in named else known_columns(table, kind)
        if len(found) > 1 and kind == "label":
            raise DataError(
                f"{escaped(table.name)} has several columns that may be the label "
                f"({', '.join(escaped(table.columns[index]) for index in found)}); name one: "
                f"--labels '{escaped(table.name)}:label={escaped(table.columns[found[0]])}'"
            )
        if found:
            columns[kind] = found[0]
    missing = [kind for kind in ("file", "label") if kind not in columns]
    if missing:
        listed = ", ".join(map(escaped, table.columns[:12])) or "(none)"
        asked = ",".join(f"{kind}=COLUMN" for kind in missing)
        raise DataError(
            f"{escaped(table.name)} has the columns {listed}, and none is known as the {' or the '.join(missing)}; "
            f"expected {' and '.join(', '.join(_KNOWN[kind]) for kind in missing)} in the first line, or name it: "
            f"--labels '{escaped(table.name)}:{asked}'"
        )
    return LabelTable(table, columns, folder)


def _named_column(table: Table, kind: str, name: str) -> list[int]:
    if name in table.columns:
        _check_unique(table, name, table.columns)
        return [table.columns.index(name)]
    raise DataError(
        f"{escaped(table.name)} has no column '{escaped(name)}' for {kind}{did_you_mean(name, table.columns)} "
        f"(it has: {', '.join(map(escaped, table.columns[:12]))})"
    )


def known_columns(table: Table, kind: str) -> list[int]:
    """Returns the columns that are known by name as `file`, `label`, `split` or `group`, the best known first."""
    names = [column.casefold().strip() for column in table.columns]
    found = [known for known in _KNOWN[kind] if known in names]
    for name in found[:1]:
        _check_unique(table, name, names)
    return [names.index(known) for known in found]


def _check_unique(table: Table, name: str, names: Sequence[str]) -> None:
    """Raises DataError where several columns have the name of the one that is read."""
    if names.count(name) > 1:
        raise DataError(
            f"{escaped(table.name)} has {names.count(name)} columns named '{escaped(name)}', expected one; rename or "
            "remove the others"
        )


class ImageFinder:
    """Finds images by what people write for them: a path, the end of a path, a file name, or one without suffix.

    Args:
        paths: paths of the images in their source.
        source: name of the source, from which on a path may be written: `/home/me/pets/a.jpg` is in `pets`.
    """

    def __init__(self, paths: Iterable[str], source: str = "") -> None:
        self._paths = frozenset(paths)
        self._source = source

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[str]]:
        return _grouped((path.rpartition("/")[2], path) for path in self._paths)

    @cached_property
    def _by_stem(self) -> Mapping[str, Sequence[str]]:
        return _grouped((splitext(path)[0].rpartition("/")[2], path) for path in self._paths)

    def find(self, written: str, folder: str = "", role: str = "") -> Sequence[str]:
        """Returns the images that a text may name.

        Args:
            written: what a row says.
            folder: folder that the text counts from, if an image is there.
            role: split whose folders are preferred where several images have the name.
        """
        name = written.strip().replace("\\", "/").removeprefix("./").strip("/")
        for exact in (f"{folder}/{name}", name) if folder else (name,):
            if exact in self._paths:
                return [exact]
        last = name.rpartition("/")[2]
        found = self._by_name.get(last) or self._by_stem.get(last) or []
        if "/" in name:
            found = [path for path in found if _ends(path, name)]
            _, source, inside = f"/{name}".rpartition(f"/{self._source}/")
            if not found and self._source and source:
                return self.find(inside, folder, role)
        if len(found) > 1 and (folder or role):
            preferred = [path for path in found if path.startswith(f"{folder}/")] if folder else []
            preferred = preferred or [path for path in found if role and role_of_path(path) == role]
            found = preferred or found
        return sorted(found)


def _grouped(pairs: Iterable[tuple[str, str]]) -> Mapping[str, Sequence[str]]:
    groups: dict[str, list[str]] = {}
    for name, path in pairs:
        if name in groups:
            groups[name].append(path)
        else:
            groups[name] = [path]
    return groups


def _ends(path: str, name: str) -> bool:
    return any(f"/{each}".endswith(f"/{name}") for each in (path, splitext(path)[0]))


def role_of_path(path: str) -> str:
    """Returns the split that the outermost folder with such a name stands for, or an empty text."""
    return next((role for folder in path.split("/")[:-1] if (role := split_role(folder))), "")


def named_class(label: str, names: Sequence[str], where: str) -> str:
    """Returns the class that a label stands for.

    Args:
        label: what is written for it.
        names: name of each numeric label, from 0; empty to take the label as it is.
        where: where it is written, for the message.

    Raises:
        DataError: when it is no number of a name, or several labels.
    """
    if label.startswith(('["', "['", '{"')):  # a list or an object of JSON lines or Parquet, or a list that was printed
        raise DataError(
            f"{where} has the label '{escaped(label)}', which is no single class; expected one for each image"
        )
    if not names:
        return label
    if label.isdecimal() and int(label) < len(names):
        return names[int(label)]
    raise DataError(
        f"{where} has the label '{escaped(label)}'; expected a number from 0 to {len(names) - 1}, one for each name"
    )


def split_named(text: str, where: str) -> str:
    """Returns the split that a cell names.

    Raises:
        DataError: when it names none.
    """
    if role := split_role(text):
        return role
    raise DataError(f"{where} has the split '{escaped(text)}'; expected {', '.join(SPLITS)}, or names with these words")
