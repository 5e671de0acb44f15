"""Progress of a sweep in notebooks."""

from tenfold.core.notebook import NotebookBar, in_notebook
from tenfold.experiments.sweep.trials import SilentSweepProgress, SweepProgress
from tenfold.runs.sweep_folder import Row


def default_sweep_progress() -> SweepProgress:
    """Returns a bar inside a notebook, and silence elsewhere."""
    return NotebookSweepProgress() if in_notebook() else SilentSweepProgress()


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
