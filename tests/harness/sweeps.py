"""A sweep whose trials train nothing, so that a test can kill it many times."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.errors import TrainingError
from tenfold.experiments.sweep.pool import Work
from tenfold.experiments.sweep.trials import PRUNED, Listed, Quiet, Watcher, run_trials
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


def work(payload: str, report: Callable[[Any], Any]) -> None:
    """Leaves a result as a run does, and a second file where there was a result already."""
    run = RunFolder(Path(payload))
    if run.is_finished:
        (run.path / "ran-twice").touch()
    durable.make_folder(run.path)
    for epoch in range(1, 4):
        time.sleep(0.01)
        report({"epoch": epoch, "val_accuracy": None})
    run.write_summary(SUMMARY)


def uneven_work(payload: str, report: Any) -> str | None:
    """Does something else for each trial: 000 fails, 001 asks whether to go on, others leave a result."""
    run = RunFolder(Path(payload))
    if run.path.name == "000":
        raise TrainingError("the loss is not finite")
    if run.path.name == "001":
        report({"warning": "one picture was left out"})
        return PRUNED if report({"epoch": 1, "val_accuracy": 0.1, "ends_epoch": True}) else None
    run.path.mkdir()
    run.write_summary(SUMMARY)
    return None


def slow_starting_work(payload: str, report: Any) -> str | None:
    """Is bad in the middle of its first epoch and good at the end; gives up as soon as it is told to."""
    run = RunFolder(Path(payload))
    for accuracy, ends_epoch in ((None, False), (0.1, False), (0.5, True)):
        if report({"epoch": 1, "val_accuracy": accuracy, "ends_epoch": ends_epoch}):
            return PRUNED
    run.path.mkdir()
    run.write_summary(SUMMARY)
    return None


def run_listed(
    sweep: SweepFolder,
    source: Listed,
    work: Work,
    watcher: Watcher,
    *,
    total: int,
    jobs: int = 1,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Runs the trials of `source`; what their work gets is the path of their run folder."""
    run_trials(
        sweep,
        source,
        work,
        lambda trial: str(sweep.run_path(trial)),
        watcher,
        Log(sweep.log),
        total=total,
        jobs=jobs,
        threads=1,
        stopping=stopping,
    )


def run_to_the_end(sweep: SweepFolder, jobs: int = 2) -> None:
    """Runs the trials without a result."""
    missing = sweep.missing()
    run_listed(sweep, Listed(missing), work, Quiet(), total=len(missing), jobs=jobs)


if __name__ == "__main__":
    run_to_the_end(SweepFolder.open(Path(sys.argv[1])))
