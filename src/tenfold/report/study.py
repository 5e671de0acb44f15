"""A sweep summarized by setting, for tables, charts and pages. N test images.

A row is what `SweepFolder.rows` returns. Besides `test_low` and `test_high` it may hold `val_low` and `val_high`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.text import plural, shortened
from tenfold.evaluate.settings import SeedResults, SettingPair, compare_settings
from tenfold.evaluate.spread import Spread, accuracy_spread, spread
from tenfold.report.values import Row as Row
from tenfold.report.values import as_number as as_number
from tenfold.report.values import fraction_of as fraction_of
from tenfold.report.values import value_key as value_key
from tenfold.report.values import value_text as value_text

if TYPE_CHECKING:  # imports torch, which takes a second or two
    from tenfold.report.out_of_fold import OutOfFold
    from tenfold.report.page.predictions import Predictions

MAX_ERROR_BARS = 40
"""Maximum number of error bars in one chart; more would hide the points."""

_MAX_VALUE_WIDTH = 24


@dataclass(frozen=True, eq=False)  # == of arrays gives no single truth value
class SettingResult:
    """The result of one setting over all its seeds.

    Args:
        settings: values of the varied keys.
        accuracies: of the finished runs, at least one, each in [0, 1].
        seeds: of these runs.
        num_images: number of images that each was evaluated on, if known.
        num_train: number of training images where each run had a random test split of its own, else None.
        correct: float64 [N], fraction of the runs that predicted each test image correctly; None if it is not known.
        parameters: number of parameters of the model, if known.
        seconds: mean training time, if known.
    """

    settings: Mapping[str, Any]
    accuracies: tuple[float, ...]
    seeds: tuple[int, ...]
    num_images: int | None = None
    num_train: int | None = None
    correct: NDArray[np.float64] | None = None
    parameters: float | None = None
    seconds: float | None = None

    @cached_property
    def spread(self) -> Spread:
        """Mean, standard deviation and interval of the accuracies."""
        return accuracy_spread(self.accuracies, self.num_images, self.num_train)

    @property
    def mean(self) -> float:
        """Mean of the accuracies."""
        return self.spread.mean

    @property
    def bar(self) -> tuple[float, float] | None:
        """Ends of the error bar: mean ± standard deviation, or the 95 % interval of a single run."""
        if self.spread.std is None:
            return self.spread.interval
        return self.mean - self.spread.std, self.mean + self.spread.std

    @property
    def seed_results(self) -> SeedResults | None:
        """The accuracies by seed, for comparisons; None without a number of images."""
        if self.num_images is None:
            return None
        return SeedResults(dict(zip(self.seeds, self.accuracies, strict=True)), self.num_images, self.correct)


@dataclass(frozen=True)
class TargetTimes:
    """When the trials of a sweep reached their target accuracy.

    Args:
        total: number of finished trials.
        seconds: spread of the times of the trials that reached the target; None if none did.
    """

    total: int
    seconds: Spread | None


@dataclass(frozen=True)
class Study:
    """The trials of a sweep, grouped by setting.

    Args:
        rows: one for each trial, in the order of the sweep.
        keys: varied recipe keys, dotted.
        kind: `grid`, `search`, `seeds` or `folds`.
        resplit: whether each seed has random splits of its own.
        correct: whether each test image was predicted correctly, bool [N], by trial; empty where the images differ.
        val_correct: the same of the validation images.
        out_of_fold: the predictions of a cross-validation, once all its folds have ended.
        predictions: on the test images, by trial; of the finished trials of a sweep that was read from its folder.
    """

    rows: Sequence[Row]
    keys: Sequence[str]
    kind: str = "grid"
    resplit: bool = False
    correct: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    val_correct: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    predictions: "Mapping[str, Predictions]" = field(default_factory=dict)
    out_of_fold: "OutOfFold | None" = None

    @cached_property
    def split(self) -> str:
        """Split that ranks the settings: `val` if every finished trial has a validation accuracy, else `test`."""
        finished = [row for row in self.rows if row.get("status") == "finished"]
        if self.kind == "folds":
            return "test"
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
    def comparisons(self) -> list[SettingPair]:
        """The best result against each other one, by index in `results`; none for one run each.

        The best was picked after looking, so p-values are corrected for all pairs of settings.
        """
        settings = [known for result in self.results if (known := result.seed_results) is not None]
        if self.best is None or len(settings) < len(self.results):
            return []
        best, count = self.results.index(self.best), len(settings)
        return compare_settings(settings, [(best, i) for i in range(count) if i != best], count * (count - 1) // 2)

    @cached_property
    def target_times(self) -> TargetTimes | None:
        """When the finished trials reached their target accuracy; None without a target."""
        finished = [row for row in self.rows if row.get("status") == "finished" and row.get("target") is not None]
        times = [seconds for row in finished if (seconds := as_number(row.get("target_seconds"))) is not None]
        return TargetTimes(len(finished), spread(times) if times else None) if finished else None

    def tested(self, rows: Sequence[Row]) -> Spread:
        """Returns mean, std and 95 % interval of the test accuracies of finished trials of one setting.

        Of a cross-validation the mean is that over all images, out of fold.
        """
        if self.out_of_fold is not None:
            total = accuracy_spread([row["test_accuracy"] for row in rows], None)
            return replace(total, mean=self.out_of_fold.accuracy, interval=self.out_of_fold.interval)
        images, train = _mean_of(rows, "test_images"), _mean_of(rows, "train_images")
        return accuracy_spread(
            [row["test_accuracy"] for row in rows],
            None if images is None else round(images),
            round(train) if self.own_test_splits and train is not None else None,
        )

    @property
    def own_test_splits(self) -> bool:
        """Whether each seed drew test images of its own; with `--resplit` it may have drawn validation images only."""
        return self.resplit and not self.correct

    @property
    def covers(self) -> str:
        """What the 95 % interval of several runs covers."""
        if self.kind == "folds":
            return "new images and new training images"
        return "new images, new splits and new seeds" if self.own_test_splits else "new images and new seeds"

    @property
    def splits_text(self) -> str:
        """What the seeds have in common, to follow their number."""
        if self.own_test_splits:
            return ", each with its own split"
        return ", each with its own validation images" if self.resplit else " on one split"

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
        has_bars = any(result.spread.interval for result in self.results) and len(self.results) <= MAX_ERROR_BARS
        return "one run each, with its 95 % interval" if has_bars else "one run each"

    @property
    def trials_text(self) -> str:
        """The number of trials, and how many are pruned, failed or waiting."""
        others = [f"{self.count(status)} {status}" for status in ("pruned", "failed", "waiting") if self.count(status)]
        trials = plural(len(self.rows), "trial")
        return ", ".join([f"{self.count('finished')} of {trials} finished", *others]) if others else trials

    def run_label(self, row: Row) -> str:
        """Returns what distinguishes a run from others of its setting: `seed 3` or `fold 2`."""
        return f"fold {row['data.fold']}" if self.kind == "folds" else f"seed {row['seed']}"

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
        images = _mean_of(rows, f"{self.split}_images")
        trials = [row.get("trial") for row in rows]
        correct = self.correct if self.split == "test" else self.val_correct
        known = all(trial in correct for trial in trials)
        train = _mean_of(rows, "train_images") if self.own_test_splits else None
        return SettingResult(
            settings={key: rows[0].get(key) for key in self.keys},
            accuracies=tuple(accuracy for row in rows if (accuracy := self.accuracy(row)) is not None),
            seeds=tuple(row["seed"] for row in rows),
            num_images=None if images is None else round(images),
            num_train=None if train is None else round(train),
            correct=np.mean([correct[str(trial)] for trial in trials], axis=0) if known else None,
            parameters=_mean_of(rows, "parameters"),
            seconds=_mean_of(rows, "training_seconds"),
        )


def _mean_of(rows: Sequence[Row], column: str) -> float | None:
    numbers = [number for row in rows if (number := as_number(row.get(column))) is not None]
    return fmean(numbers) if numbers else None
