"""Loads CIFAR-10 and CIFAR-100 from an extracted folder, an archive, or the network.

Both published forms are read: Python's pickled batches and the binary one. Folders and archives have the names that
torchvision uses.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import DataError, UsageError
from tenfold.core.registry import did_you_mean
from tenfold.data.sources.archive import read_members
from tenfold.data.sources.cifar_files import SOURCES, CifarForm, CifarSource, Part
from tenfold.data.sources.download import REMEDY, Checksum, check_file, download
from tenfold.data.sources.transport import reachable
from tenfold.data.sources.unpickle import read_batch
from tenfold.data.types import ProgressCallback, no_progress

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images [N, 32, 32, 3] and labels [N]

_IMAGE_BYTES = 3 * 32 * 32


@dataclass(frozen=True)
class CifarArrays:
    """CIFAR-10 or CIFAR-100 as arrays.

    Args:
        train_images: uint8 [50000, 32, 32, 3].
        train_labels: int64 [50000], each in [0, number of classes).
        test_images: uint8 [10000, 32, 32, 3].
        test_labels: int64 [10000].
        classes: class names in the order of the labels; for CIFAR-100 the fine ones.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]


def source_named(name: str) -> CifarSource:
    """Returns the description of `cifar10` or `cifar100`.

    Raises:
        UsageError: for any other name.
    """
    if name not in SOURCES:
        raise UsageError(f"unknown data '{name}'{did_you_mean(name, SOURCES)} (known: {', '.join(SOURCES)})")
    return SOURCES[name]


def find_cifar(source: CifarSource, data_dir: Path | None, cache: Path) -> Path | None:
    """Returns the folder or archive that `load_cifar` would read, or None where it would download."""
    found = _find(source, _root(data_dir, cache))
    return found[1] if found else None


def mirrors(source: CifarSource) -> tuple[str, ...]:
    """Returns the base addresses to download from: those of `TENFOLD_MIRRORS`, or else those of the source."""
    urls = [url.strip() for url in os.environ.get("TENFOLD_MIRRORS", "").split(",")]
    return tuple(url for url in urls if url) or source.mirrors


def downloadable(source: CifarSource, timeout: float = 8.0) -> bool:
    """Returns within `timeout` seconds whether any mirror answers and has the archive."""
    bases = mirrors(source)
    archive = source.forms[0].archive
    return any(reachable(_address(base, archive), timeout / len(bases)) for base in bases)


def load_cifar(
    name: str | CifarSource, *, data_dir: Path | None, cache: Path, progress: ProgressCallback = no_progress
) -> CifarArrays:
    """Loads CIFAR from an extracted folder or an archive, and downloads the archive where there is neither.

    The checksums of archives and pickled files are verified before they are read. Nothing is extracted, and no code in
    a pickled file is run.

    Args:
        name: `cifar10` or `cifar100`, or the description of a dataset in the same format.
        data_dir: folder to search and to download to; None is `downloads` in the cache folder.
        cache: the cache folder.
        progress: called with the progress of verifying, reading and downloading.

    Raises:
        DataError: when a file is cut short or altered, or images are missing; the message names the file.
        DownloadError: when no mirror delivers.
        StorageError: when a file cannot be read or the folder cannot be written.
        UsageError: when `name` is unknown.

    Example:
        >>> arrays = load_cifar("cifar10", data_dir=Path("data"), cache=Path("cache"))  # doctest: +SKIP
        >>> arrays.train_images.shape  # doctest: +SKIP
        (50000, 32, 32, 3)
    """
    source = source_named(name) if isinstance(name, str) else name
    root = _root(data_dir, cache)
    form, path = _find(source, root) or _fetch(source, root, progress)
    train, test = _empty_arrays(form.train), _empty_arrays(form.test)
    slots = {**_slots(form.train, *train), **_slots(form.test, *test)}
    missing = dict.fromkeys(slots)
    contents = _from_folder(form, path) if path.is_dir() else _from_archive(form, path, progress)
    for part_name, content in contents:
        _fill(slots[part_name], source, form, content, f"{display_path(path)}/{part_name}")
        missing.pop(part_name, None)
        progress(f"Reading {source.name}", len(slots) - len(missing), len(slots))
    if missing:
        raise DataError(f"{display_path(path)} lacks {', '.join(missing)}; move it away and {REMEDY}")
    return CifarArrays(*train, *test, source.classes)


def _root(data_dir: Path | None, cache: Path) -> Path:
    return cache / "downloads" if data_dir is None else data_dir


def _find(source: CifarSource, root: Path) -> tuple[CifarForm, Path] | None:
    """Returns the first form that exists: complete folders, then archives, then incomplete folders."""
    folders = [(form, folder) for form in source.forms for folder in (root, root / form.folder)]
    folders = [(form, folder) for form, folder in folders if folder.name == form.folder and folder.is_dir()]
    complete = [(form, folder) for form, folder in folders if _is_complete(form, folder)]
    archives = [(form, root / form.archive) for form in source.forms if (root / form.archive).is_file()]
    return next(iter([*complete, *archives, *folders]), None)


def _is_complete(form: CifarForm, folder: Path) -> bool:
    return all((folder / part.name).is_file() for part in (*form.train, *form.test))


def _fetch(source: CifarSource, root: Path, progress: ProgressCallback) -> tuple[CifarForm, Path]:
    form = source.forms[0]
    urls = [_address(base, form.archive) for base in mirrors(source)]
    target = root / form.archive
    return form, download(urls, target, checksum=Checksum("md5", form.md5), size=form.size, progress=progress)


def _address(base: str, archive: str) -> str:
    return f"{base.rstrip('/')}/{archive}"


def _from_folder(form: CifarForm, folder: Path) -> Iterator[tuple[str, bytes]]:
    for part in (*form.train, *form.test):
        path = folder / part.name
        if not path.is_file():
            continue
        with storage_errors("read", path):
            content = path.read_bytes()
        actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if part.md5 and actual != part.md5:
            raise DataError(
                f"{display_path(path)} ({len(content)} bytes) has MD5 {actual}, expected {part.md5}: it is cut "
                f"short or altered; extract the archive again, or move the folder away, or {REMEDY}"
            )
        yield part.name, content


def _from_archive(form: CifarForm, archive: Path, progress: ProgressCallback) -> Iterator[tuple[str, bytes]]:
    progress(f"Verifying {form.archive}", 0, 0)
    check_file(archive, Checksum("md5", form.md5))
    part_names = {f"{form.folder}/{part.name}": part.name for part in (*form.train, *form.test)}
    for name, content in read_members(archive, part_names.__contains__, lambda skipped: None):
        yield part_names[name], content


def _empty_arrays(parts: tuple[Part, ...]) -> Arrays:
    count = sum(part.count for part in parts)
    return np.empty((count, 32, 32, 3), np.uint8), np.empty(count, np.int64)


def _slots(parts: tuple[Part, ...], images: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, Arrays]:
    """Returns the views of `images` and `labels` that each part fills, by its name."""
    ends = np.cumsum([part.count for part in parts])
    rows = {part.name: slice(end - part.count, end) for part, end in zip(parts, ends, strict=True)}
    return {name: (images[row], labels[row]) for name, row in rows.items()}


def _fill(slot: Arrays, source: CifarSource, form: CifarForm, content: bytes, where: str) -> None:
    images, labels = slot
    decode = _decode_binary if form.binary else _decode_pickle
    rows, numbers = decode(source, len(labels), content, where)
    lowest, highest = min(numbers), max(numbers)
    if not 0 <= lowest <= highest < len(source.classes):
        raise _unexpected(where, f"labels from {lowest} to {highest}", f"0 to {len(source.classes) - 1}")
    images[:] = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # N C H W → N H W C
    labels[:] = numbers


def _decode_binary(source: CifarSource, count: int, content: bytes, where: str) -> tuple[NDArray[np.uint8], list[int]]:
    width = source.label_bytes + _IMAGE_BYTES
    if len(content) != count * width:
        raise _unexpected(where, f"{len(content)} bytes", f"{count * width}")
    rows = np.frombuffer(content, np.uint8).reshape(count, width)
    return rows[:, source.label_bytes :], rows[:, source.label_bytes - 1].tolist()


def _decode_pickle(source: CifarSource, count: int, content: bytes, where: str) -> tuple[NDArray[np.uint8], list[int]]:
    batch = read_batch(content, where)
    rows, labels = batch.get(b"data"), batch.get(source.label_key)
    shape = list(rows.shape) if isinstance(rows, np.ndarray) else "no array"
    if not isinstance(rows, np.ndarray) or shape != [count, _IMAGE_BYTES]:
        raise _unexpected(where, f"pixels of shape {shape}", f"{[count, _IMAGE_BYTES]}")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise _unexpected(where, f"no {source.label_key.decode()}", "a list of numbers")
    if len(labels) != count:
        raise _unexpected(where, f"{len(labels)} labels", f"{count}")
    return rows, labels


def _unexpected(where: str, found: str, expected: str) -> DataError:
    return DataError(f"{where} holds {found}, expected {expected}; move it away and {REMEDY}")
