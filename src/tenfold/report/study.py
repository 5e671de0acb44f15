"""A sweep summarized by setting, for tables, charts and pages.

A row is what `SweepFolder.rows` returns. Besides `test_low` and `test_high` it may hold `val_low` and `val_high`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist, fmean
from typing import Any

from tenfold.core.text import plural, shortened
from tenfold.evaluate.spread import Estimate, Spread, spread

Row = Mapping[str, Any]

MAX_ERROR_BARS = 40
"""Maximum number of error bars in one chart; more would hide the points."""

_MAX_VALUE_WIDTH = 24


@dataclass(frozen=True)
class SettingResult:
    """The result of one setting over all its seeds.

    Args:
        settings: values of the varied keys.
        accuracies: of the finished runs, at least one, each in [0, 1].
        wilson: 95 % interval of a single run's accuracy; None for several runs, or if it is not known.
        parameters: number of parameters of the model, if known.
        seconds: mean training time, if known.
    """

    settings: Mapping[str, Any]
    accuracies: tuple[float, ...]
    wilson: tuple[float, float] | None
    parameters: float | None
    seconds: float | None

    @cached_property
    def spread(self) -> Spread:
        """Mean, standard deviation and interval of the accuracies."""
        return spread(self.accuracies)

    @property
    def mean(self) -> float:
        """Mean of the accuracies."""
        return self.spread.mean

    @property
    def bar(self) -> tuple[float, float] | None:
        """Ends of the error bar: mean ± standard deviation, or the 95 % interval of a single run."""
        if self.spread.std is None:
            return self.wilson
        return self.mean - self.spread.std, self.mean + self.spread.std

    @property
    def estimate(self) -> Estimate | None:
        """The mean with its standard error: from the spread over seeds, or binomial for a single run."""
        if self.spread.std is not None:
            count = self.spread.count
            return Estimate(self.mean, self.spread.std / math.sqrt(count), count - 1)
        if self.wilson is None:
            return None
        low, high = self.wilson
        return Estimate(self.mean, (high - low) / 2 / NormalDist().inv_cdf(0.975))


@dataclass(frozen=True)
class Study:
    """The trials of a sweep, grouped by setting.

    Args:
        rows: one for each trial, in the order of the sweep.
        keys: varied recipe keys, dotted.
        kind: `grid`, `search` or `seeds`.
    """

    rows: Sequence[Row]
    keys: Sequence[str]
    kind: str = "grid"

    @cached_property
    def split(self) -> str:
        """Split that ranks the settings: `val` if every finished trial has a validation accuracy, else `test`."""
        finished = [row for row in self.rows if row.get("status") == "finished"]
        return "val" if finished and all(fraction_of(row, "val_accuracy") is not None for row in finished) else "test"

    @property
    def metric(self) -> str:
        """Name of the accuracy that ranks the settings: `validation accuracy` or `test accuracy`."""
        return "validation accuracy" if self.split == "val" else "test accuracy"

    @cached_property
    def results(self) -> list[SettingResult]:
        """One result for each setting with a finished trial, in the order of the rows."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.get("status") == "finished" and self.accuracy(row) is not None:
                groups.setdefault(value_key([row.get(key) for key in self.keys]), []).append(row)
        return [self._result(rows) for rows in groups.values()]

    @cached_property
    def best(self) -> SettingResult | None:
        """The result with the highest mean, the first of equal ones; None if no trial is finished."""
        return max(self.results, key=lambda result: result.mean, default=None)

    @cached_property
    def labels(self) -> dict[str, str]:
        """A short name for each key: `width` for `model.width`, unless that is `name` or the end of two keys."""
        ends = [key.rpartition(".")[2] for key in self.keys]
        return {
            key: shortened(end if ends.count(end) == 1 and end not in ("", "name") else key, _MAX_VALUE_WIDTH)
            for key, end in zip(self.keys, ends, strict=True)
        }

    @property
    def num_seeds(self) -> int:
        """Maximum number of finished runs of one setting."""
        return max((result.spread.count for result in self.results), default=0)

    @property
    def bars_text(self) -> str:
        """What the error bars of single settings show."""
        if not self.results:
            return ""
        if self.num_seeds > 1:
            return "mean ± standard deviation over seeds"
        has_bars = any(result.wilson for result in self.results) and len(self.results) <= MAX_ERROR_BARS
        return "one run each, with its 95 % interval" if has_bars else "one run each"

    @property
    def trials_text(self) -> str:
        """The number of trials, and how many are pruned, failed or waiting."""
        others = [f"{self.count(status)} {status}" for status in ("pruned", "failed", "waiting") if self.count(status)]
        trials = plural(len(self.rows), "trial")
        if not others:
            return trials
        return ", ".join([f"{self.count('finished')} of {trials} finished", *others])

    @property
    def subtitle(self) -> str:
        """What the error bars show, and the number of trials."""
        return " · ".join(part for part in (self.bars_text, self.trials_text) if part)

    def numbers(self, key: str) -> list[float]:
        """Returns the value of a key for each result; empty unless all of them are numbers."""
        numbers = [as_number(result.settings[key]) for result in self.results]
        known = [number for number in numbers if number is not None]
        return known if len(known) == len(numbers) else []

    def accuracy(self, row: Row) -> float | None:
        """Returns the ranking accuracy of a trial, if it has one."""
        return fraction_of(row, f"{self.split}_accuracy")

    def wilson(self, row: Row) -> tuple[float, float] | None:
        """Returns the 95 % interval of a trial's ranking accuracy, if it is known."""
        low, high = fraction_of(row, f"{self.split}_low"), fraction_of(row, f"{self.split}_high")
        return None if low is None or high is None else (low, high)

    def setting_text(self, settings: Row) -> str:
        """Returns the values of the varied keys as text: `width=90, lr=0.001`."""
        return ", ".join(f"{self.labels[key]}={value_text(settings.get(key))}" for key in self.keys)

    def count(self, status: str) -> int:
        """Returns the number of trials with a status."""
        return sum(row.get("status") == status for row in self.rows)

    def _result(self, rows: Sequence[Row]) -> SettingResult:
        return SettingResult(
            settings={key: rows[0].get(key) for key in self.keys},
            accuracies=tuple(accuracy for row in rows if (accuracy := self.accuracy(row)) is not None),
            wilson=self.wilson(rows[0]) if len(rows) == 1 else None,
            parameters=_mean_of(rows, "parameters"),
            seconds=_mean_of(rows, "training_seconds"),
        )


def value_key(value: object) -> str:
    """Returns a dictionary key for any value, lists included; 1 and True differ."""
    return repr(value)


def value_text(value: object) -> str:
    """Returns a value of a recipe key as short text.

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
        return shortened(", ".join(map(value_text, value)), _MAX_VALUE_WIDTH)
    return shortened(str(value), _MAX_VALUE_WIDTH)


def as_number(value: object) -> float | None:
    """Returns a number that a chart can show, or None for anything else, such as True."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        return None
    return float(value)


def fraction_of(row: Row, column: str) -> float | None:
    """Returns the number in a column if it is in [0, 1], else None."""
    number = as_number(row.get(column))
    return number if number is not None and 0 <= number <= 1 else None


def _mean_of(rows: Sequence[Row], column: str) -> float | None:
    numbers = [number for row in rows if (number := as_number(row.get(column))) is not None]
    return fmean(numbers) if numbers else None
