"""Reads a folder or an archive: lists its images, with the splits and classes of `arrange`, and reads the files.

Names that begin with a dot and `__MACOSX` are ignored without a note; every other file that cannot be used is listed
with the reason. Nothing is ever written here.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tenfold.core.disk import storage_errors
from tenfold.core.errors import DataError
from tenfold.core.registry import did_you_mean
from tenfold.core.text import escaped
from tenfold.data.decode.decode import FileSource, has_no_suffix, is_image, is_image_name
from tenfold.data.sources.archive import ARCHIVE_SUFFIXES, is_archive, read_members
from tenfold.data.sources.arrange import arrange
from tenfold.data.sources.containers import (
    CONTAINER_SUFFIXES,
    arrange_container,
    container_files,
    is_container,
    open_container,
)
from tenfold.data.sources.folder_layout import FoundFiles
from tenfold.data.sources.label_files import label_names
from tenfold.data.sources.layout import Layout
from tenfold.data.sources.rules import SourceRules
from tenfold.data.sources.tables import is_table_name
from tenfold.data.sources.webdataset import is_pattern
from tenfold.data.types import Skipped

OnImage = Callable[[str, FileSource], None]
"""Called with the path of each image in its source, and with its file or the bytes of it."""


class FoundFile(NamedTuple):
    """A file below a folder: its relative path with `/` between parts, size in bytes, time of change in ns."""

    path: str
    size: int
    changed: int


@dataclass(frozen=True)
class FolderListing:
    """The files below a folder.

    Args:
        files: regular files with usable names, sorted by path.
        empty_folders: paths of folders that contain neither files nor folders.
        skipped: links, pipes, devices, names that are not UTF-8, folders that may not be read.
    """

    files: tuple[FoundFile, ...]
    empty_folders: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def scan(
    path: Path,
    listing: FolderListing | None = None,
    on_image: OnImage | None = None,
    *,
    rules: SourceRules | None = None,
    for_training: bool = True,
) -> Layout:
    """Finds the images and classes of a folder or an archive.

    Args:
        path: a folder or an archive.
        listing: what `list_folder` returned for the folder, if it was called already.
        on_image: called with each image, which saves a second pass through an archive; of a folder with those of the
            layout only.
        rules: how splits and classes are found.
        for_training: see `arranged`.

    Raises:
        DataError: when there is nothing at `path`, or see `arrange`.
    """
    check_source(path)
    rules = rules or SourceRules()
    listing = listing or (list_folder(path) if path.is_dir() else None)
    files = container_files([file.path for file in listing.files]) if listing else []
    if files or is_container(path):
        names = label_names(path, rules.labels)
        layout = arrange_container(path, open_container(path, files, rules), names, for_training=for_training)
    else:
        found = _scan_folder(path, listing) if listing else _scan_archive(path, on_image)
        layout = arrange(path, found, rules, partial(_read_file, path), for_training=for_training)
    if on_image and (layout.read or not is_archive(path)):
        for index, source in read_images(layout, range(len(layout.entries)), {}):
            on_image(layout.entries[index].path, source)
    return layout


def _read_file(root: Path, name: str) -> bytes:
    """Returns the bytes of a file of a folder or an archive by its path there."""
    if root.is_dir():
        with storage_errors("read", root / name):
            return (root / name).read_bytes()
    return next(content for _, content in read_members(root, name.__eq__, lambda skipped: None))


def check_source(path: Path, other_names: Sequence[str] = ()) -> None:
    """Checks that a path is a folder, or a file with the name of an archive; opens nothing.

    Args:
        path: path of the source.
        other_names: built-in names that the user may have meant instead.

    Raises:
        DataError: when it is neither.
        StorageError: when the path cannot be checked.
    """
    with storage_errors("read", path):
        if path.is_dir() or is_pattern(path) or (path.is_file() and (is_archive(path) or is_container(path))):
            return
        exists = path.exists()
    name = escaped(str(path))
    found = f"{name} is neither a folder nor an archive of images" if exists else f"{name} does not exist"
    others = f", or one of: {', '.join(other_names)}" if other_names else ""
    if exists and is_table_name(path.name):
        others += f"; for labels from this table: the folder of its images, and --labels {name}"
    raise DataError(
        f"{found}{did_you_mean(path.name, other_names)}; expected a folder or an archive of class folders "
        f"({', '.join(ARCHIVE_SUFFIXES)}), a Parquet or NumPy file ({', '.join(CONTAINER_SUFFIXES)}){others}"
    )


def read_images(layout: Layout, indices: Sequence[int], files: Mapping[str, bytes]) -> Iterator[tuple[int, FileSource]]:
    """Yields the index in `layout.entries` and the file of each image, in the order of the source.

    Args:
        layout: the images of the source.
        indices: indices of the images that are needed.
        files: bytes of all images by path, where an earlier pass through an archive has kept them.

    Raises:
        DataError: when the archive cannot be read.
    """
    index_of = {layout.entries[index].path: index for index in indices}
    if index_of.keys() <= files.keys():
        yield from ((index, files[path]) for path, index in index_of.items())
    elif layout.read:
        yield from ((index_of[path], content) for path, content in layout.read(index_of.keys()))
    elif layout.root.is_dir():
        yield from ((index, layout.root / path) for path, index in index_of.items())
    else:
        for path, content in read_members(layout.root, index_of.__contains__, lambda skipped: None):
            if path in index_of:  # of two members with one name the first is used
                yield index_of.pop(path), content


def list_folder(root: Path) -> FolderListing:
    """Lists the files below a folder, without opening a file or following a link.

    Raises:
        DataError: when the folder itself cannot be read.
    """
    files: list[FoundFile] = []
    empty: list[str] = []
    skipped: list[Skipped] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as entries:
                visible = [entry for entry in entries if not is_hidden(entry.name)]
        except OSError as error:
            if not folder:
                raise DataError(f"{escaped(str(root))} cannot be read: {error.strerror}") from None
            skipped.append(Skipped(folder, f"a folder that cannot be read ({error.strerror})"))
            continue
        if not visible and folder:
            empty.append(folder)
        for entry in visible:
            _add_entry(entry, f"{folder}/{entry.name}" if folder else entry.name, files, pending, skipped)
    return FolderListing(tuple(sorted(files)), tuple(sorted(empty)), tuple(sorted(skipped, key=lambda s: s.path)))


def _add_entry(
    entry: os.DirEntry[str], path: str, files: list[FoundFile], folders: list[str], skipped: list[Skipped]
) -> None:
    # The reasons are part of the keys of stores (see `folder_digest`): another wording would prepare images again.
    try:
        path.encode()
        status = entry.stat(follow_symlinks=False)
    except UnicodeEncodeError:
        skipped.append(Skipped(escaped(path), "its name is no UTF-8; rename it"))
        return
    except OSError as error:
        skipped.append(Skipped(path, f"cannot be looked at ({error.strerror})"))
        return
    if stat.S_ISREG(status.st_mode):
        files.append(FoundFile(path, status.st_size, status.st_mtime_ns))
    elif stat.S_ISDIR(status.st_mode):
        folders.append(path)
    elif stat.S_ISLNK(status.st_mode):
        skipped.append(Skipped(path, "a link; links are not followed"))
    else:
        is_pipe = stat.S_ISFIFO(status.st_mode)
        skipped.append(Skipped(path, "a named pipe; not opened" if is_pipe else "a device or socket; not opened"))


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder of this name is ignored without a note."""
    return name.startswith(".") or name == "__MACOSX"


def _scan_folder(root: Path, listing: FolderListing) -> FoundFiles:
    skipped = list(listing.skipped)
    images = []
    for file in listing.files:
        if is_image(file.path, root / file.path):
            images.append(file.path)
        else:
            skipped.append(_no_image(file.path))
    return FoundFiles(images, skipped, listing.empty_folders, root.absolute().name)


def _scan_archive(path: Path, on_image: OnImage | None) -> FoundFiles:
    images: dict[str, None] = {}
    skipped: list[Skipped] = []

    def is_needed(name: str) -> bool:
        if any(map(is_hidden, name.split("/"))):
            return False
        if not is_image_name(name) and not has_no_suffix(name):
            skipped.append(_no_image(name))
            return False
        if name in images:
            skipped.append(Skipped(name, "a second file of this name in the archive"))
            return False
        images[name] = None
        return on_image is not None or has_no_suffix(name)

    for name, content in read_members(path, is_needed, skipped.append):
        if not is_image(name, content):
            del images[name]
            skipped.append(_no_image(name))
        elif on_image:
            on_image(name, content)
    return FoundFiles(list(images), skipped, name=path.name.partition(".")[0])


def _no_image(path: str) -> Skipped:
    if is_archive(PurePosixPath(path)):
        return Skipped(path, "an archive inside; unpack it")
    suffix = escaped(PurePosixPath(path).suffix)
    return Skipped(path, f"not an image: {suffix or 'a name without a suffix'}")
