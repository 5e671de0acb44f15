"""Labeled images that a classifier is evaluated on: all of a source, or one of its splits. Nothing is drawn."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tenfold.core.errors import UsageError
from tenfold.data.arrays import images_of, labels_of
from tenfold.data.build import build_dataset
from tenfold.data.decode.decode import DECODER_VERSION
from tenfold.data.in_memory import split_pairs
from tenfold.data.listed_source import listed_source, on_disk
from tenfold.data.request import DataRequest
from tenfold.data.sources.cifar_files import SOURCES
from tenfold.data.sources.class_folders import scan
from tenfold.data.sources.groups import grouped
from tenfold.data.sources.layout import Layout, draw_test, only_split
from tenfold.data.sources.outlines import OUTLINES
from tenfold.data.store.cache_key import dataset_name, size_key
from tenfold.data.store.store import open_or_build, store_key
from tenfold.data.store.writer import fill_for_evaluation
from tenfold.data.types import Dataset, ProgressCallback, Skipped, Split

CheckClasses = Callable[[tuple[str, ...]], None]
"""Called with the class names of a source before any of its images is decoded; raises what it objects to."""

_CLASSES = {"shapes": tuple(OUTLINES), **{name: source.classes for name, source in SOURCES.items()}}


class LabeledImages(NamedTuple):
    """Images to evaluate a classifier on.

    Args:
        parts: the images; several splits that are evaluated together.
        classes: class names in the order of their labels.
        text: which images they are, such as `all 20 images of holdout`.
        notes: sentences that a user should read.
        skipped: files that could not be used.
    """

    parts: tuple[Split, ...]
    classes: tuple[str, ...]
    text: str
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def split_of(dataset: Dataset, split: str) -> LabeledImages:
    """Returns the images of one split of a dataset, or `all` of them.

    Raises:
        UsageError: when the dataset has no such split; the message names those it has.
    """
    splits = {name: part for name, part in dataset.splits().items() if len(part)}
    if split not in ("all", *splits):
        raise UsageError(f"{dataset.name} has no split '{split}'; expected {', '.join(splits)} or all")
    parts = tuple(part for name, part in splits.items() if split in ("all", name))
    return LabeledImages(parts, dataset.classes, _text(dataset.name, split, sum(map(len, parts))))


def built_in_images(
    request: DataRequest, split: str | None, check_classes: CheckClasses, progress: ProgressCallback
) -> LabeledImages:
    """Prepares the images of a built-in dataset for evaluation.

    Args:
        request: source, image size (not `auto`) and fit.
        split: `train`, `val`, `test` or `all`; None is the test split.
        check_classes: see `CheckClasses`.
        progress: called with what is being done.

    Raises:
        DataError: when the dataset must be downloaded and no server delivers it.
        UsageError: when it has no such split.
    """
    if request.source in _CLASSES:
        check_classes(_CLASSES[request.source])
    return split_of(build_dataset(request, progress), split or "test")


class Scanned(NamedTuple):
    """A folder or an archive whose files are listed.

    Args:
        layout: its images, whatever their classes.
        digest: of its content.
    """

    layout: Layout
    digest: str


def scan_source(request: DataRequest, progress: ProgressCallback) -> Scanned:
    """Lists the images of a folder or an archive without decoding one.

    Raises:
        DataError: when the source is missing or damaged, or holds no class folders.
        StorageError: when it cannot be read.
    """
    path, listing, digest = listed_source(on_disk(request, progress))
    return Scanned(scan(path, listing, rules=request.rules, for_training=False), digest)


def labeled_images(
    scanned: Scanned, request: DataRequest, split: str | None, check_classes: CheckClasses, progress: ProgressCallback
) -> LabeledImages:
    """Prepares the images of a folder or an archive for evaluation.

    Args:
        scanned: its files.
        request: image size (not `auto`) and fit.
        split: `train`, `val`, `test` or `all`; None is the test split, or all images where there is none.
        check_classes: see `CheckClasses`.
        progress: called with what is being done.

    Raises:
        DataError: when it has no such split, or too many images are unreadable.
    """
    chosen = split or ("test" if scanned.layout.indices_of("test") else "all")
    layout = only_split(scanned.layout, chosen)
    check_classes(layout.classes)

    def build(folder: Path) -> None:
        fill_for_evaluation(folder, layout, request, progress)

    settings = (*size_key(request.size, request.fit), request.max_unreadable, "evaluation", chosen, DECODER_VERSION)
    dataset = open_or_build(dataset_name(layout.root.absolute()), store_key(scanned.digest, *settings), build, progress)
    found = split_of(dataset, "test")
    return found._replace(
        text=_text(dataset.name, chosen, len(dataset.test)), notes=dataset.notes, skipped=dataset.skipped
    )


def has_test_images(scanned: Scanned, request: DataRequest, test_images: Mapping[str, str]) -> bool:
    """Returns whether training on a source may test on these images, by their names alone.

    Folds and groups of duplicates are drawn from the images themselves: then any image of the source may be tested.

    Args:
        scanned: its files.
        request: as for training.
        test_images: class name by path.
    """
    layout = draw_test(grouped(scanned.layout, request.group_rule), request.test_fraction, request.split_seed)
    by_content = request.folds or request.group == "duplicates"
    entries = [entry for entry in layout.entries if by_content or entry.split == "test"]
    return {entry.path: layout.classes[entry.label] for entry in entries}.items() >= test_images.items()


def images_in_memory(data: object, split: str | None) -> LabeledImages:
    """Returns images and labels in memory, whose classes are the names of their labels.

    Args:
        data: `(images, labels)`, or such pairs by split, see `read_in_memory`.
        split: `train`, `val`, `test` or `all`; None is the test split, or all images where there is none.

    Raises:
        DataError: when `data` is something else.
        UsageError: when it has no such split.
    """
    pairs = split_pairs(data)
    chosen = split or ("test" if "test" in pairs else "all")
    if chosen not in ("all", *pairs):
        raise UsageError(f"data has no split '{chosen}'; expected {', '.join(pairs)} or all")
    found = [
        (images_of(images, f"{name} images"), [str(label) for label in labels_of(labels, f"{name} labels")])
        for name, (images, labels) in pairs.items()
        if chosen in ("all", name)
    ]
    classes = tuple(sorted({label for _, labels in found for label in labels}))
    parts = tuple(Split(images, np.array(list(map(classes.index, labels)), np.int64)) for images, labels in found)
    return LabeledImages(parts, classes, _text("data", chosen, sum(map(len, parts))))


def _text(name: str, split: str, count: int) -> str:
    which = "all" if split == "all" else "the"
    noun = "" if split == "all" else f"{split} "
    return f"{which} {count:,} {noun}{'image' if count == 1 else 'images'} of {name}"
