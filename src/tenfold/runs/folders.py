"""What run folders and sweep folders share: names, creation, locking and copies of image lists."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import display_path, expanded, storage_errors
from tenfold.core.errors import RunError
from tenfold.core.text import hyphenated
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

_MAX_PART_LENGTH = 40
_LOCK_SECONDS = 1
"""How long a lock is waited for: `is_locked` of another process holds it for a moment."""


@dataclass(frozen=True)
class ResultFolder:
    """The files that a run and a sweep have in common.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def env(self) -> Path:
        """`env.json`: versions, hardware, code and command."""
        return self.path / "env.json"

    @property
    def log(self) -> Path:
        """`log.jsonl`: events, one JSON object per line; `time_s` counts over all sessions."""
        return self.path / "log.jsonl"

    @property
    def summary(self) -> Path:
        """`summary.json`: the results, written last."""
        return self.path / "summary.json"

    @property
    def plots(self) -> Path:
        """`plots/`: charts as PNG files."""
        return self.path / "plots"

    @property
    def report(self) -> Path:
        """`report.html`: all results on one page."""
        return self.path / "report.html"

    def lock(self) -> AbstractContextManager[None]:
        """Locks the folder against other processes inside a `with` block; see `exclusive_lock`."""
        return exclusive_lock(self.path)


def create_folder(root: Path, *parts: str, name: str | None = None) -> Path:
    """Creates a new run or sweep folder. Never reuses an existing one, even if two processes start at once.

    Args:
        root: parent folder; created if missing.
        parts: parts of the default name, before date and time.
        name: folder name (default: from `parts`, date and time).

    Raises:
        RunError: when `name` exists or is not a plain folder name.
        StorageError: when writing fails.
    """
    check_new_folder(root, name)
    durable.make_folder(root)
    if name is None:
        return create_dated_folder(root, *parts)
    if not durable.claim_folder(root / name):
        raise _exists(root / name)
    return root / name


def check_new_folder(root: Path, name: str | None) -> None:
    """Checks the name of a folder to be created, before any other work is done; a folder without a name passes.

    Raises:
        RunError: when `name` exists or is not a plain folder name.
    """
    if name is None:
        return
    if not name or name in (".", "..") or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
        raise RunError(f"{name!r} is not a valid run name; expected a plain folder name such as 'my-first-run'")
    with storage_errors("read", root):
        if (root / name).exists():
            raise _exists(root / name)


def _exists(folder: Path) -> RunError:
    path, hint = display_path(folder), ""
    if (folder / "sweep.json").is_file():
        hint = f", or resume it: tenfold sweep --resume {path}"
    elif (folder / "recipe.toml").is_file():
        hint = f", or resume it: tenfold train --resume {path}"
    return RunError(f"{path} already exists, and a run is never overwritten; choose another --name{hint}")


def create_dated_folder(root: Path, *parts: str) -> Path:
    """Creates a new folder named after `parts`, date and time, even if two processes call this at once.

    Args:
        root: parent folder; it must exist.
        parts: any text; characters that are invalid in folder names are replaced.

    Raises:
        StorageError: when writing fails.
    """
    stem = "-".join([*map(safe_folder_name, parts), f"{datetime.now():%Y%m%d-%H%M%S}"])
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(root / name for name in names if durable.claim_folder(root / name))


def safe_folder_name(text: str) -> str:
    """Returns `text` as a folder name that is valid on every system and needs no quotes in a shell.

    Example:
        >>> safe_folder_name("my photos (2)/")
        'my-photos-2'
    """
    return hyphenated(text).strip("-.")[:_MAX_PART_LENGTH] or "data"


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Locks `folder` against other processes inside a `with` block. A process that dies releases the lock.

    Raises:
        RunError: when another process holds the lock.
        StorageError: when writing fails.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    with storage_errors("lock", folder):
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout as error:
            raise RunError(
                f"another process is training in {display_path(folder)}; wait until it ends, or stop it"
            ) from error
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Returns whether a process trains in `folder` now. Where that cannot be found out, it does not."""
    from filelock import FileLock, Timeout

    if not (folder / ".lock").is_file():
        return False
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def read_json_object(file: Path, remedy: str) -> dict[str, Any]:
    """Returns the content of a JSON file.

    Args:
        file: the file.
        remedy: what to do if the file is missing or damaged, for the message.

    Raises:
        RunError: when the file is missing or does not contain a JSON object.
        StorageError: when it cannot be read.
    """
    if not file.is_file():
        raise RunError(f"{display_path(file)} is missing; {remedy}")
    try:
        with storage_errors("read", file):
            value = json.loads(file.read_bytes())
    except ValueError as error:
        raise RunError(f"{display_path(file)} is damaged, expected JSON; {remedy}") from error
    if not isinstance(value, dict):
        raise RunError(f"{display_path(file)} is damaged, expected a JSON object; {remedy}")
    return value


def source_places(source: str, folder: Path) -> list[Path]:
    """Returns the existing places that the source of a run may name.

    Runs of earlier versions store relative sources. They count from the folder that holds `runs/`, where most runs were
    started, and then from the current folder.

    Args:
        source: of the run's recipe, a path.
        folder: the run or sweep folder.
    """
    path = expanded(source)
    return [place for place in (folder.absolute().parent.parent / path, path) if place.exists()]


def copy_image_lists(recipe: Recipe, folder: Path) -> Recipe:
    """Copies the image lists of `data.exclude` and `data.relabel` into a run or sweep folder.

    An existing copy is kept: a resumed run uses the lists as they were at its start, also in a folder that was moved.

    Args:
        recipe: complete recipe.
        folder: folder for the copies `exclude.csv` and `relabel.csv`.

    Returns:
        The recipe with the paths of the copies.

    Raises:
        StorageError: when a list cannot be read, or the disk refuses.
    """
    copies: dict[str, object] = {}
    for key in ("exclude", "relabel"):
        named = getattr(recipe.data, key)
        if not named:
            continue
        copy = folder.absolute() / f"{key}.csv"
        if not copy.is_file():
            original = Path(named).expanduser()
            with storage_errors("read", original):
                content = original.read_bytes()
            durable.write_bytes(copy, content)
        copies[f"data.{key}"] = str(copy)
    return resolve(recipe, copies)
