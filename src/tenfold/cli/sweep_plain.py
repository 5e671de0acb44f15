"""What a sweep looks like while it goes on, in plain lines fit for a log file."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from tenfold.cli.plain import Lines

Row = Mapping[str, Any]


@dataclass
class RunningTrial:
    """A trial that is under way.

    Args:
        number: its place in the sweep, from 1.
        row: the last row of its log.
    """

    number: int
    row: Row = field(default_factory=dict)

    @property
    def share(self) -> float:
        """How much of it is done, in [0, 1]; 0 where that is not known."""
        step, steps = self.row.get("step"), self.row.get("steps")
        return min(1.0, step / steps) if step and steps else 0.0


class SweepProgress(Lines):
    """Plain lines, one when a trial begins and one when it ends; fit for a log file.

    A stream that breaks, as a pipe into `head` does, ends the lines and not the sweep.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._running: dict[str, RunningTrial] = {}
        self._ended: Counter[str] = Counter()
        self._begun = self._total = 0
        self._began_at = time.monotonic()

    def started(self, name: str, number: int, total: int) -> None:
        """Notes that a trial begins.

        Args:
            name: of the trial.
            number: its place in the sweep, from 1.
            total: trials in the whole sweep.
        """
        if not self._begun:
            self._began_at = time.monotonic()
        self._running[name] = RunningTrial(number)
        self._begun, self._total = max(self._begun, number), total
        self._tell_start(name)

    def heard(self, name: str, row: Row) -> None:
        """Takes note of a new row in the log of a trial; an accuracy of validation stands until the next one."""
        if name in self._running:
            known = self._running[name].row.get("val_accuracy")
            self._running[name].row = {
                **row,
                "val_accuracy": known if row.get("val_accuracy") is None else row["val_accuracy"],
            }

    def retried(self, name: str, reason: str) -> None:
        """Writes that a trial begins again."""
        if name in self._running:
            self._running[name].row = {}
        self.message(f"{self._place(name)}{name}: begins again, {reason}")

    def ended(self, name: str, row: Row) -> None:
        """Writes what a trial came to, from its row of the sweep."""
        place = self._place(name)
        self._running.pop(name, None)
        self._ended[row["status"]] += 1
        self.message(f"{place}{name}: {result_text(row)}")

    def finish(self) -> None:
        """Does nothing: every line is out already."""

    def counts(self) -> str:
        """Returns how many trials are where, and about how long the rest will take."""
        numbers = {**self._ended, "running": len(self._running), "waiting": self._total - self._begun}
        parts = [f"{count} {status}" for status, count in numbers.items() if count > 0]
        left = self.seconds_left()
        return " · ".join(parts if left is None else [*parts, f"about {duration_text(left)} left"])

    def seconds_left(self) -> float | None:
        """Returns an estimate from the share that is done, or None as long as there is nothing to go by."""
        under_way = [trial.share for trial in self._running.values()]
        done = self._ended.total() + sum(under_way)
        rest = self._total - self._begun + len(under_way) - sum(under_way)
        return (time.monotonic() - self._began_at) * rest / done if done else None

    def _place(self, name: str) -> str:
        return f"[{self._running[name].number} of {self._total}] " if name in self._running else ""

    def _tell_start(self, name: str) -> None:
        self.message(f"{self._place(name)}{name}: begins")


def result_text(row: Row) -> str:
    """Returns what a trial came to.

    Args:
        row: of the sweep: status, test_accuracy, test_low, test_high, val_accuracy, training_seconds, error.

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
        text = f"{row['val_accuracy'] * 100:.1f} % in validation, {text} in the test"
    return text if seconds is None else f"{text} in {seconds:,.0f} s"


def duration_text(seconds: float) -> str:
    """Returns a time as `45 s`, `12 min` or `3 h 05 min`.

    Example:
        >>> duration_text(45), duration_text(700), duration_text(11_100)
        ('45 s', '12 min', '3 h 05 min')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
