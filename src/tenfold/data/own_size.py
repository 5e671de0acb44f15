"""The typical size of the images of a source, from the headers of some of them: before anything is prepared.

Of a folder, files spread over all of it are read, which takes a tenth of a second for 60,000 files. Archives and
containers are read from their start, and what was found is remembered.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from tenfold.core.disk import expanded
from tenfold.core.errors import DataError, TenfoldError
from tenfold.data.decode.decode import FileSource, has_no_suffix, image_size, is_image_name
from tenfold.data.listed_source import on_disk
from tenfold.data.request import DataRequest
from tenfold.data.sources.archive import is_archive, read_members
from tenfold.data.sources.class_folders import is_hidden
from tenfold.data.sources.containers import container_files, is_container
from tenfold.data.sources.npz import npz_size
from tenfold.data.sources.parquet_images import first_images
from tenfold.data.sources.webdataset import is_pattern, pattern_files
from tenfold.data.store.scan import median_size
from tenfold.data.store.size_cache import read_size, write_size
from tenfold.data.types import ProgressCallback

_SAMPLE = 64
"""Number of images whose headers are read."""

_SAMPLE_BYTES = 32 << 20
"""No further member of an archive is read after so many bytes."""


def typical_size(request: DataRequest, progress: ProgressCallback) -> tuple[int, int] | None:
    """Returns the median height and the median width of a sample of the images of a folder or a file.

    Args:
        request: its source is no built-in name; an address is downloaded on its first use.
        progress: called while something is downloaded.

    Returns:
        Height and width in pixels, or None where no image could be looked at: preparing the images says why.

    Raises:
        DataError, DownloadError, StorageError: when an address cannot be downloaded.
    """
    path = expanded(on_disk(request, progress).source)
    with suppress(TenfoldError, OSError):
        path = pattern_files(path)[0] if is_pattern(path) else path
        return _size_in_folder(path) if path.is_dir() else _size_in_file(path)
    return None


def _size_in_folder(root: Path) -> tuple[int, int] | None:
    names = sorted(_file_names(root))
    containers = container_files(names)
    if containers:
        return _size_in_file(root / containers[0])
    # Looking at the suffixes of all names would take as long as listing them.
    images = _image_names(_spread(names, 4 * _SAMPLE)) or _image_names(names)
    return _median(root / name for name in _spread(images, _SAMPLE))


def _image_names(names: Sequence[str]) -> list[str]:
    return [name for name in names if _may_be_image(name)]


def _may_be_image(name: str) -> bool:
    return is_image_name(name) or has_no_suffix(name)


def _file_names(root: Path) -> Iterator[str]:
    """Yields the paths of all files below a folder; hidden ones are left out, and no file is looked at."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not is_hidden(name)]
        start = os.path.relpath(folder, root)
        prefix = "" if start == os.curdir else f"{start}/"
        yield from (f"{prefix}{name}" for name in files if not is_hidden(name))


def _size_in_file(path: Path) -> tuple[int, int] | None:
    known = read_size(path)
    if known is None and (known := _first_size(path)) is not None:
        write_size(path, known)
    return known


def _first_size(path: Path) -> tuple[int, int] | None:
    """Returns the median size of the first images in a file."""
    if is_archive(path):
        return _median(islice(_members(path), _SAMPLE))
    if path.suffix.casefold() == ".npz":
        return npz_size(path)
    return _median(first_images(path.name, path, _SAMPLE)) if is_container(path) else None


def _members(archive: Path) -> Iterator[bytes]:
    """Yields the first files of an archive that may be images."""

    def is_needed(name: str) -> bool:
        return not any(map(is_hidden, name.split("/"))) and _may_be_image(name)

    num_bytes = 0
    for _, content in read_members(archive, is_needed, lambda skipped: None):
        yield content
        num_bytes += len(content)
        if num_bytes > _SAMPLE_BYTES:
            return


def _spread(names: Sequence[str], count: int) -> list[str]:
    """Returns at most `count` of the names, evenly spread over all."""
    step = max(1.0, len(names) / count)
    return [names[int(index * step)] for index in range(min(count, len(names)))]


def _median(sources: Iterator[FileSource] | Sequence[FileSource]) -> tuple[int, int] | None:
    """Returns the median size of the images that can be read; None where there are none."""
    sizes: Counter[tuple[int, int]] = Counter()
    for source in sources:
        with suppress(DataError):  # preparing the images reports the reason
            if isinstance(source, bytes) or not source.is_symlink():  # links are not followed
                sizes[image_size(source)] += 1
    return median_size(sizes) if sizes else None
