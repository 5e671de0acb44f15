"""Names of new folders of runs and sweeps: fit for every system, and never taken twice."""

import re
from datetime import datetime
from itertools import count
from pathlib import Path

from tenfold.core import durable
from tenfold.core.errors import RunError

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
