"""Names of new folders of runs and sweeps: fit for every system, and never taken twice."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import shown, translated
from tenfold.core.errors import RunError
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

_LONGEST_PART = 40


def check_name(name: str) -> None:
    """Refuses what cannot name a folder.

    Raises:
        RunError: when `name` is no plain folder name.
    """
    if not name or name in (".", "..") or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
        raise RunError(f"{name!r} cannot name a run; expected a plain folder name such as 'my-first-run'")


def claim_dated_folder(root: Path, *parts: str) -> Path:
    """Makes a new folder called after `parts`, date and time, also when two processes ask at once.

    Args:
        root: where; it must exist.
        parts: names of anything; what no system takes in a folder's name is replaced.

    Raises:
        StorageError: when the disk refuses.
    """
    stem = "-".join([*map(folder_part, parts), f"{datetime.now():%Y%m%d-%H%M%S}"])
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(root / name for name in names if durable.claim_folder(root / name))


def folder_part(name: str) -> str:
    """Returns `name` as a part of a folder name that every system takes and no shell needs to quote.

    Example:
        >>> folder_part("my photos (2)/")
        'my-photos-2'
    """
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:_LONGEST_PART] or "data"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keeps other processes from working in `folder` for the time of a `with` block.

    Raises:
        RunError: when another process is at it. A process that dies, however, frees the lock.
        StorageError: when the disk refuses.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    with translated("lock", folder):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"{shown(folder)} is being trained by another process; wait for it, or stop it first"
            ) from error
    try:
        yield
    finally:
        lock.release()


def read_json_object(file: Path, remedy: str) -> dict[str, Any]:
    """Returns what a JSON file holds.

    Args:
        file: to read.
        remedy: what to do where it is missing or damaged, for the message.

    Raises:
        RunError: when the file is missing or holds no JSON object.
        StorageError: when it cannot be read.
    """
    if not file.is_file():
        raise RunError(f"{shown(file)} is missing; {remedy}")
    try:
        with translated("read", file):
            value = json.loads(file.read_bytes())
    except ValueError as error:
        raise RunError(f"{shown(file)} is damaged, expected JSON; {remedy}") from error
    if not isinstance(value, dict):
        raise RunError(f"{shown(file)} is damaged, expected a JSON object; {remedy}")
    return value


LISTS = ("exclude", "relabel")
"""Keys of `[data]` that name a list, and names of the copies without `.csv`."""


def keep_lists(recipe: Recipe, folder: Path) -> Recipe:
    """Copies the lists that a recipe names into a run's or a sweep's folder, and returns the recipe that names those.

    A copy that is there already is taken as it is: of a run that goes on, what was listed at its start counts, and a
    folder that was moved is asked for its own copies.

    Args:
        recipe: complete.
        folder: that keeps the copies, `exclude.csv` and `relabel.csv`.

    Raises:
        StorageError: when a list cannot be read, or the disk refuses.
    """
    named = {key: getattr(recipe.data, key) for key in LISTS if getattr(recipe.data, key)}
    kept = {key: folder.absolute() / f"{key}.csv" for key in named}
    for key, copy in kept.items():
        if not copy.is_file():
            original = Path(named[key]).expanduser()
            with translated("read", original):
                content = original.read_bytes()
            durable.write_bytes(copy, content)
    return resolve(recipe, {f"data.{key}": str(copy) for key, copy in kept.items()})
