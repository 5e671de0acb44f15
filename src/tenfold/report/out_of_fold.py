"""The predictions of a cross-validation: each image by the network that was not trained on it.

N images, K folds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.disk import display_path
from tenfold.core.errors import RunError
from tenfold.data.splits import group_numbers
from tenfold.evaluate.cross_validation import out_of_fold_interval
from tenfold.evaluate.metrics import ClassResult, mean_of_classes
from tenfold.report.page.predictions import Predictions, predictions_of
from tenfold.runs.sweep_folder import SweepFolder
from tenfold.runs.tables import read_out_of_fold


@dataclass(frozen=True, eq=False)  # == of arrays gives no single truth value
class OutOfFold:
    """`oof_predictions.csv` as arrays.

    Args:
        predictions: of all N images, fold by fold.
        folds: K.
        groups: int64 [N], number of each image's group; None for independent images.
    """

    predictions: Predictions
    folds: int
    groups: NDArray[np.int64] | None

    @property
    def accuracy(self) -> float:
        """Fraction of all images that were predicted correctly."""
        return self.predictions.accuracy

    @cached_property
    def means(self) -> dict[str, float]:
        """Balanced accuracy and macro-F1, by their keys."""
        found = mean_of_classes(torch.from_numpy(self.predictions.confusion))
        return {name: estimate.value for name, estimate in found.items()}

    @cached_property
    def per_class(self) -> tuple[ClassResult, ...]:
        """Precision, recall and F1 of each class, with an interval like that of the accuracy."""
        return tuple(
            replace(result, interval=self._interval(self.predictions.true == label)) if result.support else result
            for label, result in enumerate(self.predictions.per_class)
        )

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy of the recipe on new images, see `out_of_fold_interval`."""
        return self._interval(np.ones(len(self.predictions), np.bool_))

    def _interval(self, chosen: NDArray[np.bool_]) -> tuple[float, float]:
        groups = None if self.groups is None else self.groups[chosen]
        return out_of_fold_interval(self.predictions.is_correct[chosen], self.folds, groups)


def load_out_of_fold(folder: SweepFolder, runs: Mapping[str, Predictions]) -> OutOfFold:
    """Reads the predictions of a cross-validation.

    Args:
        folder: of the cross-validation.
        runs: predictions of its trials, for the order of the classes.

    Raises:
        RunError: when the file is damaged or empty.
    """
    rows = read_out_of_fold(folder.out_of_fold)
    if not rows:
        raise RunError(
            f"{display_path(folder.out_of_fold)} has no rows, expected one per image; restore it from a copy"
        )
    classes = next(iter(runs.values())).classes if runs else ()
    groups = [row.group for row in rows]
    predictions = predictions_of([row.prediction for row in rows], classes)
    return OutOfFold(predictions, max(row.fold for row in rows), group_numbers(groups) if any(groups) else None)
