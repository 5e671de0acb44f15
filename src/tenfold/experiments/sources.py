"""Where the trials of a sweep come from: a list that is known, or a search that thinks of them."""

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from tenfold.experiments.search import Search, Suggestion
from tenfold.experiments.space import trial_name
from tenfold.runs.sweepfolder import Row, SweepFolder, Trial


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
