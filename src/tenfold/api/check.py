"""Checks a dataset before any training."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenfold.api.data import DataSource, dataset, recorded_section, request_of
from tenfold.api.runs import RunSource, path_of
from tenfold.core.errors import RunError, UsageError
from tenfold.core.notebook import default_progress
from tenfold.core.progress import Progress
from tenfold.core.text import plural
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.types import Dataset
from tenfold.evaluate.intervals import wilson
from tenfold.inspect.dataset_check import inspect_dataset, inspect_source
from tenfold.inspect.findings import Inspection, LeakEffect, by_severity
from tenfold.inspect.similar_photos import are_too_many, similar_photos
from tenfold.models.pretrained import LITE0, pretrained_record
from tenfold.recipes.auto import MAX_SMALL_SIDE
from tenfold.recipes.load import load_recipe, resolve
from tenfold.recipes.schema import Recipe
from tenfold.runs.features import pretrained_classifier
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import PredictionRow

_COLUMNS = (
    "rule", "severity", "split", "path", "label", "other_split", "other_path", "other_label", "likeness", "note",
)  # fmt: skip
_RULES_WITH_ROWS = {
    "leak", "leak-val-train", "leak-val-test", "conflict", "one-colour", "unreadable", "skipped", "exact-duplicates",
    "near-duplicates",
}  # fmt: skip
"""Findings about single files or pairs, which have rows of their own."""


def check(
    data: DataSource,
    *,
    run: RunSource | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Inspection:
    """Checks a dataset for problems that spoil training or evaluation: in files, labels and images.

    Finds unreadable and converted files, empty and tiny classes, class imbalance, images of one color, exact and
    near duplicates within and across splits, and equal images with different labels. Changes nothing.

    Args:
        data: as for `train`.
        run: a finished run on the same test images: its accuracy is reported with and without the test images that
            have a duplicate in train. Splits that are drawn are drawn as for this run.
        progress: receives messages; shown in notebooks and silent elsewhere by default.
        settings: further keys of a recipe's `[data]`, such as `image_size=64`.

    Raises:
        DataError: when there is no such data.
        RecipeError: when a setting is unknown or has a wrong value.
        RunError: when there is no such run, or its test images are others.
        UsageError: when settings are given for a `Dataset`, which is prepared already.

    Example:
        >>> found = tenfold.check("my-photos/")  # doctest: +SKIP
        >>> [finding.sentence for finding in found.findings if finding.severity != "note"]  # doctest: +SKIP
        ['12 of 2,000 test images have a duplicate in train (8 exact, 4 near); …']
    """
    progress = progress or default_progress()
    folder = None if run is None else RunFolder.open(path_of(run, "run"))
    rows = [] if folder is None else folder.read_predictions()  # reports a wrong run before the images are read
    photos: Dataset | None = None
    if not isinstance(data, str | Path):
        if settings and isinstance(data, Dataset):
            raise UsageError(f"{', '.join(settings)} given for a dataset that is prepared; expected a source of data")
        photos = dataset(data, **settings)
        found = inspect_dataset(photos, progress.prepare)
    else:
        recipe = Recipe() if folder is None else _recipe_of(folder, str(data))
        section = resolve(recipe, {"data": {"source": str(data), **settings}}).data
        found = inspect_source(request_of(section), progress.prepare)
        if found.dataset is not None and _are_photos(found.dataset) and not found.has_errors:
            photos = found.dataset  # enough to say that they are too many
            if not are_too_many(photos):
                photos = _prepared_for_features(request_of(section), progress)
    if photos is not None and _are_photos(photos):
        known = {frozenset(((p.first.split, p.first.index), (p.second.split, p.second.index))) for p in found.pairs}
        findings, similar = similar_photos(photos, pretrained_classifier(), known, progress.prepare)
        found = replace(found, findings=by_severity([*found.findings, *findings]), similar=similar)
    return found if folder is None else replace(found, effect=_leak_effect(folder, rows, found))


def _are_photos(dataset: Dataset) -> bool:
    """Returns whether the images, before they were brought to size, are larger than those of small sets."""
    return min(dataset.typical_size or dataset.image_size) > MAX_SMALL_SIDE


def _prepared_for_features(request: DataRequest, progress: Progress) -> Dataset:
    """Returns the dataset with the images that the pretrained network expects, as the recipe `photo` prepares them."""
    images = pretrained_record(LITE0)
    assert images is not None
    return build_dataset(replace(request, image_size=images.image_size, fit=images.fit), progress.prepare)


def _recipe_of(folder: RunFolder, source: str) -> Recipe:
    """Returns the recipe of a run with the place where its data is now."""
    recipe = load_recipe(folder.recipe)
    return recipe.model_copy(update={"data": recorded_section(recipe.data, folder.path, source)})


def csv_text(inspection: Inspection) -> str:
    """Returns a CSV with one row for each pair, image and class that was found.

    Columns: rule, severity, split, path (or index), label; split, path and label of the other image of a pair;
    likeness in [0, 1]; note. A cell without a value is empty.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *_rows(inspection)])
    return text.getvalue()


def _rows(inspection: Inspection) -> Iterator[tuple[object, ...]]:
    for pair in inspection.pairs:
        first, second = pair.first, pair.second
        note = " · ".join(["two labels"] * pair.conflict + ["mirrored"] * pair.mirrored)
        yield (
            f"{pair.rule}-duplicate",
            "warning" if pair.across or pair.conflict else "note",
            *(first.split, first.path or first.index, first.label),
            *(second.split, second.path or second.index, second.label),
            pair.likeness,
            note or None,
        )
    no_other = (None,) * 4
    for image in inspection.flat:
        yield "one-colour", "warning", image.split, image.path or image.index, image.label, *no_other, None
    severity = {finding.rule: finding.severity for finding in inspection.findings}
    for file in inspection.unreadable:
        yield "unreadable", severity["unreadable"], None, file.path, None, *no_other, file.reason
    for file in inspection.skipped:
        yield "skipped", "note", None, file.path, None, *no_other, file.reason
    for finding in inspection.findings:
        if finding.rule not in _RULES_WITH_ROWS:
            yield finding.rule, finding.severity, None, None, None, *no_other, finding.sentence


def _leak_effect(folder: RunFolder, rows: list[PredictionRow], found: Inspection) -> LeakEffect | None:
    """Returns the run's accuracy with and without the test images that have a duplicate in train."""
    if found.dataset is None or found.leak is None:
        return None
    test = found.dataset.test
    paths = list(test.paths) if test.paths is not None else [str(index) for index in range(len(test))]
    labels = [found.classes[label] for label in test.labels]
    if [(row.path, row.true) for row in rows] != list(zip(paths, labels, strict=True)):
        raise RunError(
            f"{folder.path} was evaluated on {plural(len(rows), 'image')} that are not the "
            f"{plural(len(paths), 'test image')} of {found.name}; name the data that the run was trained on"
        )
    correct = [row.true == row.predicted for row in rows]
    leaked = set(found.leak.indices)
    kept = [hit for index, hit in enumerate(correct) if index not in leaked]
    return LeakEffect(
        run=folder.path.name,
        total=len(correct),
        accuracy=sum(correct) / len(correct),
        interval=wilson(sum(correct), len(correct)),
        kept=len(kept),
        accuracy_without=sum(kept) / len(kept) if kept else None,
        interval_without=wilson(sum(kept), len(kept)),
    )
