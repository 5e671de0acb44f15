"""Sweep folders with given predictions, written without training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.predicted_runs import predicted_run, random_predictions
from tenfold.core import durable
from tenfold.evaluate.intervals import wilson
from tenfold.runs.sweep_folder import SweepFolder, Trial
from tenfold.runs.tables import PredictionRow

CLASSES = ("cat", "dog", "ship")


def predicted_sweep(
    root: Path,
    settings: Sequence[Mapping[str, Any]] = ({}, {}, {}),
    *,
    accuracies: Sequence[float] = (0.6, 0.7, 0.8),
    val: Sequence[float] | None = None,
    classes: Sequence[str] = CLASSES,
) -> SweepFolder:
    """Returns a sweep with a finished trial for each of `settings`, on the same 300 test images.

    Args:
        root: folder of the runs.
        settings: settings of the trials; equal ones are seeds of one setting.
        accuracies: approximate test accuracy of each trial.
        val: validation accuracy of each trial.
        classes: class names.
    """
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    trials = [Trial(f"{i:03}-seed={i}", setting, i, i) for i, setting in enumerate(settings)]
    plan = {
        "kind": "grid" if keys else "seeds",
        "recipe": "mlp",
        "vary": {key: [setting[key] for setting in settings] for key in keys},
        "search": {},
        "overrides": [],
    }
    sweep = SweepFolder.create(root, ("made", "mlp", "sweep"), plan, "", trials, "sweep")
    for trial, accuracy in zip(trials, accuracies, strict=True):
        # all trials get the same true classes, as these are drawn first
        rows = random_predictions(classes, 300, accuracy=accuracy)
        finish_trial(sweep, trial, classes, rows, None if val is None else val[trial.number])
    return sweep


def finish_trial(
    sweep: SweepFolder, trial: Trial, classes: Sequence[str], rows: Sequence[PredictionRow], val: float | None = None
) -> None:
    """Writes the run folder and the result of a trial."""
    run = predicted_run(sweep.trials_folder, trial.name, classes, rows)
    correct = sum(row.true == row.predicted for row in rows)
    summary = run.read_summary() | {"test_accuracy": correct / len(rows), "val_accuracy": val}
    summary["test_interval"] = list(wilson(correct, len(rows)))
    summary["dataset"]["pictures"]["val"] = 100
    durable.write_json(run.summary, summary)
