"""What the network said about each test picture: the one source of every figure of a run's page.

N pictures, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.disk import shown
from tenfold.core.errors import RunError
from tenfold.data.types import Split
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.metrics import ClassResult, confusion_matrix, per_class_results
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import Prediction


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class Judgement:
    """`predictions.csv` as arrays.

    Args:
        classes: C names, in the order of the labels.
        pictures: N paths or places in the test split.
        true: int64 [N], each in [0, C).
        predicted: int64 [N], each in [0, C).
        probability: float64 [N], of the predicted class.
        calibrated: float64 [N], the same after temperature scaling; None without a validation split.
    """

    classes: tuple[str, ...]
    pictures: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float64]
    calibrated: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.true)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Which pictures were recognised, bool [N]."""
        return np.equal(self.true, self.predicted)

    @property
    def correct(self) -> int:
        """How many pictures were recognised."""
        return int(self.right.sum())

    @property
    def accuracy(self) -> float:
        """The share of pictures that were recognised."""
        return self.correct / len(self)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return wilson(self.correct, len(self))

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """How often each true class was taken for each class, int64 [C, C]."""
        predicted, true = torch.from_numpy(self.predicted), torch.from_numpy(self.true)
        return confusion_matrix(predicted, true, len(self.classes)).numpy()

    @cached_property
    def per_class(self) -> tuple[ClassResult, ...]:
        """Precision, recall and F1 of each class."""
        return per_class_results(torch.from_numpy(self.confusion), self.classes)


def read_judgement(folder: RunFolder) -> Judgement:
    """Reads `predictions.csv` of a finished run; only the order of the classes comes from `summary.json`.

    Raises:
        RunError: when the run is not finished, or a file is missing, damaged or without a picture.
    """
    named = [result["name"] for result in folder.read_summary().get("evaluation", {}).get("per_class", [])]
    rows = folder.read_predictions()
    if not rows:
        raise RunError(f"{shown(folder.predictions)} holds no picture, expected one at least; restore it from a copy")
    return judgement_of(rows, named)


def judgement_of(rows: Sequence[Prediction], classes: Sequence[str] = ()) -> Judgement:
    """Returns rows of `predictions.csv`, at least one, as arrays; classes that nobody named come last, by name.

    Example:
        >>> judgement_of([Prediction("0", "cat", "dog", 0.75), Prediction("1", "cat", "cat", 0.5)], ["dog"]).confusion
        array([[0, 0],
               [1, 1]])
    """
    seen = {name for row in rows for name in (row.true, row.predicted)}
    names = (*classes, *sorted(seen.difference(classes)))
    place = {name: i for i, name in enumerate(names)}
    return Judgement(
        classes=names,
        pictures=tuple(row.picture for row in rows),
        true=np.array([place[row.true] for row in rows], np.int64),
        predicted=np.array([place[row.predicted] for row in rows], np.int64),
        probability=np.array([row.probability for row in rows], np.float64),
        calibrated=None if rows[0].calibrated is None else np.array([row.calibrated for row in rows], np.float64),
    )


def why_not_these(pictures: Split, classes: Sequence[str], judgement: Judgement) -> str | None:
    """Returns why these are not the pictures that were judged, or None where they are.

    Args:
        pictures: a test split.
        classes: names of its labels.
        judgement: of a run.
    """
    if len(pictures) != len(judgement):
        return f"the data holds {len(pictures):,} test pictures now, and {len(judgement):,} were judged"
    now = [classes[label] for label in pictures.labels.tolist()]
    then = [judgement.classes[label] for label in judgement.true.tolist()]
    moved = pictures.paths is not None and list(judgement.pictures) != list(map(str, pictures.paths))
    if now != then or moved:
        return "the data holds other test pictures now, or the same ones in another order"
    return None
