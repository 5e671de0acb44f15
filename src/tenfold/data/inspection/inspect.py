"""Looks at a dataset before training: at its files, its labels and its pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tenfold.core.errors import DataError
from tenfold.data.build import BUILT_IN, build_dataset
from tenfold.data.download import Progress, silent
from tenfold.data.folder import check_source
from tenfold.data.identity import dataset_name
from tenfold.data.inspection.balance import class_counts, counted
from tenfold.data.inspection.duplicates import find_twins
from tenfold.data.inspection.files import Survey, survey
from tenfold.data.inspection.findings import Finding, Inspection, in_order
from tenfold.data.inspection.gallery import Gallery
from tenfold.data.inspection.glance import label_findings
from tenfold.data.inspection.groups import leak_of, pairs_of
from tenfold.data.inspection.rules import file_findings, pixel_findings
from tenfold.data.layout import SPLITS, Layout
from tenfold.data.request import DataRequest
from tenfold.data.types import Dataset, Skipped

_MOST_UNREADABLE = 0.999


def inspect_source(request: DataRequest, progress: Progress = silent) -> Inspection:
    """Returns what is to be said of a source of pictures.

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
        return inspect_dataset(build_dataset(request, progress), progress)
    path = Path(request.source).expanduser()
    check_source(path, BUILT_IN)
    try:
        files, layout = survey(path, progress)
    except DataError as error:
        return _refused(path, error)
    try:
        dataset = _built(request, progress)
    except DataError as error:
        return _with_files(_refused(path, error, layout), files, layout, ())
    known = set(layout.skipped)
    unreadable = tuple(one for one in dataset.skipped if one not in known)
    return _with_files(inspect_dataset(dataset, progress), files, layout, unreadable)


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
        dataset=dataset,
    )


def _with_files(found: Inspection, files: Survey, layout: Layout, unreadable: tuple[Skipped, ...]) -> Inspection:
    """Returns the inspection with what is to be said of the files beside labels and pixels."""
    findings = [*found.findings, *file_findings(files, layout, unreadable)]
    return replace(found, survey=files, unreadable=unreadable, skipped=layout.skipped, findings=in_order(findings))


def _built(request: DataRequest, progress: Progress) -> Dataset:
    """Returns the dataset as training would have it, or with more unreadable pictures than training lets pass."""
    try:
        return build_dataset(request, progress)
    except DataError:
        return build_dataset(replace(request, max_unreadable=_MOST_UNREADABLE), progress)


def _refused(path: Path, error: DataError, layout: Layout | None = None) -> Inspection:
    """Returns the inspection of pictures that cannot be trained on, with what the names of the files tell."""
    name, why = dataset_name(path.absolute()), Finding("error", "untrainable", str(error), 1)
    if layout is None:
        return Inspection(name, findings=(why,))
    counts = _listed(layout)
    return Inspection(name, layout.classes, counts, findings=in_order([why, *label_findings(counts)]))


def _listed(layout: Layout) -> dict[str, dict[str, int]]:
    """Returns the number of files by split and class, readable or not."""
    labels = {
        split: np.array([layout.entries[place].label for place in places], dtype=np.int64)
        for split in SPLITS
        if (places := layout.places(split))
    }
    return counted(layout.classes, labels)
