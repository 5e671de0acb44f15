"""Datasets: prepared from a source or made from arrays."""

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.cache import cache_folder
from tenfold.core.progress import Progress, SilentProgress
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.sources.cifar import find_cifar
from tenfold.data.sources.cifar_files import SOURCES
from tenfold.data.store.store import list_stores
from tenfold.data.types import Dataset, Split
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import DataSection, Recipe


def dataset(source: str | Path, *, progress: Progress | None = None, **settings: Any) -> Dataset:
    """Prepares a dataset. Images are decoded once and kept in the cache folder.

    Args:
        source: `shapes`, `cifar10`, `cifar100`, `auto`, a folder or an archive of class folders.
        progress: receives messages; silent by default.
        settings: further keys of a recipe's `[data]`, such as `image_size=64`.

    Returns:
        Splits of images, uint8 [N, H, W, 3], and labels, int64 [N].

    Raises:
        DataError: when the data is missing or damaged.
        RecipeError: when a setting is unknown or has a wrong value.

    Example:
        >>> tenfold.dataset("shapes").classes[:3]  # doctest: +SKIP
        ('circle', 'ring', 'square')
    """
    section = resolve(Recipe(), {"data": {"source": str(source), **settings}}).data
    return dataset_of(section, progress or SilentProgress())


def dataset_from_arrays(
    train: tuple[NDArray[np.uint8], NDArray[np.int64]],
    test: tuple[NDArray[np.uint8], NDArray[np.int64]],
    classes: Sequence[str],
    *,
    val: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = None,
    name: str = "arrays",
) -> Dataset:
    """Makes a dataset from arrays.

    Args:
        train: images, uint8 [N, H, W, 3], and labels, int64 [N].
        test: images and labels of the test split.
        classes: class names, in the order of the labels.
        val: images and labels of the validation split.
        name: of the dataset; a part of run folder names.

    Raises:
        DataError: when shapes, dtypes or labels do not fit.
    """
    splits = [None if pair is None else Split(*pair) for pair in (train, test, val)]
    assert splits[0] is not None
    assert splits[1] is not None
    return Dataset(name, tuple(classes), splits[0], splits[1], splits[2], fingerprint=_digest(splits, classes))


def dataset_of(section: DataSection, progress: Progress) -> Dataset:
    """Prepares the dataset that a recipe's `[data]` asks for."""
    return build_dataset(request_of(section), progress.prepare)


def request_of(section: DataSection) -> DataRequest:
    """Returns the part of a recipe's `[data]` that decides how images are prepared."""
    return DataRequest(**{field.name: getattr(section, field.name) for field in fields(DataRequest)})


def _digest(splits: Sequence[Split | None], classes: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(tuple(classes)).encode())
    for split in splits:
        if split is not None:
            digest.update(np.ascontiguousarray(split.images).data)
            digest.update(np.ascontiguousarray(split.labels).data)
    return digest.hexdigest()


def needs_download(section: DataSection) -> bool:
    """Returns whether preparing the dataset would download it. Charts and pages do without it then."""
    if section.source not in SOURCES or any(store.name == section.source for store in list_stores()):
        return False
    folder = Path(section.data_dir).expanduser() if section.data_dir else None
    return find_cifar(SOURCES[section.source], folder, cache_folder()) is None
