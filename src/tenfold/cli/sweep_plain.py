"""Progress of a sweep as plain lines, fit for a log file."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TextIO

from tenfold.cli.plain import Lines
from tenfold.core.log_text import LogRow
from tenfold.core.text import duration


@dataclass
class RunningTrial:
    """A trial that is running.

    Args:
        number: its position in the sweep, from 1.
        row: the last row of its log.
    """

    number: int
    row: LogRow = field(default_factory=dict)

    @property
    def fraction_done(self) -> float:
        """Fraction of its steps that are done, in [0, 1]; 0 if that is not known."""
        step, steps = self.row.get("step"), self.row.get("steps")
        return min(1.0, step / steps) if step and steps else 0.0


class PlainSweepProgress(Lines):
    """Plain lines: one when a trial starts and one when it ends.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._running: dict[str, RunningTrial] = {}
        self._finished: Counter[str] = Counter()
        self._num_started = self._num_trials = 0
        self._start_time = time.monotonic()

    def trial_started(self, name: str, number: int, total: int) -> None:
        """Notes that a trial starts, and writes it.

        Args:
            name: of the trial.
            number: its position in the sweep, from 1.
            total: number of trials in the sweep.
        """
        if not self._num_started:
            self._start_time = time.monotonic()
        self._running[name] = RunningTrial(number)
        self._num_started, self._num_trials = max(self._num_started, number), total
        self._show_start(name)

    def trial_progress(self, name: str, row: LogRow) -> None:
        """Notes a new row in the log of a trial; a validation accuracy is kept until the next one."""
        if name in self._running:
            accuracy = row.get("val_accuracy")
            previous = self._running[name].row.get("val_accuracy")
            self._running[name].row = {**row, "val_accuracy": previous if accuracy is None else accuracy}

    def trial_retried(self, name: str, reason: str) -> None:
        """Writes that a trial starts again."""
        if name in self._running:
            self._running[name].row = {}
        self.message(f"{self._prefix(name)}{name}: starts again, {reason}")

    def trial_finished(self, name: str, row: LogRow) -> None:
        """Writes the result of a trial, from its row of `sweep.csv`."""
        prefix = self._prefix(name)
        self._running.pop(name, None)
        self._finished[row["status"]] += 1
        self.message(f"{prefix}{name}: {result_text(row)}")

    def finish(self) -> None:
        """Does nothing: all lines are written."""

    def status_line(self) -> str:
        """Returns the number of trials in each state, and an estimate of the remaining time."""
        counts = {**self._finished, "running": len(self._running), "waiting": self._num_trials - self._num_started}
        parts = [f"{count} {status}" for status, count in counts.items() if count > 0]
        left = self.seconds_left()
        return " · ".join(parts if left is None else [*parts, f"about {duration(left)} left"])

    def seconds_left(self) -> float | None:
        """Returns an estimate of the remaining time from the fraction done, or None before there is any."""
        fractions = [trial.fraction_done for trial in self._running.values()]
        done = self._finished.total() + sum(fractions)
        rest = self._num_trials - self._num_started + len(fractions) - sum(fractions)
        return (time.monotonic() - self._start_time) * rest / done if done else None

    def _prefix(self, name: str) -> str:
        return f"[{self._running[name].number} of {self._num_trials}] " if name in self._running else ""

    def _show_start(self, name: str) -> None:
        self.message(f"{self._prefix(name)}{name}: starts")


def result_text(row: LogRow) -> str:
    """Returns the result of a trial as text.

    Args:
        row: of `sweep.csv`: status, test_accuracy, test_low, test_high, val_accuracy, training_seconds, error.

    Example:
        >>> row = {"status": "finished", "test_accuracy": 0.704, "test_low": 0.6953, "test_high": 0.7129}
        >>> result_text({**row, "val_accuracy": None, "training_seconds": 214.2})
        '70.4 % (95 % interval 69.5–71.3 %) in 214 s'
    """
    if row["status"] != "finished":
        error = row.get("error")
        return f"{row['status']}: {error}" if error else f"{row['status']}"
    low, high, seconds = row.get("test_low"), row.get("test_high"), row.get("training_seconds")
    text = f"{row['test_accuracy'] * 100:.1f} %"
    if low is not None and high is not None:
        text += f" (95 % interval {low * 100:.1f}–{high * 100:.1f} %)"
    if row.get("val_accuracy") is not None:
        text = f"validation {row['val_accuracy'] * 100:.1f} %, test {text}"
    return text if seconds is None else f"{text} in {seconds:,.0f} s"
