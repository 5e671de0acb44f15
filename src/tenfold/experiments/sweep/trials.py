"""Runs the trials of a sweep: those of a grid, which are all known, or those that a search proposes one by one."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from tenfold.core.notebook import NotebookBar, in_notebook
from tenfold.experiments.sweep.pool import Job, JobFunction, Pool
from tenfold.experiments.sweep.search import Search, Suggestion
from tenfold.experiments.sweep.space import trial_name
from tenfold.runs.log import Log
from tenfold.runs.sweep_folder import Row, SweepFolder, Trial

PRUNED = "pruned"
"""Return value of a pruned trial's job."""


class TrialSource(Protocol):
    """Where the trials of a sweep come from."""

    def next_trial(self) -> Trial | None:
        """Returns the next trial to run, or None if there is none now."""

    def should_prune(self, trial: Trial, epoch: int, accuracy: float) -> bool:
        """Returns whether to stop a trial early, from its validation accuracy after an epoch."""

    def record_result(self, trial: Trial, row: Row) -> None:
        """Records how a trial ended: its row of the sweep."""


class TrialList:
    """The trials of a grid; none is ever pruned.

    Args:
        trials: in the order in which they start.
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._waiting = deque(trials)

    def next_trial(self) -> Trial | None:
        """Returns the next trial, or None after the last."""
        return self._waiting.popleft() if self._waiting else None

    def should_prune(self, trial: Trial, epoch: int, accuracy: float) -> bool:
        """Returns False."""
        return False

    def record_result(self, trial: Trial, row: Row) -> None:
        """Does nothing."""


class SearchTrials:
    """The trials of a search; those that were interrupted by a kill come first.

    Args:
        search: proposes the trials.
        sweep: every new trial is added to it before it starts.
        num_trials: of the whole study.
        seed: of every run.
    """

    def __init__(self, search: Search, sweep: SweepFolder, num_trials: int, seed: int) -> None:
        self._search, self._sweep, self._num_trials, self._seed = search, sweep, num_trials, seed
        self._interrupted = deque(self._find_interrupted())

    def next_trial(self) -> Trial | None:
        """Returns an interrupted trial or a new one, or None if the study has enough trials."""
        if self._interrupted:
            return self._interrupted.popleft()
        return self._add(self._search.ask()) if self._search.num_started < self._num_trials else None

    def should_prune(self, trial: Trial, epoch: int, accuracy: float) -> bool:
        """Returns whether a trial is worse than the others at this epoch."""
        return self._search.report(trial.number, epoch, accuracy)

    def record_result(self, trial: Trial, row: Row) -> None:
        """Passes a result to the search."""
        self._search.tell(trial.number, row["val_accuracy"], row["status"])

    def _find_interrupted(self) -> Iterator[Trial]:
        """Yields started trials without a result; passes results that the search does not know yet to it."""
        for trial in map(self._add, self._search.unfinished()):
            if self._sweep.is_finished(trial):  # killed between the end of the run and `record_result`
                self.record_result(trial, self._sweep.row(trial))
            else:
                yield trial

    def _add(self, suggestion: Suggestion) -> Trial:
        name = trial_name(suggestion.number, suggestion.settings)
        trial = Trial(name, suggestion.settings, self._seed, suggestion.number)
        self._sweep.add(trial)
        return trial


class SweepProgress(Protocol):
    """Shows the progress of a sweep; every method may do nothing."""

    def trial_started(self, name: str, number: int, total: int) -> None:
        """A trial starts, the `number`-th of `total`, from 1."""

    def trial_progress(self, name: str, row: Mapping[str, Any]) -> None:
        """A running trial has written a row of its log."""

    def trial_retried(self, name: str, reason: str) -> None:
        """A trial starts again because its worker died."""

    def trial_finished(self, name: str, row: Row) -> None:
        """A trial has ended: its row of the sweep."""

    def message(self, text: str) -> None:
        """Shows a sentence."""

    def warn(self, text: str) -> None:
        """Shows a warning."""

    def finish(self) -> None:
        """The sweep has ended, with or without an error."""


class SilentSweepProgress:
    """Shows nothing; warnings become Python warnings."""

    def trial_started(self, name: str, number: int, total: int) -> None:
        """Does nothing."""

    def trial_progress(self, name: str, row: Mapping[str, Any]) -> None:
        """Does nothing."""

    def trial_retried(self, name: str, reason: str) -> None:
        """Does nothing."""

    def trial_finished(self, name: str, row: Row) -> None:
        """Does nothing."""

    def message(self, text: str) -> None:
        """Does nothing."""

    def warn(self, text: str) -> None:
        """Issues a Python warning."""
        warnings.warn(text, stacklevel=2)

    def finish(self) -> None:
        """Does nothing."""


class NotebookSweepProgress(SilentSweepProgress):
    """A bar of the trials that have ended."""

    def __init__(self) -> None:
        self._bar = NotebookBar()
        self._num_ended = self._num_trials = 0

    def trial_started(self, name: str, number: int, total: int) -> None:
        """Draws the bar."""
        self._num_trials = total
        self._draw()

    def trial_finished(self, name: str, row: Row) -> None:
        """Counts a trial, and draws the bar."""
        self._num_ended += 1
        self._draw()

    def message(self, text: str) -> None:
        """Prints a line."""
        print(text)

    def _draw(self) -> None:
        done = self._num_ended / self._num_trials if self._num_trials else None
        self._bar.draw(f"{self._num_ended} of {self._num_trials} trials", done)


def default_sweep_progress() -> SweepProgress:
    """Returns a bar inside a notebook, and silence elsewhere."""
    return NotebookSweepProgress() if in_notebook() else SilentSweepProgress()


def run_trials(
    sweep: SweepFolder,
    source: TrialSource,
    function: JobFunction,
    payload: Callable[[Trial], Any],
    progress: SweepProgress,
    log: Log,
    *,
    num_trials: int,
    pool: Pool,
    should_stop: Callable[[], bool],
) -> None:
    """Runs trials until `source` has no more, and keeps `sweep.csv` up to date.

    Args:
        sweep: locked by the caller.
        source: gives the trials.
        function: trains one trial in a worker process and returns None, or `PRUNED`. It reports rows of the training
            log with an extra column `ends_epoch`, or `{"warning": text}`; the answer is whether to prune the trial.
        payload: returns the picklable argument of `function` for a trial.
        progress: shows what happens.
        log: of the sweep; receives a line per trial.
        num_trials: of the whole sweep.
        pool: runs the trials; see `run_jobs`.
        should_stop: returns whether the user has asked to stop.

    Raises:
        StorageError: when the disk refuses a write.
    """
    rows = {row["trial"]: row for row in sweep.rows()}
    num_started = sum(row["status"] != "waiting" for row in rows.values())
    running: dict[str, Trial] = {}

    def next_job() -> Job | None:
        nonlocal num_started
        trial = source.next_trial()
        if trial is None:
            return None
        running[trial.name] = trial
        num_started += 1
        progress.trial_started(trial.name, num_started, num_trials)
        return Job(trial.name, payload(trial))

    def on_report(name: str, row: Mapping[str, Any]) -> bool:
        if "warning" in row:
            progress.warn(f"{name}: {row['warning']}")
            return False
        progress.trial_progress(name, row)
        accuracy = row.get("val_accuracy")
        if accuracy is None or not row["ends_epoch"]:
            return False  # within an epoch a trial cannot be compared with what others had at its end
        return source.should_prune(running[name], row["epoch"], accuracy)

    results = pool(next_job, function, on_report=on_report, on_retry=progress.trial_retried, should_stop=should_stop)
    for result in results:
        trial = running.pop(result.key)
        if result.error is not None:
            sweep.record_end(trial, "failed", result.error)
        elif result.value == PRUNED:
            sweep.record_end(trial, "pruned", None)
        row = rows[trial.name] = sweep.row(trial)
        source.record_result(trial, row)
        sweep.write_table(rows.values())
        log.write("ended", trial=trial.name, status=row["status"], attempts=result.attempts)
        progress.trial_finished(trial.name, row)
