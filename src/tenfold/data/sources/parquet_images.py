"""Parquet files of images, as Hugging Face publishes them: an image a row, class names in the metadata."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.registry import did_you_mean
from tenfold.core.text import escaped, plural
from tenfold.data.sources.label_table import LABEL_COLUMNS, named_class, role_of_path, split_named
from tenfold.data.sources.layout import Placed
from tenfold.data.sources.parquet_files import open_parquet, reading_parquet
from tenfold.data.sources.rules import SPLITS, split_role

_IMAGE_COLUMNS = ("image", "img", "picture", "photo", "bytes")
_BATCH = 256
"""Number of images that are in memory at once."""


class ParquetImages:
    """The images of Parquet files.

    Args:
        root: a file, or the folder that holds `files`.
        files: paths in the folder; empty for a single file.
        columns: the columns that the user names, by `file`, `label`, `split` and `group`.

    Raises:
        DataError: when pyarrow is missing, a file is damaged, or images or labels are not found.
    """

    def __init__(self, root: Path, files: Sequence[str], columns: Mapping[str, str]) -> None:
        self._paths = {file: root / file for file in files} if files else {root.name: root}
        self._columns = columns
        self._image = ""
        self._images: list[Placed] = []
        roles = {file: role_of_path(file) or split_role(file.rpartition("/")[2]) for file in self._paths}
        for file in self._paths:
            self._images += self._rows(file, roles[file] if any(roles.values()) else "train")
        ordered = sorted(((SPLITS.index(role), file) for file, role in roles.items() if role))
        named = [f"{escaped(file)} → {SPLITS[split]}" for split, file in ordered]
        self.text = f"{_counted(named) or escaped(root.name)}, label in column {escaped(self._label)}"

    def images(self) -> list[Placed]:
        """Returns every image; its path is its file and its row."""
        return self._images

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yields the path of each of these images and the bytes of its file."""
        wanted = frozenset(paths)
        for file, path in self._paths.items():
            names = (_row_name(file, row) for row in count())
            for name, content in zip(names, chain.from_iterable(_batches(file, path, self._image)), strict=False):
                if name in wanted:
                    yield name, content

    def _rows(self, file: str, role: str) -> Iterator[Placed]:
        """Yields the images of a file; finds its columns."""
        parquet = open_parquet(file, self._paths[file])
        schema, features = parquet.schema_arrow, _features(parquet.schema_arrow)
        self._image = _image_column(file, schema, features)
        self._label = self._label_column(file, schema, features)
        others = {kind: name for kind in ("split", "group") if (name := self._columns.get(kind, kind)) in schema.names}
        with reading_parquet(file):
            table = parquet.read(columns=[self._label, *others.values()])
        names = features.get(self._label, {}).get("names") or ()
        labels = table.column(self._label).to_pylist()
        splits, groups = (
            table.column(others[kind]).to_pylist() if kind in others else [""] * len(labels)
            for kind in ("split", "group")
        )
        for row, (label, split, group) in enumerate(zip(labels, splits, groups, strict=True)):
            where = _row_name(file, row)
            own = split_named(str(split), where) if split else role
            yield Placed(where, own, _class_name(label, names, where), "" if group is None else str(group))

    def _label_column(self, file: str, schema: Any, features: Mapping[str, Any]) -> str:
        """Returns the column of labels: the one that is named, the only one with class names, or one known by name."""
        if "label" in self._columns:
            name = self._columns["label"]
            if name in schema.names:
                return name
            raise DataError(
                f"{escaped(file)} has no column '{escaped(name)}'{did_you_mean(name, schema.names)} "
                f"(it has: {', '.join(map(escaped, schema.names[:12]))})"
            )
        labels = [name for name, feature in features.items() if feature.get("_type") == "ClassLabel"]
        labels = labels or [name for name in schema.names if name.casefold() in (*LABEL_COLUMNS, "labels")]
        if len(labels) == 1:
            return labels[0]
        listed = ", ".join(map(escaped, labels or schema.names[:12]))
        found = "several columns of labels" if labels else "no column that is known as the label"
        example = escaped(labels[0]) if labels else "COLUMN"
        raise DataError(f"{escaped(file)} has {found} ({listed}); name one: --labels label={example}")


def first_images(file: str, path: Path, count: int) -> list[bytes]:
    """Returns the first image files in a Parquet file.

    Args:
        file: what messages call it.
        path: of the file.
        count: how many at most, at least 1.

    Raises:
        DataError: when pyarrow is missing, the file is damaged, or no column holds images.
    """
    schema = open_parquet(file, path).schema_arrow
    column = _image_column(file, schema, _features(schema))
    return next(_batches(file, path, column, count), [])


def _batches(file: str, path: Path, column: str, size: int = _BATCH) -> Iterator[list[bytes]]:
    """Yields the image files in a column of a Parquet file; a missing one is empty."""
    parquet = open_parquet(file, path)
    with reading_parquet(file):
        for batch in parquet.iter_batches(size, columns=[column]):
            values = batch.column(0).to_pylist()
            yield [(value.get("bytes") if isinstance(value, dict) else value) or b"" for value in values]


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """Returns what Hugging Face says about each column; empty where it says nothing."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _image_column(file: str, schema: Any, features: Mapping[str, Any]) -> str:
    """Returns the column of image files, as pyarrow names it for reading: of a struct only its bytes."""
    from pyarrow import types

    structs = [
        field.name for field in schema if types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    binary = [field.name for field in schema if types.is_binary(field.type) or types.is_large_binary(field.type)]
    marked = [name for name, feature in features.items() if feature.get("_type") == "Image"]
    for names in (marked, structs, [name for name in binary if name.casefold() in _IMAGE_COLUMNS], binary):
        usable = [name for name in names if name in structs or name in binary]
        if len(usable) == 1:
            return f"{usable[0]}.bytes" if usable[0] in structs else usable[0]
    raise DataError(
        f"{escaped(file)} has the columns {', '.join(map(escaped, schema.names[:12]))}, and not exactly one of them "
        "holds images; expected a column of image files, as Hugging Face has it (image with bytes)"
    )


def _class_name(label: object, names: Sequence[str], where: str) -> str:
    """Returns the name of a label; empty for a missing one, which Hugging Face writes as −1."""
    if label is None or label == -1:
        return ""
    return named_class(str(label), names if isinstance(label, int) else (), where)


def _row_name(file: str, row: int) -> str:
    return f"{file}/{row:07}"


def _counted(parts: Sequence[str]) -> str:
    return ", ".join(parts[:3]) + (f" and {plural(len(parts) - 3, 'more file')}" if len(parts) > 3 else "")
