"""Data checked before any training."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenfold.api.data import request_of
from tenfold.core.errors import RunError, UsageError
from tenfold.core.progress import Progress, Silent
from tenfold.data.types import Dataset
from tenfold.evaluate.intervals import wilson
from tenfold.inspect.dataset_check import inspect_dataset, inspect_source
from tenfold.inspect.findings import Effect, Inspection
from tenfold.recipes.load import load_recipe, resolve
from tenfold.recipes.schema import Recipe
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import Prediction

_COLUMNS = (
    "rule",
    "severity",
    "split",
    "path",
    "label",
    "other_split",
    "other_path",
    "other_label",
    "likeness",
    "note",
)


def check(
    data: str | Path | Dataset,
    *,
    run: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Inspection:
    """Looks for what spoils a training or its figures: in files, labels and pixels.

    Unreadable and converted files, empty, tiny and lopsided classes, pictures of one colour, exact and near
    duplicates within and across splits, and the same picture with two labels. Nothing is changed.

    Args:
        data: `shapes`, `cifar10`, `cifar100`, `auto`, a folder or an archive of class folders, or a `Dataset`.
        run: a finished run that was judged on these test pictures: its accuracy is told with and without those
            that have a duplicate in train. Where pictures for testing are drawn, they are drawn as for this run.
        progress: is told what happens; silent by default.
        settings: further keys of a recipe's `[data]`, such as `image_size=64`.

    Raises:
        DataError: when there is no such data.
        RecipeError: when a setting is unknown or refused.
        RunError: when there is no such run, or it was judged on other pictures.
        UsageError: when settings are given beside a `Dataset`, which is prepared already.

    Example:
        >>> found = tenfold.check("my-photos/")  # doctest: +SKIP
        >>> [finding.sentence for finding in found.findings if finding.severity != "note"]  # doctest: +SKIP
        ['12 of 2,000 test pictures have a duplicate in train (8 exact, 4 near); …']
    """
    watcher = progress or Silent()
    folder = None if run is None else RunFolder.open(Path(run))
    rows = [] if folder is None else folder.read_predictions()  # a wrong run is told of before pictures are looked at
    if isinstance(data, Dataset):
        if settings:
            raise UsageError(f"{', '.join(settings)} given for a dataset that is prepared; expected a source of data")
        found = inspect_dataset(data, watcher.prepare)
    else:
        recipe = Recipe() if folder is None else load_recipe(folder.recipe)
        # Pictures that a recipe sets apart for validation are training pictures of the data.
        section = resolve(recipe, {"data": {"source": str(data), "val_fraction": 0.0, **settings}}).data
        found = inspect_source(request_of(section), watcher.prepare)
    return found if folder is None else replace(found, effect=_effect(folder, rows, found))


def csv_text(inspection: Inspection) -> str:
    """Returns a CSV of one row for each pair, picture and class that was found.

    Columns: rule, severity, split, path (or index), label, the same of the other picture of a pair, likeness in
    [0, 1], note; empty where there is nothing to say.
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
    nothing = (None,) * 4
    for picture in inspection.flat:
        yield "one-colour", "warning", picture.split, picture.path or picture.index, picture.label, *nothing, None
    for one in inspection.unreadable:
        yield "unreadable", "warning", None, one.path, None, *nothing, one.reason
    for one in inspection.skipped:
        yield "skipped", "note", None, one.path, None, *nothing, one.reason
    told = {"leak", "leak-val-train", "leak-val-test", "conflict", "one-colour", "unreadable", "skipped"}
    told |= {"exact-duplicates", "near-duplicates"}
    for finding in inspection.findings:
        if finding.rule not in told:
            yield finding.rule, finding.severity, None, None, None, *nothing, finding.sentence


def _effect(folder: RunFolder, rows: list[Prediction], found: Inspection) -> Effect | None:
    """Returns the run's accuracy with and without the test pictures that have a twin in train."""
    if found.dataset is None or found.leak is None:
        return None
    test = found.dataset.test
    names = list(test.paths) if test.paths is not None else [str(place) for place in range(len(test))]
    labels = [found.classes[label] for label in test.labels]
    if [(row.picture, row.true) for row in rows] != list(zip(names, labels, strict=True)):
        raise RunError(
            f"{folder.path} was judged on {len(rows):,} pictures that are not the {len(names):,} test pictures of "
            f"{found.name}; name the data that the run was trained on"
        )
    right = [row.true == row.predicted for row in rows]
    leaked = set(found.leak.places)
    kept = [hit for place, hit in enumerate(right) if place not in leaked]
    return Effect(
        run=folder.path.name,
        total=len(right),
        accuracy=sum(right) / len(right),
        interval=wilson(sum(right), len(right)),
        kept=len(kept),
        accuracy_without=sum(kept) / len(kept) if kept else None,
        interval_without=wilson(sum(kept), len(kept)),
    )
