"""What a sweep came to: which settings were best, and by which pictures that was judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from tenfold.runs.sweepfolder import Row

Measure = Literal["val_accuracy", "test_accuracy"]


@dataclass(frozen=True)
class Best:
    """The settings with the highest accuracy, averaged over their seeds.

    Args:
        settings: by dotted key.
        accuracy: mean of the measure, in [0, 1].
        runs: how many seeds that is the mean of.
        seed: of the best of them.
        measure: `val_accuracy`, or `test_accuracy` where no validation pictures were set apart; chosen by those that
            it is told for, such an accuracy is too good by a little.
    """

    settings: Mapping[str, Any]
    accuracy: float
    runs: int
    seed: int
    measure: Measure


def measure_of(rows: Sequence[Row]) -> Measure:
    """Returns by what the rows of a sweep are to be compared: validation where every finished one has it."""
    finished = [row for row in rows if row["status"] == "finished"]
    return "val_accuracy" if all(row["val_accuracy"] is not None for row in finished) else "test_accuracy"


def best_of(rows: Sequence[Row], keys: Sequence[str]) -> Best | None:
    """Returns the best settings, the first of equals; None where no trial has finished.

    Args:
        rows: of the sweep.
        keys: the varied keys.
    """
    measure = measure_of(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] == "finished":
            groups.setdefault(repr([row.get(key) for key in keys]), []).append(row)
    if not groups:
        return None
    group = max(groups.values(), key=lambda rows: fmean(row[measure] for row in rows))
    return Best(
        settings={key: group[0][key] for key in keys if key in group[0]},
        accuracy=fmean(row[measure] for row in group),
        runs=len(group),
        seed=max(group, key=lambda row: float(row[measure]))["seed"],
        measure=measure,
    )
