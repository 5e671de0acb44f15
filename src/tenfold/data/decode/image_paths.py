"""Image files by what people write for them: files, folders and patterns."""

import os
import re
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import NamedTuple

from tenfold.core.errors import DataError, UsageError
from tenfold.data.decode.decode import FORMAT_NAMES, is_image


class FoundImages(NamedTuple):
    """The files that words on the command line stand for.

    Args:
        images: in order.
        skipped: files of other kinds in the folders and patterns.
    """

    images: list[Path]
    skipped: list[Path]


def find_images(names: Sequence[str]) -> FoundImages:
    """Returns the images that files, folders (searched recursively) and patterns stand for, in order.

    Hidden files in folders are left out, and links to folders are not followed. A file given by name is always
    included: the decoder reports what is wrong with it.

    Args:
        names: as on the command line.

    Raises:
        UsageError: when there are none.
        DataError: when a folder or pattern holds no image.
    """
    if not names:
        raise UsageError("no images were given; expected files, folders or quoted patterns after RUN|MODEL")
    found = [_expand(name) for name in names]
    images = dict.fromkeys(path for each in found for path in each.images)
    skipped = dict.fromkeys(path for each in found for path in each.skipped if path not in images)
    return FoundImages(list(images), list(skipped))


def _expand(name: str) -> FoundImages:
    path = Path(name)
    if path.is_dir():
        found, problem = _visible_files(path), f"{path} holds no images"
    elif path.exists() or not any(mark in name for mark in "*?["):
        return FoundImages([path], [])
    else:
        found = [match for match in map(Path, glob(name, recursive=True)) if match.is_file()]  # noqa: PTH207
        problem = f"no image matches {name}"
    found.sort(key=_natural_order)
    images = [each for each in found if is_image(each.name, each)]
    if not images:
        raise DataError(f"{problem}; expected {FORMAT_NAMES} files")
    taken = set(images)
    return FoundImages(images, [each for each in found if each not in taken])


def _visible_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return found


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Returns a sort key that puts 2.png before 10.png."""
    parts = re.split(r"([0-9]+)", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]
