"""`report.html`: what the network learned, where it fails, and whether the figures can be trusted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tenfold.core import durable
from tenfold.core.text import printable
from tenfold.data.types import Dataset
from tenfold.report.doctor.diagnose import diagnose
from tenfold.report.page.confusion import MOST_CLASSES, Cell, matrix, most_confused, shown_cells
from tenfold.report.page.head import head_of
from tenfold.report.page.image_walls import Pictures, Shown, pictures_of
from tenfold.report.page.predictions import Judgement, read_judgement
from tenfold.report.page.reliability import curve_charts, trust_in
from tenfold.report.page.rendering import render
from tenfold.runs.run_folder import RunFolder

_PAIRS, _PAIRS_ALONE = 8, 40  # beside a matrix, and in its place


@dataclass(frozen=True)
class Confusions:
    """What was taken for what.

    Args:
        classes: names as the page shows them.
        rows: cells of the matrix; empty where there are too many classes for one.
        pairs: those confused most often.
        total: different pairs that were confused at all.
    """

    classes: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    pairs: tuple[Cell, ...]
    total: int


def write_page(
    folder: RunFolder, dataset: Dataset | None, *, model: nn.Module | None = None, why_no_data: str | None = None
) -> Path:
    """Writes the page of a finished run and returns where it is.

    Args:
        folder: of the run.
        dataset: that it was trained with; without it the page has no pictures, and says so.
        model: the network, where it is a user's own that no name stands for.
        why_no_data: what to say where `dataset` is None.

    Raises:
        RunError: when the run is not finished, or a file of it is damaged.
        StorageError: when the disk refuses.
    """
    durable.write_text(folder.report, page(folder, dataset, model=model, why_no_data=why_no_data))
    return folder.report


def page(
    folder: RunFolder, dataset: Dataset | None, *, model: nn.Module | None = None, why_no_data: str | None = None
) -> str:
    """Returns the page of a finished run as HTML; see `write_page`."""
    judgement = read_judgement(folder)
    confusions = confusions_of(judgement)
    cells = shown_cells(confusions.rows, confusions.pairs)
    found = pictures_of(folder, dataset, judgement, cells, model)
    pictures = None if isinstance(found, str) else found
    return render(
        "run.html",
        head=head_of(folder),
        judgement=judgement,
        findings=diagnose(folder),
        curves=curve_charts(_course(folder, judgement)),
        confusions=confusions,
        pictures=pictures,
        absent=printable(why_no_data or found) if isinstance(found, str) else None,
        trust=trust_in(judgement, folder),
        data=_data(confusions, pictures),
        files=_files(folder),
    )


def _course(folder: RunFolder, judgement: Judgement) -> list[dict[str, Any]]:
    """Returns the rows of `metrics.csv`, and the accuracy on the test pictures where they end."""
    rows: list[dict[str, Any]] = [*folder.read_metrics()]
    last = rows[-1] if rows else {}
    return [*rows, {"step": last.get("step"), "time_s": last.get("time_s"), "test_accuracy": judgement.accuracy}]


def confusions_of(judgement: Judgement) -> Confusions:
    """Returns the matrix, or where that is too large its most frequent mistakes."""
    readable = len(judgement.classes) <= MOST_CLASSES
    return Confusions(
        classes=tuple(printable(name) for name in judgement.classes),
        rows=matrix(judgement.confusion) if readable else (),
        pairs=most_confused(judgement.confusion, _PAIRS if readable else _PAIRS_ALONE),
        total=len(most_confused(judgement.confusion, judgement.confusion.size)),
    )


def _data(confusions: Confusions, pictures: Pictures | None) -> dict[str, Any]:
    """Returns what the page's script needs to show the pictures of a cell."""
    groups = {} if pictures is None else pictures.cells
    return {
        "classes": confusions.classes,
        "columns": 1 if pictures is None or pictures.sheet is None else pictures.sheet.columns,
        "cells": {key: [_tile(shown) for shown in group] for key, group in groups.items()},
    }


def _tile(shown: Shown) -> tuple[int, float, str]:
    return shown.tile, round(shown.probability, 4), shown.name


def _files(folder: RunFolder) -> list[str]:
    read = (folder.predictions, folder.metrics, folder.summary, folder.recipe, folder.env, folder.best, folder.last)
    return [file.name for file in read if file.is_file()]
