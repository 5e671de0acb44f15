"""Finds the runs and sweeps in a folder, newest first, and what the name `last` stands for."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import RunError
from tenfold.core.registry import did_you_mean

LAST = "last"
"""The name of the newest run in `DEFAULT_FOLDER`, unless there is a file or folder of that name."""

DEFAULT_FOLDER = Path("runs")

_NAMES_SHOWN = 5

_RESULTS = ("best.safetensors", "last.safetensors")
"""Files that only a run has."""

Kind = Literal["run", "sweep"]


class FoundFolder(NamedTuple):
    """A run folder or sweep folder.

    Args:
        started: when it was started, UTC, without fractions of a second.
        path: the folder.
        kind: what it holds.
    """

    started: datetime
    path: Path
    kind: Kind


def kind_of(path: Path) -> Kind | None:
    """Returns whether a folder is that of a run or of a sweep; None if it is neither."""
    return "sweep" if (path / "sweep.json").is_file() else "run" if (path / "recipe.toml").is_file() else None


def newest_first(folder: Path) -> list[FoundFolder]:
    """Returns the runs and sweeps directly in a folder; none if it does not exist.

    Raises:
        StorageError: when the folder cannot be read.
    """
    with storage_errors("read", folder):
        return sorted(_found(folder), reverse=True) if folder.is_dir() else []


def _found(folder: Path) -> Iterator[FoundFolder]:
    for path in folder.iterdir():
        kind = kind_of(path)
        if kind is None and any((path / name).is_file() for name in _RESULTS):
            kind = "run"  # one that has lost its recipe must not vanish from a list
        if kind is not None:
            yield FoundFolder(_start_of(path), path, kind)


def _start_of(path: Path) -> datetime:
    """Returns the start time in `env.json`, or the time of the last change of the folder where it is damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        started = datetime.fromisoformat(json.loads((path / "env.json").read_bytes())["started_utc"])
        return started.astimezone(UTC)
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)


def named(path: Path, *kinds: Kind) -> Path:
    """Returns the folder that a path stands for: itself, or for `last` the newest run in `DEFAULT_FOLDER`.

    Args:
        path: as the user wrote it.
        kinds: of the folders that `last` may stand for.

    Raises:
        RunError: when it is `last` and there is no run.
        StorageError: when the folder of the runs cannot be read.
    """
    if str(path) != LAST or path.exists():
        return path
    found = next((each.path for each in newest_first(DEFAULT_FOLDER) if kind_of(each.path) in kinds), None)
    if found is None:
        raise RunError(
            f"'{LAST}' is the newest {' or '.join(kinds)} in {display_path(DEFAULT_FOLDER)}, and there is none; "
            "make one with tenfold train, or give its path"
        )
    return found


def names_in(folder: Path) -> list[str]:
    """Returns the printable names of the runs and sweeps in a folder, newest first."""
    return [display_path(Path(found.path.name)) for found in newest_first(folder)]


def unknown_text(path: Path, noun: str) -> str:
    """Returns the message for a run or sweep that does not exist: a similar name, and the newest ones there."""
    names = names_in(path.parent)
    if not names:
        return f"no {noun} {display_path(path)}; no runs in {display_path(path.parent)}"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    newest = f"newest first: {', '.join(names[:_NAMES_SHOWN])}{more}"
    return f"no {noun} {display_path(path)}{did_you_mean(path.name, names)} ({newest})"
