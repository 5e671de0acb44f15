"""Class folders, in a folder or in an archive: what is in them, and which picture belongs where.

Two layouts are known: `train|test[|val]/<class>/…` and `<class>/…`; folders within a class belong to the
class, and one folder wrapped around everything is looked through. Names that begin with a dot and `__MACOSX`
are passed over in silence; everything else that cannot be used is listed with the reason. Nothing is ever
written here.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tenfold.core.disk import translated
from tenfold.core.errors import DataError
from tenfold.core.registry import did_you_mean
from tenfold.data.decode.decode import FileSource, is_picture_name, one_line
from tenfold.data.sources.archive import ARCHIVE_SUFFIXES, is_archive, read_members
from tenfold.data.sources.layout import Layout, arrange
from tenfold.data.types import Skipped

Look = Callable[[str, FileSource], None]
"""Told of each picture that is found: its name and where its bytes are."""


class Found(NamedTuple):
    """A file below a folder: name relative to it with `/` between parts, bytes, nanoseconds of its change."""

    name: str
    size: int
    changed: int


@dataclass(frozen=True)
class Listing:
    """What lies below a folder.

    Args:
        files: regular files with usable names, sorted by name.
        folders: names of the folders that hold no file and no folder.
        skipped: links, pipes, devices, names that are no UTF-8, folders that may not be read.
    """

    files: tuple[Found, ...]
    folders: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def scan(path: Path, listing: Listing | None = None, look: Look | None = None) -> Layout:
    """Finds the classes and pictures of a folder or an archive.

    Args:
        path: a folder or an archive of class folders.
        listing: what `list_folder` said of the folder, where it was asked already.
        look: called with each picture on the way, which spares a second pass through an archive.

    Raises:
        DataError: when there is nothing at `path`, no picture in it, fewer than two classes, or a class in
            test or val that train does not have.
    """
    check_source(path)
    if path.is_dir():
        return arrange(path, *_from_folder(path, listing or list_folder(path), look))
    return arrange(path, *_from_archive(path, look))


def check_source(path: Path, other_names: Sequence[str] = ()) -> None:
    """Checks that there is a folder, or a file with the name of an archive; opens nothing.

    Args:
        path: where the user says the pictures are.
        other_names: what the user may have meant instead.

    Raises:
        DataError: when there is neither.
        StorageError: when one may not look.
    """
    with translated("read", path):
        if path.is_dir() or (path.is_file() and is_archive(path)):
            return
        exists = path.exists()
    place = one_line(str(path))
    found = f"{place} is neither a folder nor an archive" if exists else f"{place} does not exist"
    others = f", or one of: {', '.join(other_names)}" if other_names else ""
    raise DataError(
        f"{found}{did_you_mean(path.name, other_names)}; expected a folder or an archive of class folders "
        f"({', '.join(ARCHIVE_SUFFIXES)}){others}"
    )


def read_pictures(
    layout: Layout, places: Sequence[int], files: Mapping[str, bytes]
) -> Iterator[tuple[int, FileSource]]:
    """Yields the place in `layout.entries` of each picture and where its bytes are, in the order of the source.

    Args:
        layout: the pictures.
        places: of those that are needed.
        files: bytes of all pictures by path, where an earlier pass over an archive has kept them.

    Raises:
        DataError: when the archive cannot be read.
    """
    paths = {layout.entries[place].path: place for place in places}
    if layout.root.is_dir():
        yield from ((place, layout.root / path) for path, place in paths.items())
    elif paths.keys() <= files.keys():
        yield from ((place, files[path]) for path, place in paths.items())
    else:
        for name, content in read_members(layout.root, paths.__contains__, lambda skipped: None):
            # The first of two members with one name was taken, and nobody asks for the second.
            if name in paths:
                yield paths.pop(name), content


def list_folder(root: Path) -> Listing:
    """Lists what lies below a folder, without opening a file or following a link.

    Raises:
        DataError: when the folder itself cannot be read.
    """
    files: list[Found] = []
    empty: list[str] = []
    skipped: list[Skipped] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as entries:
                usable = [entry for entry in entries if not _hidden(entry.name)]
        except OSError as error:
            if not folder:
                raise DataError(f"{one_line(str(root))} cannot be read: {error.strerror}") from None
            skipped.append(Skipped(folder, f"a folder that cannot be read ({error.strerror})"))
            continue
        if not usable and folder:
            empty.append(folder)
        for entry in usable:
            _sort_in(entry, f"{folder}/{entry.name}" if folder else entry.name, files, waiting, skipped)
    return Listing(tuple(sorted(files)), tuple(sorted(empty)), tuple(sorted(skipped, key=lambda s: s.path)))


def _sort_in(
    entry: os.DirEntry[str], name: str, files: list[Found], folders: list[str], skipped: list[Skipped]
) -> None:
    try:
        name.encode()
        kind = entry.stat(follow_symlinks=False)
    except UnicodeEncodeError:
        skipped.append(Skipped(one_line(name), "its name is no UTF-8; rename it"))
        return
    except OSError as error:
        skipped.append(Skipped(name, f"cannot be looked at ({error.strerror})"))
        return
    if stat.S_ISREG(kind.st_mode):
        files.append(Found(name, kind.st_size, kind.st_mtime_ns))
    elif stat.S_ISDIR(kind.st_mode):
        folders.append(name)
    else:
        skipped.append(Skipped(name, _reason(kind.st_mode)))


def _reason(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link; links are not followed"
    return "a named pipe; not opened" if stat.S_ISFIFO(mode) else "a device or socket; not opened"


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _from_folder(root: Path, listing: Listing, look: Look | None) -> tuple[list[str], list[Skipped], tuple[str, ...]]:
    pictures: list[str] = []
    skipped = list(listing.skipped)
    for file in listing.files:
        if not _is_picture(file.name, skipped):
            continue
        pictures.append(file.name)
        if look:
            look(file.name, root / file.name)
    return pictures, skipped, listing.folders


def _from_archive(path: Path, look: Look | None) -> tuple[list[str], list[Skipped], tuple[str, ...]]:
    pictures: dict[str, None] = {}
    skipped: list[Skipped] = []

    def wanted(name: str) -> bool:
        if any(map(_hidden, name.split("/"))) or not _is_picture(name, skipped):
            return False
        if name in pictures:
            skipped.append(Skipped(name, "a second file of this name in the archive"))
            return False
        pictures[name] = None
        return look is not None

    for name, content in read_members(path, wanted, skipped.append):
        if look:
            look(name, content)
    return list(pictures), skipped, ()


def _is_picture(name: str, skipped: list[Skipped]) -> bool:
    if is_picture_name(name):
        return True
    suffix = one_line(PurePosixPath(name).suffix)
    skipped.append(Skipped(name, f"not a picture: {suffix or 'a name without a suffix'}"))
    return False
