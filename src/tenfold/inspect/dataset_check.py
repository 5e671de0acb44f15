"""The dataset check: files, labels and pixels of a source become findings with a severity."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from tenfold.core.errors import DataError
from tenfold.core.text import plural
from tenfold.data.build import BUILT_IN, build_dataset
from tenfold.data.duplicates.dataset_images import DatasetImages, ImageRef
from tenfold.data.duplicates.search import DuplicatePair, duplicate_pairs, find_duplicates, find_leak
from tenfold.data.listed_source import on_disk
from tenfold.data.request import DataRequest
from tenfold.data.sources.class_folders import check_source
from tenfold.data.sources.layout import SPLITS, Layout
from tenfold.data.store.cache_key import dataset_name
from tenfold.data.types import Dataset, Leak, ProgressCallback, Skipped, no_progress
from tenfold.inspect.balance import class_counts, count_labels, label_findings
from tenfold.inspect.center_crop import crop_findings
from tenfold.inspect.file_survey import CONVERTED, FileSurvey, survey_files
from tenfold.inspect.findings import Finding, Inspection, by_severity
from tenfold.inspect.groups import group_warnings

_MAX_EXAMPLES = 5
_MAX_UNREADABLE_FRACTION = 0.999


def inspect_source(request: DataRequest, progress: ProgressCallback = no_progress) -> Inspection:
    """Checks files, labels and pixels of a data source.

    The source is not changed. Its images are prepared in the cache folder, as for training.

    Args:
        request: source and decode settings.
        progress: called with what is being done.

    Raises:
        DataError: when there is no such source.
        DownloadError: when CIFAR must be downloaded and no server delivers it.
        StorageError: when the cache cannot be written.
    """
    if request.source in BUILT_IN:
        return inspect_dataset(build_dataset(request, progress), progress)
    request = on_disk(request, progress)
    path = Path(request.source).expanduser()
    check_source(path, BUILT_IN)
    try:
        survey, layout = survey_files(path, request.rules, progress)
    except DataError as error:
        return _untrainable(path, error)
    try:
        dataset, refusal = _build(request, progress)
    except DataError as error:
        return _with_files(_untrainable(path, error, layout), survey, layout, ())
    known = set(layout.skipped)
    unreadable = tuple(file for file in dataset.skipped if file not in known)
    return _with_files(inspect_dataset(dataset, progress), survey, layout, unreadable, refusal)


def inspect_dataset(dataset: Dataset, progress: ProgressCallback = no_progress) -> Inspection:
    """Checks labels and pixels of a prepared dataset.

    Args:
        dataset: with its images at the size used for training.
        progress: called with what is being done.
    """
    counts = class_counts(dataset)
    images = DatasetImages(dataset)
    duplicates = find_duplicates(images, progress)
    pairs, leak = duplicate_pairs(images, duplicates), find_leak(images, duplicates)
    flat = tuple(images.ref(int(index)) for index in duplicates.flat)
    findings = [*label_findings(counts), *pixel_findings(pairs, flat, leak, duplicates.truncated)]
    findings += [Finding("warning", "groups", warning, 1) for warning in group_warnings(dataset)]
    return Inspection(
        name=dataset.name,
        classes=dataset.classes,
        counts=counts,
        image_size=dataset.image_size,
        findings=by_severity(findings),
        pairs=pairs,
        flat=flat,
        leak=leak,
        dataset=dataset,
    )


def _build(request: DataRequest, progress: ProgressCallback) -> tuple[Dataset, str]:
    """Returns the dataset, and why training refuses it: it has more unreadable files than training accepts."""
    try:
        return build_dataset(request, progress), ""
    except DataError as error:
        return build_dataset(replace(request, max_unreadable=_MAX_UNREADABLE_FRACTION), progress), str(error)


def _untrainable(path: Path, error: DataError, layout: Layout | None = None) -> Inspection:
    """Returns the inspection of a source that cannot be trained on; class counts come from the file names."""
    name, finding = dataset_name(path.absolute()), Finding("error", "untrainable", str(error), 1)
    if layout is None:
        return Inspection(name, findings=(finding,))
    labels = {
        split: np.array([layout.entries[index].label for index in indices], dtype=np.int64)
        for split in SPLITS
        if (indices := layout.indices_of(split))
    }
    counts = count_labels(layout.classes, labels)
    return Inspection(name, layout.classes, counts, findings=by_severity([finding, *label_findings(counts)]))


def _with_files(
    found: Inspection, survey: FileSurvey, layout: Layout, unreadable: tuple[Skipped, ...], refusal: str = ""
) -> Inspection:
    """Returns the inspection with the findings on files added."""
    findings = [*found.findings, *file_findings(survey, layout, unreadable, refusal)]
    if found.dataset is not None:
        findings += crop_findings(survey.sizes, found.dataset.image_size, found.dataset.fit)
    understood = (layout.understood, *layout.tree) if layout.tree else ()
    return replace(
        found,
        survey=survey,
        unreadable=unreadable,
        skipped=layout.skipped,
        layout=understood,
        findings=by_severity(findings),
    )


def file_findings(
    survey: FileSurvey, layout: Layout, unreadable: Sequence[Skipped], refusal: str = ""
) -> Iterator[Finding]:
    """Yields the findings on files.

    Args:
        survey: counts from the file headers.
        layout: classes and ignored files.
        unreadable: image files that cannot be decoded.
        refusal: what training says to so many of them; empty where it accepts them.
    """
    for note in layout.notes:
        if note.startswith("class folder "):  # an empty one
            yield Finding("error", "empty-class", note, 1)
        else:
            yield Finding("note", "layout", note, 1)
    if unreadable:
        severity = "error" if refusal else "warning"
        sentence = refusal or f"{plural(len(unreadable), 'image')} cannot be read and will be skipped"
        yield Finding(severity, "unreadable", sentence, len(unreadable), _examples(file.path for file in unreadable))
    for kind, count in survey.converted.most_common():
        rule, sentence = f"converted-{kind.replace(' ', '-')}", f"{plural(count, 'image')} {CONVERTED[kind]}"
        yield Finding("note", rule, sentence, count, tuple(survey.examples[kind]))
    if odd := survey.pillow_warnings:
        sentence = f"{plural(len(odd), 'image')} that Pillow can read, but warns about"
        examples = _examples(f"{path}: Pillow: {message}" for path, message in odd.items())
        yield Finding("note", "odd-files", sentence, len(odd), examples)
    if len(survey.sizes) > 1:
        (height, width), count = survey.sizes.most_common(1)[0]
        sentence = f"images have {len(survey.sizes):,} different sizes, most often {width}×{height} ({count:,})"
        yield Finding("note", "sizes", sentence, len(survey.sizes))
    if num_skipped := len(layout.skipped):
        sentence = f"{plural(num_skipped, 'other file')} ignored"
        yield Finding("note", "skipped", sentence, num_skipped, _examples(file.path for file in layout.skipped))


def pixel_findings(
    pairs: Sequence[DuplicatePair], flat: Sequence[ImageRef], leak: Leak, truncated: bool
) -> Iterator[Finding]:
    """Yields the findings on pixels.

    Args:
        pairs: exact and near duplicates.
        flat: images of a single color.
        leak: test images with a duplicate in train.
        truncated: whether some candidate pairs were not compared.
    """
    if leak.indices:
        have = "has" if leak.total == 1 else "have"
        sentence = (
            f"{len(leak.indices):,} of {plural(leak.total, 'test image')} {have} a duplicate in train "
            f"({leak.exact:,} exact, {leak.near:,} near); accuracy on them measures memorization"
        )
        across = [pair.second.name for pair in pairs if (pair.first.split, pair.second.split) == ("train", "test")]
        yield Finding("warning", "leak", sentence, len(leak.indices), _examples(across))
    for other in ("train", "test"):
        found = [pair for pair in pairs if {pair.first.split, pair.second.split} == {other, "val"}]
        yield from _pair_finding("warning", f"leak-val-{other}", found, f"duplicates between validation and {other}")
    conflicts = [pair for pair in pairs if pair.conflict]
    yield from _pair_finding("warning", "conflict", conflicts, "duplicates with different labels")
    if flat:
        sentence = f"{plural(len(flat), 'image')} {'is' if len(flat) == 1 else 'are'} a single color"
        yield Finding("warning", "one-colour", sentence, len(flat), _examples(image.name for image in flat))
    for rule in ("exact", "near"):
        within = [pair for pair in pairs if pair.rule == rule and not pair.across]
        yield from _pair_finding("note", f"{rule}-duplicates", within, f"{rule} duplicates within a split")
    if truncated:
        sentence = "many images are very similar; only the most similar pairs were compared"
        yield Finding("note", "crowded", sentence, len(pairs))


def _pair_finding(severity: str, rule: str, pairs: Sequence[DuplicatePair], text: str) -> Iterator[Finding]:
    if pairs:
        examples = _examples(f"{pair.first.name} and {pair.second.name}" for pair in pairs)
        yield Finding(severity, rule, f"{plural(len(pairs), 'pair')} of {text}", len(pairs), examples)


def _examples(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(names, _MAX_EXAMPLES))
