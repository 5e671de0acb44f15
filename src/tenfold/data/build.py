"""From what a user calls the data to a dataset: `shapes`, `cifar10`, `cifar100`, a folder, an archive or `auto`.

Each goes through a store, so that only the first time takes long. A built-in name wins over a folder of that
name; `./shapes` is the folder.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tenfold.core.errors import DataError, DownloadError
from tenfold.data.decode.decode import DECODER_VERSION
from tenfold.data.labels import edited
from tenfold.data.request import DataRequest as DataRequest
from tenfold.data.sources.cifar import downloadable, find_cifar, load_cifar, source_named
from tenfold.data.sources.cifar_files import SOURCES
from tenfold.data.sources.class_folders import check_source, list_folder
from tenfold.data.sources.download import Progress, silent
from tenfold.data.sources.shapes import build_shapes
from tenfold.data.splits import stratified_split
from tenfold.data.store.cache_key import archive_digest, dataset_name, folder_digest
from tenfold.data.store.store import Build, cache_folder, open_if_sound, open_or_build, store_exists, store_key
from tenfold.data.store.writer import fill_from_arrays, fill_from_folders
from tenfold.data.types import Dataset, Split

Size = tuple[int, int] | None
"""Height and width, or None where they are to be chosen."""

BUILT_IN = ("auto", "shapes", "cifar10", "cifar100")


def build_dataset(request: DataRequest, progress: Progress = silent) -> Dataset:
    """Returns the dataset that was asked for, ready to train on.

    Args:
        request: what is asked for.
        progress: told what is being done, how much is done, and of how much.

    Raises:
        DataError: when the source is not there, is damaged, or holds nothing that can be learnt and tested, or a list
            of pictures does not fit it.
        DownloadError: when CIFAR has to be fetched and no server delivers it.
        StorageError: when the cache cannot be written.

    Example:
        >>> build_dataset(DataRequest("shapes")).classes[0]  # doctest: +SKIP
        'arrow'
    """
    if request.source == "auto":
        dataset = _auto(request, progress)
    elif request.source == "shapes":
        dataset = _shapes(request, progress)
    elif request.source in SOURCES:
        dataset = _cifar(request, request.source, progress)
    else:
        dataset = _class_folders(request, progress)
    exclude, relabel = (_at_home(name) if name else None for name in (request.exclude, request.relabel))
    dataset = edited(dataset, exclude, relabel)
    return _with_validation(dataset, request.val_fraction, request.split_seed)


def _auto(request: DataRequest, progress: Progress) -> Dataset:
    """CIFAR-10 if it is there or can be fetched, else shapes."""
    source = source_named("cifar10")
    folder = _data_dir(request)
    here = store_exists("cifar10", _cifar_key(request, "cifar10", request.size)) or find_cifar(
        source, folder, cache_folder()
    )
    if here:
        return _cifar(request, "cifar10", progress)
    progress("Looking for CIFAR-10", 0, 0)
    why = "its host cannot be reached"
    if downloadable(source):
        why = "its host does not deliver it"
        with suppress(DownloadError):
            return _cifar(request, "cifar10", progress)
    shapes = _shapes(request, progress)
    return replace(shapes, notes=(f"no CIFAR-10 here and {why}: using the built-in shapes", *shapes.notes))


def _shapes(request: DataRequest, progress: Progress) -> Dataset:
    # The digest tells the version of the drawings; two pictures are made in no time.
    version = build_shapes(1, 1).fingerprint

    def key_for(size: Size) -> str:
        return store_key("shapes", version, size, request.fit, DECODER_VERSION)

    def build(folder: Path) -> None:
        progress("Drawing shapes", 0, 0)
        fill_from_arrays(folder, build_shapes(), request, "drawn", progress)

    return _prepared("shapes", key_for, request, build, progress)


def _cifar(request: DataRequest, name: str, progress: Progress) -> Dataset:
    def build(folder: Path) -> None:
        arrays = load_cifar(name, data_dir=_data_dir(request), cache=cache_folder(), progress=progress)
        train = Split(arrays.train_images, arrays.train_labels)
        test = Split(arrays.test_images, arrays.test_labels)
        fill_from_arrays(folder, Dataset(name, arrays.classes, train, test), request, name, progress)

    return _prepared(name, lambda size: _cifar_key(request, name, size), request, build, progress)


def _at_home(name: str) -> Path:
    """Returns the path with `~` replaced, or as it is where nobody of that name has a home."""
    with suppress(RuntimeError):
        return Path(name).expanduser()
    return Path(name)


def _data_dir(request: DataRequest) -> Path | None:
    return _at_home(request.data_dir) if request.data_dir else None


def _cifar_key(request: DataRequest, name: str, size: Size) -> str:
    """Archives have pinned checksums; an extracted folder is known by its files."""
    source = source_named(name)
    place = find_cifar(source, _data_dir(request), cache_folder())
    extracted = [file[:] for file in list_folder(place).files] if place and place.is_dir() else []
    checksums = [form.md5 for form in source.forms]
    return store_key(name, checksums, extracted, size, request.fit, DECODER_VERSION)


def _class_folders(request: DataRequest, progress: Progress) -> Dataset:
    path = _at_home(request.source)
    check_source(path, BUILT_IN)
    listing = list_folder(path) if path.is_dir() else None
    digest = folder_digest(listing) if listing else archive_digest(path)
    drawing = (request.test_fraction, request.split_seed, request.max_unreadable)

    def key_for(size: Size) -> str:
        return store_key(digest, size, request.fit, *drawing, DECODER_VERSION)

    def build(folder: Path) -> None:
        fill_from_folders(folder, path, listing, request, progress)

    return _prepared(dataset_name(path.absolute()), key_for, request, build, progress)


def _prepared(
    name: str, key_for: Callable[[Size], str], request: DataRequest, build: Build, progress: Progress
) -> Dataset:
    """Opens or makes the store of what is asked for.

    A run's recipe names the size that was chosen when it was trained with `auto`: the store of then serves it.
    """
    chosen = open_if_sound(name, key_for(None)) if request.size else None
    if chosen is not None and chosen.image_size == request.size:
        return chosen
    return open_or_build(name, key_for(request.size), build, progress)


def _with_validation(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """Returns the dataset with a share of train set apart, where there is no val split and one is asked for."""
    if dataset.val is not None or fraction == 0:
        return dataset
    rest, drawn = stratified_split(dataset.train.labels, fraction, seed)
    if not len(drawn):
        raise DataError(
            f"{dataset.name} has one training picture in each class and none to set apart; set data.val_fraction=0"
        )
    drawing = f"{dataset.fingerprint} val {fraction!r} {seed}"
    return replace(
        dataset,
        train=dataset.train.subset(rest),
        val=dataset.train.subset(drawn),
        fingerprint=hashlib.sha256(drawing.encode()).hexdigest(),
    )
