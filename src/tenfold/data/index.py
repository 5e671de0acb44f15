"""What a store knows beside pixels and labels, and how that is written down."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tenfold.core import durable
from tenfold.core.disk import shown
from tenfold.core.errors import DataError

FORMAT = 1


@dataclass(frozen=True)
class Index:
    """What a store knows beside pixels, labels and paths.

    Args:
        name: the name of the dataset.
        classes: class names in the order of the labels.
        fit: how pictures were brought to size.
        source: where they came from, for people.
        pictures: number of pictures in each split.
        skipped: path and reason of every file that was left out, unreadable pictures among them.
        notes: sentences that a user should read.
        created: when the store was made, UTC.
        format: version of this layout.
    """

    name: str
    classes: tuple[str, ...]
    fit: str
    source: str
    pictures: dict[str, int]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    created: str = ""
    format: int = FORMAT


def write_index(folder: Path, index: Index, paths: dict[str, list[str] | None]) -> None:
    """Writes what makes splits a store.

    Args:
        folder: the folder that is being filled.
        index: `created` is filled in here.
        paths: for each split the names of its pictures, or None where they never were files.

    Raises:
        StorageError: when the disk refuses.
    """
    stamped = replace(index, created=datetime.now(UTC).isoformat(timespec="seconds"))
    durable.write_json(folder / "paths.json", paths)
    durable.write_json(folder / "index.json", asdict(stamped))


def read_index(path: Path) -> Index:
    """Returns the index of the store at `path`.

    Raises:
        OSError: when it cannot be read.
        DataError: when it was written by another version.
        ValueError, TypeError: when it makes no sense.
    """
    value = json.loads((path / "index.json").read_bytes())
    if value.get("format") != FORMAT:
        raise DataError(f"{shown(path)} has format {value.get('format')}; expected {FORMAT}")
    for key in ("classes", "notes"):
        value[key] = tuple(value[key])
    value["skipped"] = tuple((str(name), str(reason)) for name, reason in value["skipped"])
    return Index(**value)
