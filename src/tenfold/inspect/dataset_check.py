"""From what was seen of files and pixels to sentences with a severity."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from tenfold.core.errors import DataError
from tenfold.data.build import BUILT_IN, build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.sources.class_folders import check_source
from tenfold.data.sources.download import Progress, silent
from tenfold.data.sources.layout import SPLITS, Layout
from tenfold.data.store.cache_key import dataset_name
from tenfold.data.types import Dataset, Skipped
from tenfold.inspect.balance import class_counts, counted, label_findings
from tenfold.inspect.duplicates import Leak, Pair, find_twins, leak_of, pairs_of
from tenfold.inspect.file_survey import CONVERTED, Survey, survey
from tenfold.inspect.findings import Finding, Inspection, in_order
from tenfold.inspect.gallery import Gallery, Picture

_MOST_EXAMPLES = 5


def file_findings(survey: Survey, layout: Layout, unreadable: Sequence[Skipped]) -> Iterator[Finding]:
    """Yields what is to be said of the files.

    Args:
        survey: what their headers say.
        layout: the classes that were found, and other files that were passed over.
        unreadable: pictures that cannot be read.
    """
    empty = [note for note in layout.notes if "holds no pictures" in note]
    yield from (Finding("error", "empty-class", note, 1) for note in empty)
    if unreadable:
        sentence = f"{_pictures(len(unreadable))} cannot be read and will be left out"
        yield Finding("warning", "unreadable", sentence, len(unreadable), _examples(one.path for one in unreadable))
    for kind, count in survey.converted.most_common():
        sentence = f"{_pictures(count)} {CONVERTED[kind]}"
        yield Finding("note", f"converted-{kind.replace(' ', '-')}", sentence, count, tuple(survey.examples[kind]))
    if len(survey.sizes) > 1:
        (height, width), count = survey.sizes.most_common(1)[0]
        sentence = f"pictures have {len(survey.sizes):,} different sizes, most often {width}×{height} ({count:,})"
        yield Finding("note", "sizes", sentence, len(survey.sizes))
    if others := len(layout.skipped):
        sentence = f"{others:,} other file{'s' * (others != 1)} passed over"
        yield Finding("note", "skipped", sentence, others, _examples(one.path for one in layout.skipped))


def pixel_findings(pairs: Sequence[Pair], flat: Sequence[Picture], leak: Leak, more: bool) -> Iterator[Finding]:
    """Yields what is to be said of the pixels.

    Args:
        pairs: exact and near duplicates.
        flat: pictures of one colour.
        leak: test pictures with a twin in train.
        more: whether pairs were left unchecked.
    """
    if leak.places:
        sentence = (
            f"{len(leak.places):,} of {leak.total:,} test pictures have a duplicate in train ({leak.exact:,} exact, "
            f"{leak.near:,} near); an accuracy on them tells what was remembered"
        )
        across = [pair.second.name for pair in pairs if (pair.first.split, pair.second.split) == ("train", "test")]
        yield Finding("warning", "leak", sentence, len(leak.places), _examples(across))
    yield from _validation(pairs)
    conflicts = [pair for pair in pairs if pair.conflict]
    if conflicts:
        sentence = f"{_pairs(len(conflicts))} of duplicates with two different labels"
        yield Finding("warning", "conflict", sentence, len(conflicts), _examples(map(_both, conflicts)))
    if flat:
        sentence = f"{_pictures(len(flat))} {_is(len(flat))} of one colour"
        yield Finding("warning", "one-colour", sentence, len(flat), _examples(one.name for one in flat))
    for rule, adjective in (("exact", "exact"), ("near", "near")):
        within = [pair for pair in pairs if pair.rule == rule and not pair.across]
        if within:
            sentence = f"{_pairs(len(within))} of {adjective} duplicates within a split"
            yield Finding("note", f"{rule}-duplicates", sentence, len(within), _examples(map(_both, within)))
    if more:
        sentence = "many pictures are very much alike; only the most similar of their pairs were looked at closely"
        yield Finding("note", "crowded", sentence, len(pairs))


def _validation(pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Yields what is to be said of pairs between the validation split and another."""
    for other in ("train", "test"):
        found = [pair for pair in pairs if {pair.first.split, pair.second.split} == {other, "val"}]
        if found:
            sentence = f"{_pairs(len(found))} of duplicates between validation and {other} pictures"
            yield Finding("warning", f"leak-val-{other}", sentence, len(found), _examples(map(_both, found)))


def _both(pair: Pair) -> str:
    return f"{pair.first.name} and {pair.second.name}"


def _examples(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(names, _MOST_EXAMPLES))


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"


def _pairs(count: int) -> str:
    return f"{count:,} pair{'s' * (count != 1)}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


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
