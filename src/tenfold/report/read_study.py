"""Reads a sweep folder: its trials by setting, with what each trial predicted for each test image."""

from dataclasses import replace
from typing import Any

import numpy as np

from tenfold.report.page.predictions import Predictions, load_predictions
from tenfold.report.study import Study
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder


def read_study(folder: SweepFolder) -> Study:
    """Returns the trials of a sweep, with test accuracies recomputed from each trial's `predictions.csv`.

    Raises:
        RunError: when a file is damaged.
    """
    plan, rows = folder.plan(), []
    runs: dict[str, Predictions] = {}
    for trial, row in zip(folder.trials(), folder.rows(), strict=True):
        if row["status"] == "finished":
            runs[trial.name] = _load(RunFolder(folder.run_path(trial)), next(iter(runs.values()), None))
            row |= _accuracy(runs[trial.name])
        rows.append(row)
    first = next(iter(runs.values()), None)
    same = all(first is not None and has_same_images(first, run) for run in runs.values())
    correct = {name: run.is_correct for name, run in runs.items()} if same else {}
    return Study(rows, (*plan["vary"], *plan["search"]), plan["kind"], plan.get("resplit", False), correct, runs)


def _load(folder: RunFolder, first: Predictions | None) -> Predictions:
    """Returns the predictions of a run; a large sweep fits into memory because names are shared with the first run."""
    found = load_predictions(folder)
    if first is None or not has_same_images(first, found):
        return found
    return replace(found, classes=first.classes, names=first.names, true=first.true)


def has_same_images(a: Predictions, b: Predictions) -> bool:
    """Returns whether the predictions of two trials are of the same images with the same labels."""
    return a.classes == b.classes and a.names == b.names and np.array_equal(a.true, b.true)


def _accuracy(predictions: Predictions) -> dict[str, Any]:
    low, high = predictions.interval
    return {
        "test_accuracy": predictions.accuracy,
        "test_low": low,
        "test_high": high,
        "test_images": len(predictions),
    }
