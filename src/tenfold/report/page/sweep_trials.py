"""The predictions of a sweep's trials, and what the trials of one setting have in common.

N images, C classes, S runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from tenfold.core.text import printable
from tenfold.evaluate.spread import Spread, spread
from tenfold.report.page.predictions import Predictions
from tenfold.report.read_study import has_same_images
from tenfold.report.study import Study, as_number, value_key, value_text
from tenfold.report.tables.sweep_tables import used_text
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import Row, SweepFolder


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes that every run confused.

    Args:
        true: name of the true class.
        predicted: name of the predicted class.
        fraction: spread over the runs of the fraction of the true class that was predicted as the other.
    """

    true: str
    predicted: str
    fraction: Spread


@dataclass(frozen=True)
class SharedErrors:
    """Numbers of images that several runs predicted wrongly.

    Args:
        total: number of test images.
        by_all: number of images that every run predicted wrongly.
        by_any: number of images that at least one run predicted wrongly.
    """

    total: int
    by_all: int
    by_any: int


@dataclass(frozen=True)
class TrialCell:
    """A cell of the table of trials: its text, and the number for sorting."""

    text: str
    value: float


def comparable_predictions(study: Study, rows: Sequence[Row]) -> list[Predictions]:
    """Returns the predictions of the runs of `rows`; none where they have different test images."""
    runs = [study.predictions[row["trial"]] for row in rows]
    return runs if all(has_same_images(runs[0], run) for run in runs[1:]) else []


def class_spreads(runs: Sequence[Predictions]) -> list[tuple[str, int, Spread]]:
    """Returns name, number of images, and spread of the accuracy of each class that has images."""
    classes = zip(*(run.per_class for run in runs), strict=True)
    recalls = [(results[0], [r.recall for r in results if r.recall is not None]) for results in classes]
    return [(printable(first.name), first.support, spread(values)) for first, values in recalls if values]


def common_pairs(runs: Sequence[Predictions], max_pairs: int) -> list[ConfusedPair]:
    """Returns at most `max_pairs` pairs of classes that every run confused, the most frequent first."""
    fractions = np.stack([_error_fractions(run.confusion) for run in runs])  # S C C
    means = np.where(fractions.min(0) > 0, fractions.mean(0), 0.0)  # C C
    order = np.argsort(-means, axis=None, kind="stable")[:max_pairs]
    names = [printable(name) for name in runs[0].classes]
    pairs = [divmod(index, len(names)) for index in order.tolist() if means.flat[index]]
    return [ConfusedPair(names[i], names[j], spread(fractions[:, i, j].tolist())) for i, j in pairs]


def _error_fractions(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the fraction of each true class that was predicted as each other class, float64 [C, C]."""
    fractions: NDArray[np.float64] = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    np.fill_diagonal(fractions, 0.0)
    return fractions


def shared_errors(runs: Sequence[Predictions]) -> SharedErrors:
    """Returns how many images all runs, and how many any run, predicted wrongly."""
    is_correct = np.stack([run.is_correct for run in runs])  # S N
    return SharedErrors(is_correct.shape[1], int((~is_correct.any(0)).sum()), int((~is_correct.all(0)).sum()))


def setting_cells(rows: Sequence[Mapping[str, Any]], key: str) -> list[TrialCell]:
    """Returns the cells of a varied key; they sort as numbers where all values are numbers, else by name."""
    values: list[Any] = [row.get(key) for row in rows]
    numbers = [as_number(value) for value in values]
    if None not in numbers:
        return [
            TrialCell(used_text(row, key), number)
            for row, number in zip(rows, numbers, strict=True)
            if number is not None
        ]
    ranks = {text: float(rank) for rank, text in enumerate(sorted({value_key(value) for value in values}))}
    return [TrialCell(value_text(value), ranks[value_key(value)]) for value in values]


def trial_link(folder: SweepFolder, trial: str) -> str | None:
    """Returns the URL of a trial's page relative to the sweep's page; None where there is no page."""
    report = RunFolder(folder.trials_folder / trial).report
    if not report.is_file():
        return None
    return quote(str(Path(*report.parts[-3:]).as_posix()))
