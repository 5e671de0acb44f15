"""Builds datasets from what `--data` names: `shapes`, `cifar10`, `cifar100`, `auto`, a folder or an archive.

Every dataset goes through a store, so that only the first time takes long. A built-in name has precedence over a folder
of that name; `./shapes` is the folder.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tenfold.core.cache import cache_folder
from tenfold.core.disk import expanded
from tenfold.core.errors import DataError, DownloadError
from tenfold.core.text import escaped
from tenfold.data.decode.decode import DECODER_VERSION
from tenfold.data.draw import with_duplicate_groups, with_fold, with_validation
from tenfold.data.labels import apply_lists
from tenfold.data.listed_source import listed_source, on_disk
from tenfold.data.request import BUILT_IN as BUILT_IN
from tenfold.data.request import DataRequest as DataRequest
from tenfold.data.sources.address import is_address, note_on
from tenfold.data.sources.cifar import downloadable, find_cifar, load_cifar, source_named
from tenfold.data.sources.cifar_files import SOURCES
from tenfold.data.sources.class_folders import list_folder
from tenfold.data.sources.shapes import build_shapes
from tenfold.data.store.cache_key import dataset_name, size_key
from tenfold.data.store.store import Build, open_if_valid, open_or_build, store_exists, store_key
from tenfold.data.store.writer import fill_from_arrays, fill_from_folders
from tenfold.data.types import Dataset, ProgressCallback, Split, no_progress
from tenfold.data.unstored import unstored

Size = tuple[int, int] | None
"""Height and width in pixels, or None where the size is chosen automatically."""

_ARRAYS_VERSION = 1
"""Increased whenever arrays, which are not decoded, are brought to size in another way than before."""


def build_dataset(request: DataRequest, progress: ProgressCallback = no_progress) -> Dataset:
    """Returns a dataset that is ready for training.

    Args:
        request: which data, and how to prepare them.
        progress: called with a description, how much is done, and the total.

    Raises:
        DataError: when the source is missing or damaged, cannot be trained and tested on, or a list of images does not
            fit it.
        DownloadError: when CIFAR must be downloaded and no server delivers it.
        StorageError: when the cache cannot be written.

    Example:
        >>> build_dataset(DataRequest("shapes")).classes[0]  # doctest: +SKIP
        'arrow'
    """
    _check_data_dir(request)
    if request.source == "auto":
        dataset = _auto(request, progress)
    elif request.source == "shapes":
        dataset = _shapes(request, progress)
    elif request.source in SOURCES:
        dataset = _cifar(request, request.source, progress)
    elif is_address(request.source):
        dataset = _from_address(request, progress)
    else:
        dataset = _files(request, progress)
    if request.data_dir and request.source not in ("auto", *SOURCES):
        note = f"data_dir {escaped(request.data_dir)} has no effect on {dataset.name}: it names a folder of CIFAR"
        dataset = replace(dataset, notes=(note, *dataset.notes))
    exclude, relabel = (expanded(name) if name else None for name in (request.exclude, request.relabel))
    return redrawn(dataset, request, progress, lambda found: apply_lists(found, exclude, relabel))


def redrawn(
    dataset: Dataset,
    request: DataRequest,
    progress: ProgressCallback,
    edited: Callable[[Dataset], Dataset] = lambda dataset: dataset,
) -> Dataset:
    """Returns the dataset with the splits that a request draws from its images: by duplicates, folds, validation.

    Args:
        dataset: with a train and a test split.
        request: what to draw.
        progress: called with what is being done.
        edited: applies lists of images, which name those of train; before folds are drawn.

    Raises:
        DataError: when a split cannot be drawn.
    """
    if request.group == "duplicates":
        dataset = with_duplicate_groups(dataset, request.test_fraction, request.split_seed, progress)
    dataset = edited(dataset)
    if request.folds:
        dataset = with_fold(dataset, request.folds, request.fold, request.split_seed)
    return with_validation(dataset, request.val_fraction, request.split_seed)


def _auto(request: DataRequest, progress: ProgressCallback) -> Dataset:
    """Returns CIFAR-10 if it is there or can be downloaded, else the built-in shapes."""
    source = source_named("cifar10")
    stored = store_exists("cifar10", _cifar_key(request, "cifar10", request.size))
    if stored or find_cifar(source, _data_dir(request), cache_folder()):
        return _cifar(request, "cifar10", progress)
    progress("Looking for CIFAR-10", 0, 0)
    reason = "its host cannot be reached"
    if downloadable(source):
        reason = "its host does not deliver it"
        with suppress(DownloadError):
            return _cifar(request, "cifar10", progress)
    shapes = _shapes(request, progress)
    return replace(shapes, notes=(f"no CIFAR-10 here and {reason}: using the built-in shapes", *shapes.notes))


def _shapes(request: DataRequest, progress: ProgressCallback) -> Dataset:
    # The fingerprint identifies the version of the drawings; drawing two images is fast.
    version = build_shapes(1, 1).fingerprint

    def key_for(size: Size) -> str:
        return store_key("shapes", version, *size_key(size, request.fit), _ARRAYS_VERSION)

    def build(folder: Path) -> None:
        progress("Drawing shapes", 0, 0)
        fill_from_arrays(folder, build_shapes(), request, "drawn", progress)

    return _prepared("shapes", key_for, request, build, progress)


def _cifar(request: DataRequest, name: str, progress: ProgressCallback) -> Dataset:
    def build(folder: Path) -> None:
        arrays = load_cifar(name, data_dir=_data_dir(request), cache=cache_folder(), progress=progress)
        train = Split(arrays.train_images, arrays.train_labels)
        test = Split(arrays.test_images, arrays.test_labels)
        fill_from_arrays(folder, Dataset(name, arrays.classes, train, test), request, name, progress)

    return _prepared(name, lambda size: _cifar_key(request, name, size), request, build, progress)


def _data_dir(request: DataRequest) -> Path | None:
    return expanded(request.data_dir) if request.data_dir else None


def _check_data_dir(request: DataRequest) -> None:
    """Raises DataError where the folder named for CIFAR is needed and not there: mistyped, or not mounted."""
    folder = _data_dir(request)
    if folder is not None and not folder.is_dir() and not _is_stored(request):
        name = escaped(str(folder))
        found = "is no folder" if folder.exists() else "does not exist"
        raise DataError(
            f"data_dir {name} {found}; expected a folder that holds CIFAR or receives its download"
            + ("" if folder.exists() else f": mkdir {name}")
        )


def _is_stored(request: DataRequest) -> bool:
    """Returns whether CIFAR was prepared before, so that its files are not needed."""
    name = "cifar10" if request.source == "auto" else request.source
    sizes = {None, request.size}
    return name in SOURCES and any(store_exists(name, _cifar_key(request, name, size)) for size in sizes)


def _cifar_key(request: DataRequest, name: str, size: Size) -> str:
    """Returns the key of a CIFAR store. An archive is identified by its checksum, an extracted folder by its files."""
    source = source_named(name)
    path = find_cifar(source, _data_dir(request), cache_folder())
    extracted = [file[:] for file in list_folder(path).files] if path and path.is_dir() else []
    checksums = [form.md5 for form in source.forms]
    return store_key(name, checksums, extracted, *size_key(size, request.fit), _ARRAYS_VERSION)


def _from_address(request: DataRequest, progress: ProgressCallback) -> Dataset:
    local = on_disk(request, progress)
    dataset = _files(local, progress)
    return replace(dataset, notes=(note_on(request.source, Path(local.source)), *dataset.notes))


def _files(request: DataRequest, progress: ProgressCallback) -> Dataset:
    source = listed_source(request)
    if request.store == "none":
        return unstored(source, request)
    path, listing, digest = source
    group = [request.group] if request.group else []  # without it, the key of earlier versions
    settings = (request.test_fraction, request.split_seed, request.max_unreadable, *group)

    def key_for(size: Size) -> str:
        return store_key(digest, *size_key(size, request.fit), *settings, DECODER_VERSION)

    def build(folder: Path) -> None:
        fill_from_folders(folder, path, listing, request, progress)

    return _prepared(dataset_name(path.absolute()), key_for, request, build, progress)


def _prepared(
    name: str, key_for: Callable[[Size], str], request: DataRequest, build: Build, progress: ProgressCallback
) -> Dataset:
    """Opens or builds the store for a request.

    A run trained with `auto` stores the chosen size in its recipe: for that size, the store of `auto` is used.
    """
    automatic = open_if_valid(name, key_for(None)) if request.size else None
    if automatic is not None and automatic.image_size == request.size:
        return automatic
    return open_or_build(name, key_for(request.size), build, progress)
