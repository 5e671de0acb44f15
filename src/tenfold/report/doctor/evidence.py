"""Evidence about a run, read from its run folder, and the diagnosis that a rule draws from it."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import TenfoldError
from tenfold.core.text import interval, percent, plural, shortened
from tenfold.evaluate.intervals import wilson
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import Number, PredictionRow

MetricsRow = Mapping[str, Number]
Floats = NDArray[np.float64]
T = TypeVar("T")

_MAX_NAME_WIDTH = 40
_MAX_POINTS = 40
"""Maximum number of points in a training curve. Losses of single steps with small batches are too noisy."""


@dataclass(frozen=True)
class Diagnosis:
    """Something unusual about a run.

    Args:
        rule: name of the rule.
        sentence: what is unusual, with the evidence.
        remedy: what to do about it.
    """

    rule: str
    sentence: str
    remedy: str


@dataclass(frozen=True)
class Evidence:
    """Everything the run folder says about a run. A rule without the evidence it needs returns None.

    Args:
        recipe: `recipe.toml`.
        rows: of `metrics.csv`.
        predictions: rows of `predictions.csv`; empty for an unfinished run.
        summary: `summary.json`; empty for an unfinished run.
        environment: `env.json`.
        events: lines of `log.jsonl`.
    """

    recipe: Recipe | None = None
    rows: tuple[MetricsRow, ...] = ()
    predictions: tuple[PredictionRow, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, folder: RunFolder) -> "Evidence":
        """Reads a run folder. A file that is missing, damaged or of another version counts as empty."""
        summary: dict[str, Any] = _read(folder.read_summary, {})
        return cls(
            recipe=_read(lambda: load_recipe(folder.recipe), None),
            rows=tuple(_read(folder.read_metrics, [])),
            # without a summary, the predictions are those of an earlier, shorter training
            predictions=tuple(_read(folder.read_predictions, [])) if summary else (),
            summary=summary,
            environment=_read(folder.read_environment, {}),
            events=tuple(_read(lambda: read_log(folder.log), [])),
        )

    def number(self, *keys: str) -> float | None:
        """Returns a number from the summary, such as that of `"dataset", "clipped"`; None for anything else."""
        value: Any = self.summary
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if is_number and math.isfinite(value) else None

    @property
    def is_finished(self) -> bool:
        """Whether the run finished."""
        return bool(self.summary)

    @cached_property
    def num_test(self) -> int:
        """Number of test images."""
        return len(self.predictions)

    @cached_property
    def num_correct(self) -> int:
        """Number of test images predicted correctly."""
        return sum(row.true == row.predicted for row in self.predictions)

    @property
    def accuracy(self) -> float:
        """Test accuracy in [0, 1]; needs predictions."""
        return self.num_correct / self.num_test

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the test accuracy."""
        return wilson(self.num_correct, self.num_test)

    @cached_property
    def true_counts(self) -> Counter[str]:
        """Number of test images by class, without empty classes."""
        return Counter(row.true for row in self.predictions)

    @cached_property
    def predicted_counts(self) -> Counter[str]:
        """Number of test images by predicted class."""
        return Counter(row.predicted for row in self.predictions)

    @cached_property
    def train_counts(self) -> dict[str, int]:
        """Number of training images by class; empty for a run of a version that did not record it."""
        dataset = self.summary.get("dataset")
        counts = dataset.get("train_counts") if isinstance(dataset, Mapping) else None
        if not isinstance(counts, Mapping):
            return {}
        return {str(name): count for name, count in counts.items() if isinstance(count, int)}

    @cached_property
    def num_classes(self) -> int:
        """Number of classes as far as it is recorded, at least 1."""
        in_predictions = len(set(self.predicted_counts) | set(self.true_counts))
        evaluation = self.summary.get("evaluation")
        per_class = evaluation.get("per_class") if isinstance(evaluation, Mapping) else None
        in_evaluation = len(per_class) if isinstance(per_class, list) else 0
        return max(1, in_predictions, len(self.train_counts), in_evaluation)

    @property
    def uniform_loss(self) -> float:
        """Cross-entropy of a uniform prediction, ln C: the loss of an untrained network with good initial weights."""
        return math.log(self.num_classes)

    @cached_property
    def loss_curve(self) -> Floats:
        """The training loss, see `training_curve`."""
        return training_curve(self.rows)

    @property
    def num_steps(self) -> int:
        """Number of steps, as far as it is recorded."""
        return int(self.rows[-1]["step"] or 0) if self.rows else 0

    @property
    def num_epochs(self) -> int:
        """Number of epochs begun, as far as it is recorded."""
        return int(self.rows[-1]["epoch"] or 0) if self.rows else 0

    @property
    def evaluated_epoch(self) -> int:
        """Epoch of the model that was evaluated on the test split: the best one, or the last; 0 for a head alone."""
        best = self.number("best_epoch")
        return self.num_epochs if best is None else int(best)

    @cached_property
    def train_accuracy(self) -> float | None:
        """Training accuracy of the evaluated model's epoch in [0, 1]; None if it is not recorded.

        It is measured on augmented images before each update, so the network itself does somewhat better.
        """
        num_steps = weighted = previous_step = 0.0
        for row in self.rows:
            step, accuracy = float(row["step"] or 0), row["train_accuracy"]
            if row["epoch"] == self.evaluated_epoch and accuracy is not None:
                num_steps, weighted = num_steps + step - previous_step, weighted + (step - previous_step) * accuracy
            previous_step = step
        return weighted / num_steps if num_steps else None

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels; 0 if they are not recorded."""
        dataset = self.summary.get("dataset")
        size = dataset.get("image_size") if isinstance(dataset, Mapping) else None
        return (int(size[0]), int(size[1])) if isinstance(size, Sequence) and len(size) == 2 else (0, 0)

    @property
    def budget(self) -> str | None:
        """Time given with `--budget`, which plans the length of the run; None without it."""
        command = [str(word) for word in self.environment.get("command") or ()]
        for word, after in pairwise([*command, ""]):
            name, equals, value = word.partition("=")
            if name == "--budget":
                return value if equals else after
        return None

    @property
    def stopped_itself(self) -> bool:
        """Whether the run ended before its planned length: at its target, or by early stopping."""
        target = self.summary.get("target")
        if isinstance(target, Mapping) and target.get("reached"):
            return True
        if self.recipe is None or not self.recipe.train.early_stop:
            return False
        duration = self.recipe.train.duration
        planned = {"epochs": self.num_epochs, "steps": self.num_steps}.get(duration.unit, math.inf)
        return planned < duration.amount

    def epoch_at(self, fraction: float) -> int:
        """Returns the epoch in which `fraction` of all steps were done."""
        return next((int(row["epoch"] or 0) for row in self.rows if (row["step"] or 0) >= fraction * self.num_steps), 0)

    @property
    def accuracy_text(self) -> str:
        """The test accuracy as text: `61.7 % (95 % interval 60.7–62.6 %) of 10,000 test images`."""
        return (
            f"{percent(self.accuracy)} (95 % interval {interval(self.interval)}) "
            f"of {plural(self.num_test, 'test image')}"
        )


def _read(read: Callable[[], T], default: T) -> T:
    try:
        return read()
    except TenfoldError:
        return default


def training_curve(rows: Sequence[MetricsRow]) -> Floats:
    """Returns the training loss over the run, float64 [n], n at most 40: means over spans of equally many steps.

    Args:
        rows: of `metrics.csv`, in order; each holds the mean loss since the previous row.
    """
    pairs = [(row["step"], row["train_loss"]) for row in rows]
    known = [(int(step), float(loss)) for step, loss in pairs if step and loss is not None and math.isfinite(loss)]
    if not known:
        return np.empty(0)
    ends, losses = np.array([step for step, _ in known]), np.array([loss for _, loss in known])  # [K], [K]
    steps = np.diff(ends, prepend=0).clip(min=1)  # [K]
    middles = np.cumsum(steps) - steps / 2  # [K]
    num_points = min(_MAX_POINTS, len(known))
    point = np.minimum((middles / steps.sum() * num_points).astype(int), num_points - 1)  # [K]
    weights = np.bincount(point, weights=steps, minlength=num_points)  # [n]
    sums = np.bincount(point, weights=steps * losses, minlength=num_points)  # [n]
    return np.asarray(sums[weights > 0] / weights[weights > 0])


def noise_std(curve: Floats) -> float:
    """Returns the standard deviation of the noise on a smooth curve; 0 for fewer than 4 points.

    Third differences remove any trend up to a parabola and multiply the variance of the noise by 20. The median
    ignores a few outliers.

    Example:
        >>> noise_std(np.linspace(3.0, 1.0, 20) ** 2) < 1e-12
        True
    """
    if len(curve) < 4:
        return 0.0
    return 1.4826 * float(np.median(np.abs(np.diff(curve, 3)))) / math.sqrt(20)


def last_part(curve: Floats, fraction: float) -> Floats:
    """Returns the last `fraction` of a curve, at least one point."""
    return curve[-max(1, round(fraction * len(curve))) :]


def first_part(curve: Floats, fraction: float) -> Floats:
    """Returns the first `fraction` of a curve, at least one point."""
    return curve[: max(1, round(fraction * len(curve)))]


def loss_text(loss: float) -> str:
    """Returns a loss with two decimals, or with three digits if it is small or huge.

    Example:
        >>> loss_text(2.3), loss_text(0.06161), loss_text(5.55e29)
        ('2.30', '0.0616', '5.55e+29')
    """
    return f"{loss:.2f}" if 1 <= loss < 1000 else f"{loss:.3g}"


def quoted(name: str) -> str:
    """Returns a class name in quotation marks, shortened and printable."""
    return f"“{shortened(name, _MAX_NAME_WIDTH)}”"
