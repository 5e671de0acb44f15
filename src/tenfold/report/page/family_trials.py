"""The trials of a family of runs, and what those of one setting have in common. N pictures, C classes, S runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from tenfold.core.text import printable
from tenfold.evaluate.spread import Spread, spread
from tenfold.report.outcomes import identity, number_of, value_text
from tenfold.report.page.predictions import Judgement, read_judgement
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import Row, SweepFolder


@dataclass(frozen=True)
class Pair:
    """Two classes that every run confused.

    Args:
        true: name of the class.
        predicted: name of what it was taken for.
        share: of the pictures of the true class, over the runs.
    """

    true: str
    predicted: str
    share: Spread


@dataclass(frozen=True)
class Agreement:
    """On which pictures several runs fail.

    Args:
        pictures: N.
        always: pictures that no run recognised.
        ever: pictures that some run did not recognise.
    """

    pictures: int
    always: int
    ever: int


@dataclass(frozen=True)
class Cell:
    """A cell of the table of trials: what it says, and the number that it is sorted by."""

    text: str
    value: float


def mean_text(total: Spread) -> str:
    """Returns mean and standard deviation in percent, with two decimals where one would show no deviation.

    Example:
        >>> mean_text(spread([0.70, 0.71, 0.72])), mean_text(spread([0.9984, 0.9988])), mean_text(spread([0.7]))
        ('71.0 ± 1.0 %', '99.86 ± 0.03 %', '70.0 %')
    """
    if total.deviation is None:
        return f"{100 * total.mean:.1f} %"
    decimals = 2 if 0 < total.deviation < 0.001 else 1
    return f"{100 * total.mean:.{decimals}f} ± {100 * total.deviation:.{decimals}f} %"


def judged_rows(folder: SweepFolder) -> list[Row]:
    """Returns the rows of a sweep with test accuracies that are counted anew from each trial's `predictions.csv`.

    Raises:
        RunError: when a file is damaged.
    """
    return [
        _judged(row, RunFolder(folder.run_path(trial)))
        for trial, row in zip(folder.trials(), folder.rows(), strict=True)
    ]


def _judged(row: Row, run: RunFolder) -> Row:
    if row["status"] != "finished":
        return row
    judgement = read_judgement(run)
    low, high = judgement.interval
    return {**row, "test_accuracy": judgement.accuracy, "test_low": low, "test_high": high}


def judgements(folder: SweepFolder, rows: Sequence[Row]) -> list[Judgement]:
    """Returns what the runs of these rows said about the test pictures; none where they judged different ones.

    Raises:
        RunError: when a file is damaged.
    """
    found = [read_judgement(RunFolder(folder.trials_folder / row["trial"])) for row in rows]
    same = all(
        one.classes == found[0].classes
        and one.pictures == found[0].pictures
        and np.array_equal(one.true, found[0].true)
        for one in found[1:]
    )
    return found if same else []


def pooled(runs: Sequence[Judgement]) -> Judgement:
    """Returns the judgements of several runs on the same pictures as one, S·N of them."""
    return Judgement(
        classes=runs[0].classes,
        pictures=tuple(name for run in runs for name in run.pictures),
        true=np.concatenate([run.true for run in runs]),
        predicted=np.concatenate([run.predicted for run in runs]),
        probability=np.concatenate([run.probability for run in runs]),
    )


def class_spreads(runs: Sequence[Judgement]) -> list[tuple[str, int, Spread, str]]:
    """Returns name, pictures, and spread of the accuracy of each class that has pictures, last in words."""
    classes = zip(*(run.per_class for run in runs), strict=True)
    recalls = [(results[0], [r.recall for r in results if r.recall is not None]) for results in classes]
    spreads = [(printable(first.name), first.support, spread(values)) for first, values in recalls if values]
    return [(name, pictures, total, mean_text(total)) for name, pictures, total in spreads]


def common_pairs(runs: Sequence[Judgement], most: int) -> list[Pair]:
    """Returns the pairs of classes that every run confused, the most frequent first, at most so many."""
    shares = np.stack([_wrong_shares(run.confusion) for run in runs])  # [S, C, C]
    means = np.where(shares.min(0) > 0, shares.mean(0), 0.0)  # [C, C]
    order = np.argsort(-means, axis=None, kind="stable")[:most]
    names = [printable(name) for name in runs[0].classes]
    places = [divmod(place, len(names)) for place in order.tolist() if means.flat[place]]
    return [Pair(names[i], names[j], spread(shares[:, i, j].tolist())) for i, j in places]


def _wrong_shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the share of each true class that was taken for each other, float64 [C, C]."""
    shares: NDArray[np.float64] = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    np.fill_diagonal(shares, 0.0)
    return shares


def agreement(runs: Sequence[Judgement]) -> Agreement:
    """Returns on how many pictures all runs fail, and on how many any does."""
    right = np.stack([run.right for run in runs])  # [S, N]
    return Agreement(right.shape[1], int((~right.any(0)).sum()), int((~right.all(0)).sum()))


def setting_cells(rows: Sequence[Mapping[str, Any]], key: str) -> list[Cell]:
    """Returns the cells of a varied key, which sort as numbers where all are, else by name."""
    values: list[Any] = [row.get(key) for row in rows]
    numbers = [number_of(value) for value in values]
    if None not in numbers:
        return [
            Cell(value_text(value), number) for value, number in zip(values, numbers, strict=True) if number is not None
        ]
    ranks = {text: float(rank) for rank, text in enumerate(sorted({identity(value) for value in values}))}
    return [Cell(value_text(value), ranks[identity(value)]) for value in values]


def link(folder: SweepFolder, trial: str) -> str | None:
    """Returns the address of a trial's own page, seen from the family's; None where there is none."""
    report = RunFolder(folder.trials_folder / trial).report
    if not report.is_file():
        return None
    return quote(str(Path(*report.parts[-3:]).as_posix()))
