"""A sweep: trials in worker processes, each an ordinary run, until none is missing."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tenfold.experiments.pool import Job, Work, run_jobs
from tenfold.experiments.sources import Source
from tenfold.runs.log import Log
from tenfold.runs.sweepfolder import Row, SweepFolder, Trial

PRUNED = "pruned"
"""What the work of a trial returns that was given up."""


class Watcher(Protocol):
    """A watcher of a sweep; every method may do nothing."""

    def started(self, name: str, number: int, total: int) -> None:
        """A trial begins, the `number`th of `total`, from 1."""

    def heard(self, name: str, row: Mapping[str, Any]) -> None:
        """A running trial has a new row of its log."""

    def retried(self, name: str, reason: str) -> None:
        """A trial begins again, because its worker died."""

    def ended(self, name: str, row: Row) -> None:
        """A trial has ended: its row of the sweep."""

    def message(self, text: str) -> None:
        """A sentence for the user."""

    def warn(self, text: str) -> None:
        """A sentence that the user should not miss."""

    def finish(self) -> None:
        """The sweep is over, well or not."""


def run_trials(
    sweep: SweepFolder,
    source: Source,
    work: Work,
    payload: Callable[[Trial], Any],
    watcher: Watcher,
    log: Log,
    *,
    total: int,
    jobs: int,
    threads: int,
    stopping: Callable[[], bool],
) -> None:
    """Runs trials until `source` has none left, and keeps `sweep.csv` up to date.

    Args:
        sweep: locked by the caller.
        source: of trials.
        work: trains one trial in a worker process and returns None, or `PRUNED`; its reports are rows of the log with
            `ends_epoch` beside the columns, or `{"warning": text}`, and are answered by whether to give up.
        payload: what `work` needs of a trial; it must be picklable.
        watcher: is told what happens.
        log: of the sweep; receives a line for each end.
        total: trials in the whole sweep.
        jobs: worker processes.
        threads: CPU threads of each.
        stopping: whether the user asked for an end.

    Raises:
        StorageError: when the disk refuses.
    """
    rows = {row["trial"]: row for row in sweep.rows()}
    begun = sum(row["status"] != "waiting" for row in rows.values())
    running: dict[str, Trial] = {}

    def next_job() -> Job | None:
        nonlocal begun
        trial = source.next()
        if trial is None:
            return None
        running[trial.name] = trial
        begun += 1
        watcher.started(trial.name, begun, total)
        return Job(trial.name, payload(trial))

    def heard(name: str, row: Mapping[str, Any]) -> bool:
        if "warning" in row:
            watcher.warn(f"{name}: {row['warning']}")
            return False
        watcher.heard(name, row)
        accuracy = row.get("val_accuracy")
        if accuracy is None or not row["ends_epoch"]:
            return False  # in the middle of an epoch it would be held against what others had at the end of theirs
        return source.hopeless(running[name], row["epoch"], accuracy)

    outcomes = run_jobs(
        next_job,
        work,
        workers=jobs,
        heard=heard,
        retried=watcher.retried,
        stopping=stopping,
        threads=threads,
        log=sweep.worker_log,
    )
    for outcome in outcomes:
        trial = running.pop(outcome.key)
        if outcome.error is not None:
            sweep.note_end(trial, "failed", outcome.error)
        elif outcome.result == PRUNED:
            sweep.note_end(trial, "pruned", None)
        row = rows[trial.name] = sweep.row(trial)
        source.ended(trial, row)
        sweep.write_table(rows.values())
        log.write("ended", trial=trial.name, status=row["status"], attempts=outcome.attempts)
        watcher.ended(trial.name, row)


class Quiet:
    """A watcher that keeps everything to itself, warnings excepted: those go through `warnings`."""

    def started(self, name: str, number: int, total: int) -> None:
        """Does nothing."""

    def heard(self, name: str, row: Mapping[str, Any]) -> None:
        """Does nothing."""

    def retried(self, name: str, reason: str) -> None:
        """Does nothing."""

    def ended(self, name: str, row: Row) -> None:
        """Does nothing."""

    def message(self, text: str) -> None:
        """Does nothing."""

    def warn(self, text: str) -> None:
        """Raises a Python warning, which a caller may filter."""
        warnings.warn(text, stacklevel=2)

    def finish(self) -> None:
        """Does nothing."""
