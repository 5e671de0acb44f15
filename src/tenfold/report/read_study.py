"""Reads a sweep folder: its trials by setting, with what each trial predicted for each test and validation image."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.report.out_of_fold import load_out_of_fold
from tenfold.report.page.predictions import Predictions, load_predictions, predictions_of
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
    val_runs: dict[str, Predictions] = {}
    for trial, row in zip(folder.trials(), folder.rows(), strict=True):
        if row["status"] == "finished":
            run = RunFolder(folder.run_path(trial))
            tested = runs[trial.name] = _sharing(load_predictions(run), runs)
            row |= _accuracy(tested)
            if run.val_predictions.is_file():  # runs of earlier versions have none
                val_runs[trial.name] = _sharing(predictions_of(run.read_predictions("val"), tested.classes), val_runs)
        rows.append(row)
    keys, correct, val_correct = (*plan["vary"], *plan["search"]), _correct(runs), _correct(val_runs)
    out_of_fold = load_out_of_fold(folder, runs) if folder.out_of_fold.is_file() else None
    return Study(rows, keys, plan["kind"], plan.get("resplit", False), correct, val_correct, runs, out_of_fold)


def _correct(runs: Mapping[str, Predictions]) -> dict[str, NDArray[np.bool_]]:
    """Returns whether each image was predicted correctly, by trial; nothing where trials have different images."""
    first = next(iter(runs.values()), None)
    same = all(first is not None and has_same_images(first, run) for run in runs.values())
    return {name: run.is_correct for name, run in runs.items()} if same else {}


def _sharing(found: Predictions, runs: Mapping[str, Predictions]) -> Predictions:
    """Returns the predictions with the names of the first run, so that a large sweep fits into memory."""
    first = next(iter(runs.values()), None)
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
