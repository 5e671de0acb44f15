"""Sweep folders whose trials were judged as a test wants, written in no time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.judged import answers, judged_run
from tenfold.core import durable
from tenfold.evaluate.intervals import wilson
from tenfold.runs.sweep_folder import SweepFolder, Trial
from tenfold.runs.tables import Prediction

CLASSES = ("cat", "dog", "ship")


def family(
    root: Path,
    settings: Sequence[Mapping[str, Any]] = ({}, {}, {}),
    *,
    right: Sequence[float] = (0.6, 0.7, 0.8),
    val: Sequence[float] | None = None,
    classes: Sequence[str] = CLASSES,
) -> SweepFolder:
    """Returns a sweep with a finished trial for each of `settings`, on the same 300 test pictures.

    Args:
        root: where runs lie.
        settings: of the trials; equal ones are seeds of one setting.
        right: the share of pictures that each recognises, about.
        val: what each reached on validation pictures.
        classes: names.
    """
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    trials = [Trial(f"{place:03}-seed={place}", setting, place, place) for place, setting in enumerate(settings)]
    plan = {
        "kind": "grid" if keys else "seeds",
        "recipe": "mlp",
        "vary": {key: [setting[key] for setting in settings] for key in keys},
        "search": {},
        "overrides": [],
    }
    sweep = SweepFolder.create(root, ("made", "mlp", "sweep"), plan, "", trials, "family")
    for trial, share in zip(trials, right, strict=True):
        # the same true classes for all, as the draw of them comes first
        rows = answers(classes, 300, right=share)
        finish(sweep, trial, classes, rows, None if val is None else val[trial.number])
    return sweep


def finish(
    sweep: SweepFolder, trial: Trial, classes: Sequence[str], rows: Sequence[Prediction], val: float | None = None
) -> None:
    """Gives a trial its result."""
    run = judged_run(sweep.trials_folder, trial.name, classes, rows)
    correct = sum(row.true == row.predicted for row in rows)
    summary = run.read_summary() | {"test_accuracy": correct / len(rows), "val_accuracy": val}
    summary["test_interval"] = list(wilson(correct, len(rows)))
    summary["dataset"]["pictures"]["val"] = 100
    durable.write_json(run.summary, summary)
