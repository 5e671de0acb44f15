"""Stores: pictures decoded once to memory-mapped uint8, in the user's cache folder and nowhere else.

    <cache>/stores/<name>-<16 digits of the key>/
        train-images.npy · train-labels.npy      and the same for test and perhaps val
        paths.json                               where each picture came from, by split
        index.json                               everything else, see index.py
        manifest.json                            sizes and digests, written by core/durable.py
    <cache>/locks/                               one empty file for each store, locked while it is made

A store is keyed by what its source holds and how it was decoded, and published whole by a rename: whoever
sees one sees a complete one. N pictures, H×W pixels, 3 channels.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs

from tenfold.core import durable
from tenfold.core.disk import TEMPORARY_PREFIX, translated
from tenfold.core.errors import DataError, StorageError, TenfoldError
from tenfold.core.locks import locked
from tenfold.core.registry import did_you_mean
from tenfold.data.sources.download import Progress, silent
from tenfold.data.store.format import FORMAT, Index, read_index
from tenfold.data.types import Dataset, Skipped, Split


@dataclass(frozen=True)
class StoreInfo:
    """A store on disk: name, key (16 digits), folder, bytes it takes, pictures it holds, when it was made."""

    name: str
    key: str
    path: Path
    bytes: int
    pictures: int
    created: str


Build = Callable[[Path], None]
"""Fills an empty folder with the splits, and ends with `index.write_index`."""


def cache_folder() -> Path:
    """Returns the folder for everything that can be made or fetched again; it may not exist yet.

    `TENFOLD_CACHE` names it; otherwise it is where the system keeps such things for this user.

    Raises:
        StorageError: when the system knows no such place, because HOME is not set.
    """
    named = os.environ.get("TENFOLD_CACHE", "")
    folder = Path(named or platformdirs.user_cache_dir("tenfold", appauthor=False))
    try:
        folder = folder.expanduser()
    except RuntimeError:
        folder = Path("~")
    if folder.parts[:1] == ("~",):
        raise StorageError(
            "there is no home folder to keep prepared pictures in; set HOME, or TENFOLD_CACHE to a folder "
            "that can be written"
        )
    return folder.absolute()


def store_key(*parts: object) -> str:
    """Returns 16 hex digits that stand for `parts` (anything JSON can say) and the layout of stores.

    Raises:
        TypeError: when JSON cannot say a part.
    """
    text = json.dumps([FORMAT, *parts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def store_exists(name: str, key: str) -> bool:
    """Returns whether there is a store of this name and key; whether it is sound shows when it is opened.

    Raises:
        StorageError: when there is no place for a cache.
    """
    return _place(name, key).is_dir()


def _place(name: str, key: str) -> Path:
    return cache_folder() / "stores" / f"{name}-{key}"


def open_or_build(name: str, key: str, build: Build, progress: Progress = silent) -> Dataset:
    """Opens the store of this name and key; makes it first where there is none or it is damaged.

    Of several processes one makes it while the others wait; a killed one leaves no lock behind.

    Args:
        name: fit for a folder name.
        key: 16 hex digits, see `store_key`.
        build: fills the folder.
        progress: told when another process is waited for.

    Raises:
        DataError: whatever `build` raises.
        StorageError: when the cache cannot be written.
    """
    target = _place(name, key)
    dataset, _ = _open_if_sound(target)
    if dataset is not None:
        return dataset
    with _lock(target, progress):
        dataset, damage = _open_if_sound(target)
        if dataset is not None:
            return dataset
        with translated("remove", target):
            durable.disk.remove(target)
        durable.remove_leftovers(target.parent)
        with durable.new_folder(target) as folder:
            build(folder)
        made = open_store(target)
    if not damage:
        return made
    return replace(made, notes=(*made.notes, f"the store of {name} was damaged and has been made anew: {damage}"))


def open_if_sound(name: str, key: str) -> Dataset | None:
    """Opens the store of this name and key, or returns None where there is none or it is damaged.

    Raises:
        StorageError: when the system knows no place for the cache.
    """
    dataset, _ = _open_if_sound(_place(name, key))
    return dataset


def open_store(path: Path) -> Dataset:
    """Opens a store; pixels stay on disk until they are looked at.

    Raises:
        RunError: when a file is missing or has another size than when it was written.
        StorageError: when the disk cannot be read.
        DataError, ValueError, KeyError, TypeError: when the content makes no sense.
    """
    durable.verify_folder(path, digests=False)
    with translated("read", path):
        index = read_index(path)
        paths = json.loads((path / "paths.json").read_bytes())
        splits = {split: _open_split(path, split, paths[split]) for split in index.pictures}
    return Dataset(
        name=index.name,
        classes=index.classes,
        train=splits["train"],
        test=splits["test"],
        val=splits.get("val"),
        fit=index.fit,
        fingerprint=_fingerprint(path, index),
        skipped=tuple(Skipped(*entry) for entry in index.skipped),
        notes=index.notes,
    )


def _open_split(path: Path, split: str, names: list[str] | None) -> Split:
    images = np.load(path / f"{split}-images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(path / f"{split}-labels.npy", allow_pickle=False)
    return Split(images.view(np.ndarray), labels, None if names is None else tuple(names))


def _fingerprint(path: Path, index: Index) -> str:
    """Returns a digest of classes, pixels and labels, from the digests taken when they were written."""
    manifest = json.loads((path / durable.MANIFEST).read_bytes())
    digests = {name: entry["sha256"] for name, entry in sorted(manifest.items()) if name.endswith(".npy")}
    return hashlib.sha256(json.dumps([index.classes, digests]).encode()).hexdigest()


def _open_if_sound(path: Path) -> tuple[Dataset | None, str]:
    """Returns the dataset, or nothing and what is wrong with the store (no text where there is none)."""
    if not path.is_dir():
        return None, ""
    try:
        return open_store(path), ""
    except (TenfoldError, ValueError, KeyError, TypeError, AttributeError) as error:
        # Another process may have deleted it meanwhile, which is no damage.
        return None, str(error) if path.is_dir() else ""


def list_stores() -> list[StoreInfo]:
    """Returns the stores in the cache, sorted by name; damaged ones too, so that they can be deleted.

    Raises:
        StorageError: when the cache cannot be read.
    """
    home = cache_folder() / "stores"
    with translated("read", home):
        folders = sorted(home.iterdir()) if home.is_dir() else []
        return [_info(path) for path in folders if path.is_dir() and not path.name.startswith(TEMPORARY_PREFIX)]


def _info(path: Path) -> StoreInfo:
    name, _, key = path.name.rpartition("-")
    size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    try:
        index = read_index(path)
    except (OSError, DataError, ValueError, KeyError, TypeError, AttributeError):
        return StoreInfo(name, key, path, size, 0, "")
    return StoreInfo(name, key, path, size, sum(index.pictures.values()), index.created)


def delete_store(name_or_key: str) -> list[StoreInfo]:
    """Deletes every store of this name, or the one with this key; returns what was deleted.

    Raises:
        DataError: when there is none; it names those that exist.
        StorageError: when the disk refuses.
    """
    stores = list_stores()
    chosen = [store for store in stores if name_or_key in (store.name, store.key, store.path.name)]
    if not chosen:
        names = sorted({store.name for store in stores})
        known = f"there are: {', '.join(names)}" if names else "there are none"
        raise DataError(f"no store '{name_or_key}'{did_you_mean(name_or_key, names)} ({known})")
    for store in chosen:
        _delete(store)
    return chosen


def delete_all() -> list[StoreInfo]:
    """Deletes every store; returns what was deleted.

    Raises:
        StorageError: when the disk refuses.
    """
    stores = list_stores()
    for store in stores:
        _delete(store)
    return stores


def _delete(store: StoreInfo) -> None:
    with _lock(store.path, silent), translated("remove", store.path):
        durable.disk.remove(store.path)


@contextmanager
def _lock(target: Path, progress: Progress) -> Iterator[None]:
    """Holds the lock of a store; waits, aloud, while another process holds it."""
    locks = cache_folder() / "locks"
    try:
        durable.make_folder(locks)
        durable.make_folder(target.parent)
    except StorageError as error:
        hint = "" if "TENFOLD_CACHE" in str(error) else "; or set TENFOLD_CACHE to a folder that can be written"
        raise StorageError(f"{error}{hint}") from None
    waiting = f"Waiting for another process that prepares {target.name}"
    with locked(locks / f"{target.name}.lock", lambda: progress(waiting, 0, 0), translated("lock", locks)):
        yield
