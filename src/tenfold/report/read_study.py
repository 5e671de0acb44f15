"""Reads a sweep folder: its trials by setting, with what each trial predicted for each test image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    correct: dict[str, NDArray[np.bool_]] = {}
    first: Predictions | None = None
    same = True
    for trial, row in zip(folder.trials(), folder.rows(), strict=True):
        if row["status"] == "finished":
            predictions = load_predictions(RunFolder(folder.run_path(trial)))
            first = first or predictions
            same = same and has_same_images(first, predictions)
            correct[trial.name] = predictions.is_correct
            row |= _accuracy(predictions)
        rows.append(row)
    keys = (*plan["vary"], *plan["search"])
    return Study(rows, keys, plan["kind"], plan.get("resplit", False), correct if same else {})


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
