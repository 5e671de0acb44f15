"""What a sweep came to: its rows gathered by setting.

A row is what `SweepFolder.rows` returns. Beside `test_low` and `test_high` a row may hold `val_low` and `val_high`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist, fmean
from typing import Any

from tenfold.core.text import shortened
from tenfold.evaluate.spread import Estimate, Spread, spread

Row = Mapping[str, Any]

_LONGEST_VALUE = 24
MOST_BARS = 40  # in one chart; more would hide the dots


@dataclass(frozen=True)
class Outcome:
    """What one setting came to, over all its seeds.

    Args:
        settings: values of the varied keys.
        accuracies: of the finished runs, at least one, each in [0, 1].
        wilson: 95 % interval of a single run's accuracy; None for several runs, or where it is not known.
        parameters: of the model, where known.
        seconds: of training, the mean over the runs, where known.
    """

    settings: Mapping[str, Any]
    accuracies: tuple[float, ...]
    wilson: tuple[float, float] | None
    parameters: float | None
    seconds: float | None

    @cached_property
    def spread(self) -> Spread:
        """Mean, deviation and interval of the accuracies."""
        return spread(self.accuracies)

    @property
    def mean(self) -> float:
        """Mean of the accuracies."""
        return self.spread.mean

    @property
    def bar(self) -> tuple[float, float] | None:
        """Ends of the bar in a chart: mean ± standard deviation, or the interval of a single run."""
        if self.spread.deviation is None:
            return self.wilson
        return self.mean - self.spread.deviation, self.mean + self.spread.deviation

    @property
    def estimate(self) -> Estimate | None:
        """The mean with its standard error: from the scatter of the seeds, or binomial for a single run."""
        if self.spread.deviation is not None:
            count = self.spread.count
            return Estimate(self.mean, self.spread.deviation / math.sqrt(count), count - 1)
        if self.wilson is None:
            return None
        low, high = self.wilson
        return Estimate(self.mean, (high - low) / 2 / NormalDist().inv_cdf(0.975))


@dataclass(frozen=True)
class Study:
    """A sweep as charts and tables need it.

    Args:
        rows: one for each trial, in the order of the sweep.
        keys: those that vary, dotted.
        kind: `grid`, `search` or `seeds`.
    """

    rows: Sequence[Row]
    keys: Sequence[str]
    kind: str = "grid"

    @cached_property
    def split(self) -> str:
        """Whose accuracy decides: `val` where every finished trial has one, else `test`."""
        finished = [row for row in self.rows if row.get("status") == "finished"]
        return "val" if finished and all(share_of(row, "val_accuracy") is not None for row in finished) else "test"

    @property
    def measure(self) -> str:
        """The deciding accuracy in words."""
        return "validation accuracy" if self.split == "val" else "test accuracy"

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """One outcome for each setting with a finished trial, in the order of the rows."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.get("status") == "finished" and self.accuracy(row) is not None:
                groups.setdefault(identity([row.get(key) for key in self.keys]), []).append(row)
        return [self._outcome(rows) for rows in groups.values()]

    @cached_property
    def best(self) -> Outcome | None:
        """The outcome of highest mean, the first of equals; None where nothing has finished."""
        return max(self.outcomes, key=lambda outcome: outcome.mean, default=None)

    @cached_property
    def labels(self) -> dict[str, str]:
        """A short name for each key: `width` for `model.width`, unless that word is `name` or ends two keys."""
        ends = [key.rpartition(".")[2] for key in self.keys]
        return {
            key: shortened(end if ends.count(end) == 1 and end not in ("", "name") else key, _LONGEST_VALUE)
            for key, end in zip(self.keys, ends, strict=True)
        }

    @property
    def seeds(self) -> int:
        """The most finished runs that one setting has."""
        return max((outcome.spread.count for outcome in self.outcomes), default=0)

    @property
    def bars(self) -> str:
        """What the bars of single settings show."""
        if not self.outcomes:
            return ""
        if self.seeds > 1:
            return "mean ± standard deviation over seeds"
        known = any(outcome.wilson for outcome in self.outcomes) and len(self.outcomes) <= MOST_BARS
        return "one run each, with its 95 % interval" if known else "one run each"

    @property
    def trials(self) -> str:
        """How many trials there are, and what became of those that have no result."""
        others = [f"{self.count(status)} {status}" for status in ("pruned", "failed", "waiting") if self.count(status)]
        trials = f"{len(self.rows)} trial" + ("" if len(self.rows) == 1 else "s")
        if not others:
            return trials
        return ", ".join([f"{self.count('finished')} of {trials} finished", *others])

    @property
    def subtitle(self) -> str:
        """What the bars show, and how many trials there are."""
        return " · ".join(part for part in (self.bars, self.trials) if part)

    def numbers(self, key: str) -> list[float]:
        """Returns the values of a key, one for each outcome, where all of them are numbers, else nothing."""
        numbers = [number_of(outcome.settings[key]) for outcome in self.outcomes]
        known = [number for number in numbers if number is not None]
        return known if len(known) == len(numbers) else []

    def accuracy(self, row: Row) -> float | None:
        """Returns the deciding accuracy of a row, or None where it has none."""
        return share_of(row, f"{self.split}_accuracy")

    def wilson(self, row: Row) -> tuple[float, float] | None:
        """Returns the 95 % interval of a row's deciding accuracy, where it is known."""
        low, high = share_of(row, f"{self.split}_low"), share_of(row, f"{self.split}_high")
        return None if low is None or high is None else (low, high)

    def setting(self, settings: Row) -> str:
        """Returns the settings of a trial in words: `width=90, lr=0.001`."""
        return ", ".join(f"{self.labels[key]}={value_text(settings.get(key))}" for key in self.keys)

    def count(self, status: str) -> int:
        """Returns how many trials have this status."""
        return sum(row.get("status") == status for row in self.rows)

    def _outcome(self, rows: Sequence[Row]) -> Outcome:
        accuracies = [share for row in rows if (share := self.accuracy(row)) is not None]
        return Outcome(
            settings={key: rows[0].get(key) for key in self.keys},
            accuracies=tuple(accuracies),
            wilson=self.wilson(rows[0]) if len(rows) == 1 else None,
            parameters=_mean_of(rows, "parameters"),
            seconds=_mean_of(rows, "training_seconds"),
        )


def identity(value: object) -> str:
    """Returns a text that equal values share and others do not, also for lists, and for 1 and True."""
    return repr(value)


def value_text(value: object) -> str:
    """Returns a setting as short text.

    Example:
        >>> [value_text(value) for value in (90, 0.0015, True, None, "muon", 1e-05, [64, 128])]
        ['90', '0.0015', 'true', 'none', 'muon', '1e-5', '64, 128']
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) < 10**9:
        return str(value)
    if isinstance(value, int | float):
        return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e+")
    if isinstance(value, list | tuple):
        return shortened(", ".join(map(value_text, value)), _LONGEST_VALUE)
    return shortened(str(value), _LONGEST_VALUE)


def number_of(value: object) -> float | None:
    """Returns a number that a chart can show, or None for all else; True is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        return None
    return float(value)


def share_of(row: Row, column: str) -> float | None:
    """Returns a number in [0, 1], or None for all else."""
    number = number_of(row.get(column))
    return number if number is not None and 0 <= number <= 1 else None


def _mean_of(rows: Sequence[Row], column: str) -> float | None:
    numbers = [number for row in rows if (number := number_of(row.get(column))) is not None]
    return fmean(numbers) if numbers else None
