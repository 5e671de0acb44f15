"""Where the trials of a sweep come from: a list that is known, or a search that thinks of them."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from tenfold.experiments.sweep.pool import Job, Work, run_jobs
from tenfold.experiments.sweep.search import Search, Suggestion
from tenfold.experiments.sweep.space import trial_name
from tenfold.runs.log import Log
from tenfold.runs.sweep_folder import Row, SweepFolder, Trial


class Source(Protocol):
    """Where trials come from: a list, or a search that thinks of them."""

    def next(self) -> Trial | None:
        """Returns the next trial to run, or None where there is none now."""

    def hopeless(self, trial: Trial, epoch: int, accuracy: float) -> bool:
        """Returns whether a trial is to be given up, by its validation accuracy after an epoch."""

    def ended(self, trial: Trial, row: Row) -> None:
        """Is told how a trial ended."""


class Listed:
    """Trials that are known from the start, none of them ever given up.

    Args:
        trials: in the order in which they are to be started.
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._waiting = deque(trials)

    def next(self) -> Trial | None:
        """Returns the next trial, or None after the last."""
        return self._waiting.popleft() if self._waiting else None

    def hopeless(self, trial: Trial, epoch: int, accuracy: float) -> bool:
        """Returns False: every listed trial is wanted."""
        return False

    def ended(self, trial: Trial, row: Row) -> None:
        """Does nothing."""


class Searched:
    """Trials that a search proposes, those first that it began before it was killed.

    Args:
        search: that proposes.
        sweep: receives each trial before it starts.
        total: trials in the whole study.
        seed: of every run.
    """

    def __init__(self, search: Search, sweep: SweepFolder, total: int, seed: int) -> None:
        self._search, self._sweep, self._total, self._seed = search, sweep, total, seed
        self._again = deque(self._begun_before())

    def next(self) -> Trial | None:
        """Returns a trial to go on with or a new one, or None where the study is long enough."""
        if self._again:
            return self._again.popleft()
        return self._added(self._search.ask()) if self._search.begun < self._total else None

    def hopeless(self, trial: Trial, epoch: int, accuracy: float) -> bool:
        """Returns whether a trial has fallen behind the others."""
        return self._search.report(trial.number, epoch, accuracy)

    def ended(self, trial: Trial, row: Row) -> None:
        """Tells the search how a trial ended."""
        self._search.tell(trial.number, row["val_accuracy"], row["status"])

    def _begun_before(self) -> Iterable[Trial]:
        """Yields trials that were begun and have no result; tells the search of those that have."""
        for trial in map(self._added, self._search.unfinished()):
            if self._sweep.is_finished(trial):  # killed after the run, before the search knew
                self.ended(trial, self._sweep.row(trial))
            else:
                yield trial

    def _added(self, suggestion: Suggestion) -> Trial:
        name = trial_name(suggestion.number, suggestion.settings)
        trial = Trial(name, suggestion.settings, self._seed, suggestion.number)
        self._sweep.add(trial)
        return trial


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
