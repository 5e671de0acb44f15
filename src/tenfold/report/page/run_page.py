"""`report.html` of a run: training curves, errors, and the calibration of its probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tenfold.core import durable
from tenfold.core.text import printable
from tenfold.data.types import Dataset
from tenfold.recipes.load import load_recipe
from tenfold.report.doctor.diagnose import diagnose
from tenfold.report.page.confusion import (
    MAX_MATRIX_CLASSES,
    ConfusionCell,
    cells_with_images,
    confusion_cells,
    most_confused,
)
from tenfold.report.page.curves import curve_charts
from tenfold.report.page.gallery import GalleryImage, PageImages, page_images
from tenfold.report.page.head_fit import head_section
from tenfold.report.page.header import run_header, use_of_test_images
from tenfold.report.page.predictions import Predictions, load_predictions
from tenfold.report.page.reliability import calibration_section
from tenfold.report.page.rendering import render
from tenfold.report.plots.curve_notes import Row, curve_notes
from tenfold.report.tables.run_tables import near_duplicate_line
from tenfold.runs.run_folder import RunFolder

_PAIRS_WITH_MATRIX, _PAIRS_ALONE = 8, 40


@dataclass(frozen=True)
class ConfusionSection:
    """Confusion matrix and most confused pairs.

    Args:
        classes: class names as the page shows them.
        rows: cells of the matrix; empty for too many classes.
        pairs: most confused pairs.
        total: number of different pairs that were confused.
    """

    classes: tuple[str, ...]
    rows: tuple[tuple[ConfusionCell, ...], ...]
    pairs: tuple[ConfusionCell, ...]
    total: int


def write_page(
    folder: RunFolder, dataset: Dataset | None, *, model: nn.Module | None = None, why_no_data: str | None = None
) -> Path:
    """Writes the page of a finished run and returns its path.

    Args:
        folder: folder of the run.
        dataset: dataset of the run; without it the page has no images, and says so.
        model: the network of a run that was trained with a custom `nn.Module`.
        why_no_data: reason to show where `dataset` is None.

    Raises:
        RunError: when the run is not finished, or a file of it is damaged.
        StorageError: when the file cannot be written.
    """
    durable.write_text(folder.report, page(folder, dataset, model=model, why_no_data=why_no_data))
    return folder.report


def page(
    folder: RunFolder, dataset: Dataset | None, *, model: nn.Module | None = None, why_no_data: str | None = None
) -> str:
    """Returns the page of a finished run as HTML; see `write_page`."""
    predictions = load_predictions(folder)
    confusions = _confusion_section(predictions)
    cells = cells_with_images(confusions.rows, confusions.pairs)
    found = page_images(folder, dataset, predictions, cells, model)
    images = None if isinstance(found, str) else found
    summary, rows, recipe = folder.read_summary(), folder.read_metrics(), load_recipe(folder.recipe)
    return render(
        "run.html",
        header=run_header(folder),
        predictions=predictions,
        figures=predictions.figures(summary),
        uneven=predictions.are_uneven(summary),
        findings=diagnose(folder),
        near_duplicates=near_duplicate_line(summary),
        head=head_section(recipe, summary),
        curves=curve_charts(_with_test_accuracy(rows, predictions)),
        curve_notes=curve_notes(recipe, rows),
        confusions=confusions,
        images=images,
        why_no_images=printable(why_no_data or found) if isinstance(found, str) else None,
        calibration=calibration_section(predictions, folder),
        use_of_test_images=use_of_test_images(folder, summary),
        data=_data(confusions, images),
        files=_files(folder),
    )


def _with_test_accuracy(rows: Sequence[Row], predictions: Predictions) -> list[Row]:
    last = rows[-1] if rows else {}
    return [*rows, {"step": last.get("step"), "time_s": last.get("time_s"), "test_accuracy": predictions.accuracy}]


def _confusion_section(predictions: Predictions) -> ConfusionSection:
    readable = len(predictions.classes) <= MAX_MATRIX_CLASSES
    return ConfusionSection(
        classes=tuple(printable(name) for name in predictions.classes),
        rows=confusion_cells(predictions.confusion) if readable else (),
        pairs=most_confused(predictions.confusion, _PAIRS_WITH_MATRIX if readable else _PAIRS_ALONE),
        total=len(most_confused(predictions.confusion, predictions.confusion.size)),
    )


def _data(confusions: ConfusionSection, images: PageImages | None) -> dict[str, Any]:
    """Returns the JSON data of `report.js`, which shows the images of a cell."""
    cells = {} if images is None else images.cells
    return {
        "classes": confusions.classes,
        "columns": 1 if images is None or images.sheet is None else images.sheet.columns,
        "cells": {key: [_tile_data(image) for image in of_cell] for key, of_cell in cells.items()},
    }


def _tile_data(image: GalleryImage) -> tuple[int, float, str]:
    return image.tile, round(image.confidence, 4), image.name


def _files(folder: RunFolder) -> list[str]:
    tables = (folder.predictions, folder.val_predictions, folder.metrics)
    files = (*tables, folder.summary, folder.recipe, folder.env, folder.best, folder.last)
    return [file.name for file in files if file.is_file()]
