"""Datasets: prepared from a source or made from arrays."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core import durable
from tenfold.core.cache import cache_folder
from tenfold.core.disk import display_path, expanded, storage_errors
from tenfold.core.errors import DataError, UsageError
from tenfold.core.notebook import default_progress
from tenfold.core.progress import Progress
from tenfold.core.text import escaped, size_text
from tenfold.data.build import BUILT_IN, DataRequest, build_dataset, redrawn
from tenfold.data.decode.fit_rule import parse_fit
from tenfold.data.in_memory import read_in_memory
from tenfold.data.sources.address import is_address, is_fetched, pinned
from tenfold.data.sources.cifar import find_cifar
from tenfold.data.sources.cifar_files import SOURCES
from tenfold.data.sources.label_files import labels_from, moved_labels
from tenfold.data.sources.layout import drawn_note
from tenfold.data.store.store import list_stores
from tenfold.data.types import Dataset, Split, no_progress
from tenfold.data.webdataset_writer import is_exported, write_webdataset
from tenfold.recipes.load import key_of, resolve
from tenfold.recipes.schema import DataSection, Recipe
from tenfold.runs.folders import source_places

DataSource = str | Path | Dataset | tuple[Any, Any] | list[Any] | Mapping[str, Any]
"""What Python takes as data: a dataset's name or path, a `Dataset`, `(images, labels)`, or such pairs by split,
`{"train": (images, labels), "test": (images, labels)}`."""

DATA_PLACES = ("data.source", "data.data_dir")
"""Recipe keys that say where the images are: they may change where the images are the same."""


def dataset(source: DataSource, *, progress: Progress | None = None, **settings: Any) -> Dataset:
    """Prepares a dataset. Images are decoded once and kept in the cache folder.

    Args:
        source: `shapes`, `cifar10`, `cifar100`, `auto`, a folder or an archive of class folders; or images and labels
            in memory, see `in_memory`.
        progress: receives messages; shown in notebooks and silent elsewhere by default.
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
    section = resolve(Recipe(), {"data": settings}).data
    if isinstance(source, str | Path):
        section = resolve(Recipe(), {"data": {**settings, "source": str(source)}}).data
    return given_dataset(source, section) or dataset_of(section, progress or default_progress())


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


def in_memory(data: object, section: DataSection) -> Dataset | None:
    """Returns the dataset of images and labels in memory, or None if `data` names a source or is None.

    Args:
        data: a `Dataset`; `(images, labels)`; or `{"train": (images, labels), "test": (images, labels)}`, also with
            `val`. Images are arrays, torch tensors, or lists of arrays, tensors or PIL images: uint8 [N, H, W, 3],
            [N, 3, H, W] or gray [N, H, W]. Labels are class names or integers.
        section: of the recipe: fractions and seed of the splits that do not exist and are drawn.

    Raises:
        DataError: when `data` is something else, or does not fit together.

    Example:
        >>> images = np.arange(10 * 8 * 8 * 3).astype(np.uint8).reshape(10, 8, 8, 3)
        >>> found = in_memory((images, [0, 1] * 5), DataSection())
        >>> found.classes, len(found.train), len(found.test)
        (('0', '1'), 8, 2)
    """
    if data is None or isinstance(data, str | Path):
        return None
    if not isinstance(data, Dataset):
        found = read_in_memory(data, section.test_fraction, section.split_seed)
        pairs = {name: (split.images, split.labels) for name, split in found.splits.items()}
        data = dataset_from_arrays(pairs["train"], pairs["test"], found.classes, val=pairs.get("val"))
        if found.drawn:
            note = drawn_note("test images", section.test_fraction, len(data.test), section.split_seed)
            data = replace(data, drawn=found.drawn, notes=(note,))
        if parse_fit(section.fit).fraction == 1:  # images in memory have no margin
            data = replace(data, fit=section.fit)  # decides how images are resized that are predicted later
    if not data.fingerprint:  # made by hand: runs and the cache must tell its images from others
        data = replace(data, fingerprint=_digest(list(data.splits().values()), data.classes))
    return redrawn(data, request_of(section), no_progress)


def given_dataset(data: object, section: DataSection) -> Dataset | None:
    """Returns the dataset of images and labels in memory for what the user asks for; see `in_memory`.

    Raises:
        DataError: when `section` asks for what only a source can have, such as another image size; see `in_memory`.
    """
    if data is None or isinstance(data, str | Path):
        return None
    for key in ("labels", "splits", "classes_are_folders", "data_dir", "exclude", "relabel"):
        if value := getattr(section, key):
            raise DataError(f"data.{key} is {value}, but the data is in memory, which no file belongs to; leave it out")
    given = in_memory(data, section)
    assert given is not None
    size = request_of(section).size
    if size not in (None, given.image_size):
        raise DataError(
            f"data.image_size is {size_text(size)}, but the images in memory are {size_text(given.image_size)}; "
            "resize them, or leave data.image_size out"
        )
    if section.fit not in ("crop", given.fit):
        raise DataError(f"data.fit is {section.fit}, but the dataset was prepared with {given.fit}; leave data.fit out")
    return given


def dataset_of(section: DataSection, progress: Progress) -> Dataset:
    """Prepares the dataset that a recipe's `[data]` asks for."""
    return build_dataset(request_of(section), progress.prepare)


def recorded_section(section: DataSection, folder: Path, source: str | None = None) -> DataSection:
    """Returns the `[data]` of a run with paths that exist now, as far as they can be found.

    For the source see `source_places`. Image lists are copied into the run folder, which may have been moved. A
    `data_dir` that is gone is left out: what was prepared from it may still be there.

    Args:
        section: of the run's recipe.
        folder: the run folder.
        source: where the data is now, if that is known; not checked.

    Raises:
        DataError: when the recorded source is nowhere; the message says how to name its new place.
    """
    found: dict[str, object] = {"source": source or section.source}
    if source is None and section.source not in BUILT_IN and not is_address(section.source):
        existing = source_places(section.source, folder)
        if not existing:
            raise DataError(
                f"{section.source}, the data of {display_path(folder)}, is not there; name its new place with --data, "
                "or give data= in Python: a path, or the images where they were in memory"
            )
        found["source"] = str(existing[0])
    if section.labels:
        found["labels"] = moved_labels(section.labels, Path(section.source), Path(str(found["source"])))
    if section.data_dir and not Path(section.data_dir).expanduser().is_dir():
        found["data_dir"] = ""
    for key in ("exclude", "relabel"):
        copy = folder / f"{key}.csv"
        if getattr(section, key) and copy.is_file():
            found[key] = str(copy)
    return section.model_copy(update=found)


def absolute_paths(section: DataSection) -> dict[str, object]:
    """Returns the paths of a recipe's `[data]` as absolute ones, by dotted key, so that any folder may resume the run.

    A source that is no path, such as `cifar10` or the name of a dataset in memory, is left out.
    """
    named = {key: getattr(section, key) for key in ("source", "data_dir", "exclude", "relabel")}
    paths = {key: expanded(text) for key, text in named.items() if text and (key != "source" or text not in BUILT_IN)}
    absolute: dict[str, object] = {f"data.{key}": str(path.absolute()) for key, path in paths.items() if path.exists()}
    if is_address(section.source):
        absolute["data.source"] = pinned(section.source)
    return absolute | ({"data.labels": labels_from(section.labels, expanded(section.source))} if section.labels else {})


def moved_data(recipe: Recipe, data: object, overrides: Sequence[str]) -> tuple[Recipe, list[str]]:
    """Returns the recipe with the place where its images are now, and the overrides that are about something else.

    Args:
        recipe: of the same images elsewhere.
        data: a path or a name; anything else says no place.
        overrides: `"section.key=value"` each.
    """
    places = [line for line in overrides if key_of(line) in DATA_PLACES]
    if isinstance(data, str | Path):
        places.append(f"data.source={data}")
    if not places:
        return recipe, list(overrides)
    moved = resolve(recipe, places)
    return resolve(moved, absolute_paths(moved.data)), [line for line in overrides if line not in places]


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


def export_dataset(section: DataSection, file_format: str, output: Path, progress: Progress, *, force: bool) -> int:
    """Writes a prepared dataset for other programs.

    Args:
        section: of the recipe: which images, and how they are prepared.
        file_format: `webdataset`.
        output: a folder, which must not exist.
        progress: receives messages.
        force: whether the folder of an earlier export is replaced.

    Returns:
        The number of tar files.

    Raises:
        UsageError: when the format is unknown, or the folder exists and is not to be replaced.
        TenfoldError: when the data cannot be prepared or written.
    """
    if file_format != "webdataset":
        raise UsageError(f"format is '{escaped(file_format)}'; expected webdataset")
    exported = is_exported(output)
    if output.exists() and not (force and exported):
        remedy = "or replace it with --force" if exported else "since it holds other files"
        raise UsageError(f"{display_path(output)} already exists; choose another folder with --output, {remedy}")
    dataset = dataset_of(section, progress)
    if exported:
        with storage_errors("remove", output):
            durable.disk.remove(output)
    return write_webdataset(dataset, output, section.shard_size, progress.prepare)


def needs_download(section: DataSection) -> bool:
    """Returns whether preparing the dataset would download it. Charts and pages do without it then."""
    if is_address(section.source):
        return not is_fetched(section.source)
    if section.source not in SOURCES or any(store.name == section.source for store in list_stores()):
        return False
    folder = Path(section.data_dir).expanduser() if section.data_dir else None
    return find_cifar(SOURCES[section.source], folder, cache_folder()) is None
