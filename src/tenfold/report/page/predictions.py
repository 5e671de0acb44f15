"""The predictions of a run on its test images: the one source of every metric of its page.

N images, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.disk import display_path
from tenfold.core.errors import RunError
from tenfold.core.text import plural
from tenfold.data.types import Split
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.macro import NAMES, Estimate, balanced_accuracy, is_uneven, macro_f1
from tenfold.evaluate.metrics import ClassResult, confusion_matrix, per_class_results
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import PredictionRow


@dataclass(frozen=True, eq=False)  # == of arrays gives no single truth value
class Predictions:
    """`predictions.csv` as arrays.

    Args:
        classes: C names, in the order of the labels.
        names: N paths, or positions in the test split.
        true: int64 [N], each in [0, C).
        predicted: int64 [N], each in [0, C).
        confidence: float64 [N], probability of the predicted class, as trained.
        calibrated: float64 [N], confidence after temperature scaling; None for a run without a temperature.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    calibrated: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.true)

    @cached_property
    def is_correct(self) -> NDArray[np.bool_]:
        """Whether each image was predicted correctly, bool [N]."""
        return np.equal(self.true, self.predicted)

    @property
    def shown(self) -> NDArray[np.float64]:
        """The confidence that `tenfold predict` gives, float64 [N]: calibrated where the run has a temperature."""
        return self.confidence if self.calibrated is None else self.calibrated

    @property
    def num_correct(self) -> int:
        """Number of images predicted correctly."""
        return int(self.is_correct.sum())

    @property
    def accuracy(self) -> float:
        """Fraction of images predicted correctly."""
        return self.num_correct / len(self)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson(self.num_correct, len(self))

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Confusion matrix, int64 [C, C], true × predicted."""
        predicted, true = torch.from_numpy(self.predicted), torch.from_numpy(self.true)
        return confusion_matrix(predicted, true, len(self.classes)).numpy()

    @cached_property
    def per_class(self) -> tuple[ClassResult, ...]:
        """Precision, recall and F1 of each class."""
        return per_class_results(torch.from_numpy(self.confusion), self.classes)

    def figures(self, summary: Mapping[str, Any]) -> dict[str, Estimate]:
        """Returns further figures by their name on the page. Two need more than the predicted class: the summary's."""
        recorded = summary.get("evaluation", {})
        found = {
            **{name: Estimate(recorded[name], bounds) for name, bounds in recorded.get("intervals", {}).items()},
            "balanced_accuracy": balanced_accuracy(self.confusion),
            "macro_f1": macro_f1(self.confusion),
        }
        return {text: found[name] for name, text in NAMES.items() if name in found}

    def are_uneven(self, summary: Mapping[str, Any]) -> bool:
        """Returns whether the classes of the test images or of the training images are uneven; see `is_uneven`."""
        trained = summary.get("dataset", {}).get("train_counts", {})
        return is_uneven(self.confusion.sum(1).tolist()) or is_uneven(trained.values())


def load_predictions(folder: RunFolder) -> Predictions:
    """Reads `predictions.csv` of a finished run; only the order of the classes comes from `summary.json`.

    Raises:
        RunError: when the run is not finished, or a file is missing, damaged or empty.
    """
    classes = [result["name"] for result in folder.read_summary().get("evaluation", {}).get("per_class", [])]
    rows = folder.read_predictions()
    if not rows:
        raise RunError(
            f"{display_path(folder.predictions)} has no rows, expected one per test image; restore it from a copy"
        )
    return predictions_of(rows, classes)


def predictions_of(rows: Sequence[PredictionRow], classes: Sequence[str] = ()) -> Predictions:
    """Returns rows of `predictions.csv`, at least one, as arrays; classes not in `classes` come last, by name.

    Example:
        >>> rows = [PredictionRow("0", "cat", "dog", 0.75), PredictionRow("1", "cat", "cat", 0.5)]
        >>> predictions_of(rows, ["dog"]).confusion
        array([[0, 0],
               [1, 1]])
    """
    found = {name for row in rows for name in (row.true, row.predicted)}
    names = (*classes, *sorted(found.difference(classes)))
    label = {name: i for i, name in enumerate(names)}
    return Predictions(
        classes=names,
        names=tuple(row.path for row in rows),
        true=np.array([label[row.true] for row in rows], np.int64),
        predicted=np.array([label[row.predicted] for row in rows], np.int64),
        confidence=np.array([row.probability for row in rows], np.float64),
        calibrated=None if rows[0].calibrated is None else np.array([row.calibrated for row in rows], np.float64),
    )


def mismatch(split: Split, classes: Sequence[str], predictions: Predictions) -> str | None:
    """Returns why a test split does not hold the images of the predictions, or None where it does.

    Args:
        split: the test split as it is now.
        classes: class names of the dataset.
        predictions: predictions of a run.
    """
    if len(split) != len(predictions):
        return f"the dataset now has {plural(len(split), 'test image')}, but the run predicted {len(predictions):,}"
    now = [classes[label] for label in split.labels.tolist()]
    then = [predictions.classes[label] for label in predictions.true.tolist()]
    moved = split.paths is not None and list(predictions.names) != list(map(str, split.paths))
    if now != then or moved:
        return "the dataset now has other test images, or the same ones in another order"
    return None
