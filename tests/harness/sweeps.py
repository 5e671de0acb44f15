"""A sweep whose trials train nothing, so that a test can kill it many times."""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.errors import TrainingError
from tenfold.experiments.sweep.pool import JobFunction, SendReport, run_jobs
from tenfold.experiments.sweep.trials import PRUNED, SilentSweepProgress, SweepProgress, TrialList, run_trials
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder, Trial

SUMMARY: dict[str, Any] = {
    "test_accuracy": 0.7,
    "test_interval": [0.69, 0.71],
    "val_accuracy": None,
    "parameters": 5,
    "steps": 3,
    "training_seconds": 1.5,
    "total_seconds": 2.0,
    "evaluation": {},
}


def make_sweep(root: Path, trials: list[Trial], name: str | None = "s") -> SweepFolder:
    """Returns a new sweep folder with these trials, none of which has run."""
    return SweepFolder.create(root, ("shapes", "wide", "sweep"), {"kind": "grid"}, "", trials, name)


def fake_trial(payload: str, send_report: SendReport) -> None:
    """Writes a result as a run does; also a file `ran-twice` if there was a result already."""
    run = RunFolder(Path(payload))
    if run.is_finished:
        (run.path / "ran-twice").touch()
    durable.make_folder(run.path)
    for epoch in range(1, 4):
        time.sleep(0.01)
        send_report({"epoch": epoch, "val_accuracy": None})
    run.write_summary(SUMMARY)


def uneven_trial(payload: str, send_report: SendReport) -> str | None:
    """Fails in trial 000, asks in trial 001 whether to go on, writes a result in the others."""
    run = RunFolder(Path(payload))
    if run.path.name == "000":
        raise TrainingError("the loss is not finite")
    if run.path.name == "001":
        send_report({"warning": "one image was left out"})
        return PRUNED if send_report({"epoch": 1, "val_accuracy": 0.1, "ends_epoch": True}) else None
    run.path.mkdir()
    run.write_summary(SUMMARY)
    return None


def slow_starting_trial(payload: str, send_report: SendReport) -> str | None:
    """Is bad in the middle of its first epoch and good at its end; stops as soon as it is pruned."""
    run = RunFolder(Path(payload))
    for accuracy, ends_epoch in ((None, False), (0.1, False), (0.5, True)):
        if send_report({"epoch": 1, "val_accuracy": accuracy, "ends_epoch": ends_epoch}):
            return PRUNED
    run.path.mkdir()
    run.write_summary(SUMMARY)
    return None


def run_trial_list(
    sweep: SweepFolder,
    source: TrialList,
    function: JobFunction,
    progress: SweepProgress,
    *,
    num_trials: int,
    num_workers: int = 1,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Runs the trials of `source`; `function` gets the path of a trial's run folder."""
    run_trials(
        sweep,
        source,
        function,
        lambda trial: str(sweep.run_path(trial)),
        progress,
        Log(sweep.log),
        num_trials=num_trials,
        pool=partial(run_jobs, num_workers=num_workers, threads=1, log=sweep.worker_log),
        should_stop=should_stop,
    )


def run_unfinished_trials(sweep: SweepFolder, num_workers: int = 2) -> None:
    trials = sweep.unfinished_trials()
    run_trial_list(
        sweep, TrialList(trials), fake_trial, SilentSweepProgress(), num_trials=len(trials), num_workers=num_workers
    )


if __name__ == "__main__":
    from harness import sweeps  # workers cannot import the functions of `__main__`

    sweeps.run_unfinished_trials(SweepFolder.open(Path(sys.argv[1])))
