"""What is known of a run, and what a rule says of it."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import TenfoldError
from tenfold.core.text import shortened
from tenfold.evaluate.intervals import wilson
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe
from tenfold.report.tables.run_tables import percent
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import Prediction, RunFolder
from tenfold.runs.tables import Number

Row = Mapping[str, Number]
T = TypeVar("T")

_LONGEST_NAME = 40


@dataclass(frozen=True)
class Finding:
    """What is conspicuous about a run.

    Args:
        rule: short name of the rule that found it.
        sentence: what was found, with its evidence.
        remedy: what to do about it.
    """

    rule: str
    sentence: str
    remedy: str


@dataclass(frozen=True)
class Case:
    """What is known of a run; what its folder does not tell is None or empty, and rules that need it stay silent.

    Args:
        recipe: as it was carried out.
        rows: of `metrics.csv`.
        predictions: of `predictions.csv`, of a finished run.
        summary: `summary.json`, of a finished run.
        environment: `env.json`.
        events: lines of `log.jsonl`.
    """

    recipe: Recipe | None = None
    rows: tuple[Row, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, folder: RunFolder) -> "Case":
        """Reads a run folder; a file that is missing, damaged or of another version tells nothing."""
        summary: dict[str, Any] = _read(folder.read_summary, {})
        return cls(
            recipe=_read(lambda: load_recipe(folder.recipe), None),
            rows=tuple(_read(folder.read_metrics, [])),
            # without a summary they are those of a former, shorter end
            predictions=tuple(_read(folder.read_predictions, [])) if summary else (),
            summary=summary,
            environment=_read(folder.read_environment, {}),
            events=tuple(_read(lambda: read_log(folder.log), [])),
        )

    def number(self, *keys: str) -> float | None:
        """Returns a number from the summary, e.g. of `"dataset", "clipped"`; None for all else."""
        value: Any = self.summary
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        return value if plain and math.isfinite(value) else None

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.summary)

    @cached_property
    def total(self) -> int:
        """Test pictures."""
        return len(self.predictions)

    @cached_property
    def correct(self) -> int:
        """Test pictures that were recognised."""
        return sum(row.true == row.predicted for row in self.predictions)

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that were recognised; only where there are any."""
        return self.correct / self.total

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return wilson(self.correct, self.total)

    @cached_property
    def true_counts(self) -> Counter[str]:
        """Test pictures of each class that has any."""
        return Counter(row.true for row in self.predictions)

    @cached_property
    def predicted_counts(self) -> Counter[str]:
        """Test pictures that were taken for each class."""
        return Counter(row.predicted for row in self.predictions)

    @cached_property
    def train_counts(self) -> dict[str, int]:
        """Training pictures of each class; empty where a former version did not write them down."""
        dataset = self.summary.get("dataset")
        counts = dataset.get("train_counts") if isinstance(dataset, Mapping) else None
        if not isinstance(counts, Mapping):
            return {}
        return {str(name): count for name, count in counts.items() if isinstance(count, int)}

    @cached_property
    def classes(self) -> int:
        """How many classes there are, as far as is known; at least 1."""
        named = {row.predicted for row in self.predictions} | set(self.true_counts)
        evaluation = self.summary.get("evaluation")
        per_class = evaluation.get("per_class") if isinstance(evaluation, Mapping) else None
        listed = len(per_class) if isinstance(per_class, list) else 0
        return max(1, len(named), len(self.train_counts), listed)

    @property
    def steps(self) -> int:
        """Steps taken, as far as they are written down."""
        return int(self.rows[-1]["step"] or 0) if self.rows else 0

    @property
    def epochs(self) -> int:
        """Epochs begun, as far as they are written down."""
        return int(self.rows[-1]["epoch"] or 0) if self.rows else 0

    @cached_property
    def train_accuracy(self) -> float | None:
        """Accuracy on the training pictures as they were learnt from in the last epoch; None where that is not known.

        They are judged changed and before each update, so that the network is rather better on them than this says.
        """
        if not self.rows:
            return None
        seen = right = before = 0.0
        for row in self.rows:
            step, accuracy = float(row["step"] or 0), row["train_accuracy"]
            if row["epoch"] == self.rows[-1]["epoch"] and accuracy is not None:
                seen, right = seen + step - before, right + (step - before) * accuracy
            before = step
        return right / seen if seen else None

    def epoch_at(self, share: float) -> int:
        """Returns the epoch that the run was in when `share` of its steps were taken."""
        return next((int(row["epoch"] or 0) for row in self.rows if (row["step"] or 0) >= share * self.steps), 0)

    @property
    def test(self) -> str:
        """How the test went, in words: `61.7 % (95 % interval 60.7–62.6 %) of 10,000 test pictures`."""
        low, high = self.interval
        return (
            f"{percent(self.accuracy)} (95 % interval {100 * low:.1f}–{100 * high:.1f} %) "
            f"of {counted(self.total, 'test picture')}"
        )


def counted(count: int, noun: str) -> str:
    """Returns a number of things.

    Example:
        >>> counted(1, "step"), counted(1200, "step")
        ('1 step', '1,200 steps')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def loss_text(loss: float) -> str:
    """Returns a loss with two decimals, or three digits where it is small or huge.

    Example:
        >>> loss_text(2.3), loss_text(0.06161), loss_text(5.55e29)
        ('2.30', '0.0616', '5.55e+29')
    """
    return f"{loss:.2f}" if 1 <= loss < 1000 else f"{loss:.3g}"


def quoted(name: str) -> str:
    """Returns the name of a class or file, short and fit for a screen, in quotation marks."""
    return f"“{shortened(name, _LONGEST_NAME)}”"


def _read(read: Callable[[], T], otherwise: T) -> T:
    try:
        return read()
    except TenfoldError:
        return otherwise


Floats = NDArray[np.float64]

_MOST_POINTS = 40
"""Points that a training curve is gathered into: of single steps with batches of 4, even a good run's losses leap."""


def training_curve(rows: Sequence[Row]) -> Floats:
    """Returns the training loss over the run, float64 [n], n at most 40: means over spans of equally many steps.

    Args:
        rows: in order; each tells the mean loss of the steps since the row before.
    """
    told = [(row["step"], row["train_loss"]) for row in rows]
    known = [(int(step), float(loss)) for step, loss in told if step and loss is not None and math.isfinite(loss)]
    if not known:
        return np.empty(0)
    ends, losses = np.array([step for step, _ in known]), np.array([loss for _, loss in known])  # K, K
    steps = np.diff(ends, prepend=0).clip(min=1)  # K
    middles = np.cumsum(steps) - steps / 2  # K
    points = min(_MOST_POINTS, len(known))
    place = np.minimum((middles / steps.sum() * points).astype(int), points - 1)  # K
    weights = np.bincount(place, weights=steps, minlength=points)  # n
    sums = np.bincount(place, weights=steps * losses, minlength=points)  # n
    return np.asarray(sums[weights > 0] / weights[weights > 0])


def noise(curve: Floats) -> float:
    """Returns the standard deviation of a curve about its course, 0 where there are fewer than 4 points.

    Third differences hide a course that is no more bent than a parabola: of noise alone, their variance is 20 times
    its own. The median does not mind a few leaps.

    Example:
        >>> noise(np.linspace(3.0, 1.0, 20) ** 2) < 1e-12
        True
    """
    if len(curve) < 4:
        return 0.0
    return 1.4826 * float(np.median(np.abs(np.diff(curve, 3)))) / math.sqrt(20)


def last_part(curve: Floats, share: float) -> Floats:
    """Returns the last `share` of a curve, at least one point."""
    return curve[-max(1, round(share * len(curve))) :]


def first_part(curve: Floats, share: float) -> Floats:
    """Returns the first `share` of a curve, at least one point."""
    return curve[: max(1, round(share * len(curve)))]
