"""Looks at a dataset before training: at its files, its labels and its pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tenfold.core.errors import DataError, DownloadError
from tenfold.data.build import BUILT_IN, build_dataset
from tenfold.data.download import Progress, silent
from tenfold.data.folder import check_source
from tenfold.data.identity import dataset_name
from tenfold.data.inspection.balance import class_counts, counted
from tenfold.data.inspection.duplicates import find_twins
from tenfold.data.inspection.files import survey
from tenfold.data.inspection.findings import Finding, Inspection, in_order
from tenfold.data.inspection.gallery import Gallery
from tenfold.data.inspection.glance import label_findings
from tenfold.data.inspection.groups import leak_of, pairs_of
from tenfold.data.inspection.rules import file_findings, pixel_findings
from tenfold.data.layout import Layout
from tenfold.data.request import DataRequest
from tenfold.data.types import Dataset

_MOST_UNREADABLE = 0.999


def inspect_source(request: DataRequest, progress: Progress = silent) -> tuple[Inspection, Dataset | None]:
    """Returns what is to be said of a source of pictures, and its dataset where it can be had.

    Nothing of the source is changed; pictures are prepared in the cache folder, as training would do.

    Args:
        request: what is asked of the data.
        progress: told what is done.

    Raises:
        DataError: when there is no such source.
        DownloadError: when CIFAR has to be fetched and no server delivers it.
        StorageError: when the cache cannot be written.
    """
    if request.source in BUILT_IN:
        dataset = build_dataset(request, progress)
        return inspect_dataset(dataset, progress), dataset
    path = Path(request.source).expanduser()
    check_source(path, BUILT_IN)
    try:
        files, layout = survey(path, progress)
    except DataError as error:
        return _refused(dataset_name(path.absolute()), error), None
    try:
        dataset = _built(request, progress)
    except DownloadError:
        raise
    except DataError as error:
        found = _refused(dataset_name(path.absolute()), error)
        counts = _listed(layout)
        more = [*file_findings(files, layout, (), layout.skipped), *label_findings(counts)]
        return replace(
            found,
            classes=layout.classes,
            counts=counts,
            survey=files,
            skipped=layout.skipped,
            findings=in_order([*found.findings, *more]),
        ), None
    known = set(layout.skipped)
    unreadable = tuple(one for one in dataset.skipped if one not in known)
    found = inspect_dataset(dataset, progress)
    findings = [*found.findings, *file_findings(files, layout, unreadable, layout.skipped)]
    return replace(
        found, survey=files, unreadable=unreadable, skipped=layout.skipped, findings=in_order(findings)
    ), dataset


def inspect_dataset(dataset: Dataset, progress: Progress = silent) -> Inspection:
    """Returns what is to be said of labels and pixels.

    Args:
        dataset: with its pictures at the size they are trained on.
        progress: told what is done.
    """
    counts = class_counts(dataset)
    gallery = Gallery(dataset)
    twins = find_twins(gallery, progress)
    pairs, leak = pairs_of(gallery, twins), leak_of(gallery, twins)
    flat = tuple(gallery.picture(int(place)) for place in twins.flat)
    findings = [*label_findings(counts), *pixel_findings(pairs, flat, leak, twins.more)]
    return Inspection(
        name=dataset.name,
        classes=dataset.classes,
        counts=counts,
        image_size=dataset.image_size,
        findings=in_order(findings),
        pairs=pairs,
        flat=flat,
        leak=leak,
    )


def _built(request: DataRequest, progress: Progress) -> Dataset:
    """Returns the dataset as training would have it, or with more unreadable pictures than training lets pass."""
    try:
        return build_dataset(request, progress)
    except DownloadError:
        raise
    except DataError:
        return build_dataset(replace(request, max_unreadable=_MOST_UNREADABLE), progress)


def _refused(name: str, error: DataError) -> Inspection:
    return Inspection(name, findings=(Finding("error", "untrainable", str(error), 1),))


def _listed(layout: Layout) -> dict[str, dict[str, int]]:
    """Returns the number of files by split and class, readable or not."""
    splits = [split for split in ("train", "test", "val") if split != "val" or layout.places("val")]
    labels = {
        split: np.array([layout.entries[place].label for place in layout.places(split)], dtype=np.int64)
        for split in splits
    }
    return counted(layout.classes, labels)
