"""Opens and builds stores: images decoded once to memory-mapped uint8, in the user's cache folder.

    <cache>/stores/<name>-<16 digits of the key>/
        train-images.npy · train-labels.npy      and the same for test and possibly val
        train-images-00000.npy · …               instead of train-images.npy for a large split
        paths.json                               path of each image in its source, by split
        groups.json                              group of each image, by split; only where images have one
        index.json                               everything else, see format.py
        manifest.json                            sizes and digests, written by core/durable.py
    <cache>/locks/                               one empty file per store, locked while the store is built

The key of a store depends on the content of its source and the decode settings. A store is built in a temporary folder
and renamed, so it is visible only when it is complete. The folder of a process that was killed is continued.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tenfold.core import durable
from tenfold.core.cache import cache_folder
from tenfold.core.disk import TEMPORARY_PREFIX, display_path, storage_errors
from tenfold.core.errors import DataError, StorageError, TenfoldError
from tenfold.core.locks import locked
from tenfold.core.registry import did_you_mean
from tenfold.core.text import file_size, size_text
from tenfold.data.decode.tasks import MAX_KEPT_SIDE
from tenfold.data.store.format import FORMAT, read_index
from tenfold.data.store.leak_cache import delete_leaks
from tenfold.data.store.opening import open_store
from tenfold.data.store.size_cache import delete_sizes
from tenfold.data.store.unfinished import continued_folder, plan_of, unfinished_folder
from tenfold.data.types import Dataset, ProgressCallback, no_progress


@dataclass(frozen=True)
class StoreInfo:
    """A store on disk.

    Args:
        name: name of its dataset.
        key: 16 hex digits, see `store_key`.
        path: its folder.
        bytes: its size on disk.
        num_images: number of images in all splits; 0 for a damaged store.
        created: when it was made, UTC; empty for a damaged store.
    """

    name: str
    key: str
    path: Path
    bytes: int
    num_images: int
    created: str


Build = Callable[[Path], None]
"""Fills an empty folder with the files of a store; calls `format.write_index` last."""


def store_key(*parts: object) -> str:
    """Returns 16 hex digits: a hash of `parts` and of the version of the store format.

    Args:
        parts: values that JSON can represent.

    Raises:
        TypeError: when JSON cannot represent a part.
    """
    text = json.dumps([FORMAT, *parts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def store_exists(name: str, key: str) -> bool:
    """Returns whether there is a store of this name and key; it may be damaged.

    Raises:
        StorageError: when no cache folder can be determined.
    """
    return _folder(name, key).is_dir()


def _folder(name: str, key: str) -> Path:
    return cache_folder() / "stores" / f"{name}-{key}"


def open_or_build(name: str, key: str, build: Build, progress: ProgressCallback = no_progress) -> Dataset:
    """Opens the store of this name and key; builds it first where there is none or it is damaged.

    Of several processes one builds the store while the others wait.

    Args:
        name: usable as a folder name.
        key: 16 hex digits, see `store_key`.
        build: fills the folder.
        progress: called when another process builds the store.

    Raises:
        DataError: raised by `build`.
        StorageError: when the cache cannot be written.
    """
    target = _folder(name, key)
    dataset, _ = _open_or_explain(target)
    if dataset is not None:
        return dataset
    with _lock(target, progress):
        dataset, damage = _open_or_explain(target)
        if dataset is not None:
            return dataset
        with storage_errors("remove", target):
            durable.disk.remove(target)
        durable.remove_leftovers(target.parent)
        with continued_folder(target) as folder:
            build(folder)
        dataset = open_store(target)
    notes = [f"the store of {name} was damaged and was built again: {damage}"] if damage else []
    return replace(dataset, notes=(*dataset.notes, *_size_notes(dataset), *notes))


def _size_notes(dataset: Dataset) -> Iterator[str]:
    """Yields a sentence on the size of a store that was built now, if its images are larger than small ones."""
    size = dataset.test.images.shape[1:3]
    if max(size) > MAX_KEPT_SIDE:
        splits = dataset.splits().values()
        num_bytes = sum(split.images.nbytes for split in splits)
        yield (
            f"store: {sum(map(len, splits)):,} images at {size_text(size)}, {file_size(num_bytes)} in "
            f"{display_path(cache_folder())}"
        )


def open_if_valid(name: str, key: str) -> Dataset | None:
    """Opens the store of this name and key, or returns None where there is none or it is damaged.

    Raises:
        StorageError: when no cache folder can be determined.
    """
    dataset, _ = _open_or_explain(_folder(name, key))
    return dataset


def _open_or_explain(path: Path) -> tuple[Dataset | None, str]:
    """Returns the dataset, or None and the damage of the store (empty where there is no store)."""
    if not path.is_dir():
        return None, ""
    try:
        return open_store(path), ""
    except (TenfoldError, ValueError, KeyError, TypeError, AttributeError) as error:
        # Another process may have deleted the store meanwhile, which is no damage.
        return None, str(error) if path.is_dir() else ""


def list_stores() -> list[StoreInfo]:
    """Returns the stores in the cache, sorted by folder name, damaged ones included.

    Raises:
        StorageError: when the cache cannot be read.
    """
    home = cache_folder() / "stores"
    with storage_errors("read", home):
        folders = sorted(home.iterdir()) if home.is_dir() else []
        return [_info(path) for path in folders if path.is_dir() and not path.name.startswith(TEMPORARY_PREFIX)]


def list_unfinished() -> list[StoreInfo]:
    """Returns the stores that are being prepared, or were until a process was killed; without images.

    Raises:
        StorageError: when the cache cannot be read.
    """
    home = cache_folder() / "stores"
    with storage_errors("read", home):
        folders = sorted(home.glob(unfinished_folder(home / f"*-{'[0-9a-f]' * 16}").name))
        return [_info(path) for path in folders if plan_of(path)]


def _info(path: Path) -> StoreInfo:
    name, _, key = path.name.removeprefix(TEMPORARY_PREFIX).rpartition("-")
    size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    try:
        index = read_index(path)
    except (OSError, DataError, ValueError, KeyError, TypeError, AttributeError):
        return StoreInfo(name, key, path, size, 0, "")
    return StoreInfo(name, key, path, size, sum(index.num_images.values()), index.created)


def stores_named(name_or_key: str) -> list[StoreInfo]:
    """Returns every store of a name, or the one with a key or a folder name.

    Raises:
        DataError: when there is none; the message names the existing stores.
        StorageError: when the cache cannot be read.
    """
    return _named(list_stores(), name_or_key)


def _named(stores: list[StoreInfo], name_or_key: str) -> list[StoreInfo]:
    chosen = [store for store in stores if name_or_key in (store.name, store.key, store.path.name)]
    if not chosen:
        names = sorted({store.name for store in stores})
        raise DataError(
            f"there is no prepared copy '{name_or_key}'{did_you_mean(name_or_key, names)} "
            f"(known: {', '.join(names) or 'none'})"
        )
    return chosen


def delete_store(name_or_key: str) -> list[StoreInfo]:
    """Deletes every store of a name, or the one with a key, unfinished ones too; returns the deleted stores.

    Raises:
        DataError: see `stores_named`.
        StorageError: when the disk refuses.
    """
    return _delete(_named(list_stores() + list_unfinished(), name_or_key))


def delete_all() -> list[StoreInfo]:
    """Deletes every store, unfinished ones too; returns the deleted stores.

    Raises:
        StorageError: when the disk refuses.
    """
    return _delete(list_stores() + list_unfinished())


def _delete(stores: list[StoreInfo]) -> list[StoreInfo]:
    for store in stores:
        with _lock(_folder(store.name, store.key), no_progress), storage_errors("remove", store.path):
            durable.disk.remove(store.path)
        delete_leaks(store.name)
        delete_sizes(store.name)
    return stores


@contextmanager
def _lock(target: Path, progress: ProgressCallback) -> Iterator[None]:
    """Holds the lock of a store; reports when another process holds it."""
    locks = cache_folder() / "locks"
    try:
        durable.make_folder(locks)
        durable.make_folder(target.parent)
    except StorageError as error:
        hint = "" if "TENFOLD_CACHE" in str(error) else "; or set TENFOLD_CACHE to a writable folder"
        raise StorageError(f"{error}{hint}") from None
    waiting = f"Waiting for another process that prepares {target.name}"
    with locked(locks / f"{target.name}.lock", lambda: progress(waiting, 0, 0), storage_errors("lock", locks)):
        yield
