"""A finished run, or a cross-validation, as far as a comparison needs it. N test images."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.evaluate.metrics import Evaluation, mean_of_classes, per_class_results
from tenfold.recipes.schema import Recipe


@dataclass(frozen=True, eq=False)  # no equality: a comparison looks at single fields
class ComparedRun:
    """A finished run, as far as a comparison needs it.

    Args:
        name: short, and different from the names of the other runs.
        path: of the run folder.
        recipe: complete.
        settings: its keys that can change the result, with dotted names; see `_settings`.
        evaluation: of its best model on the test split.
        dataset: name of its dataset.
        fingerprint: of its dataset.
        grouped_by: what its groups are, as in the recipe's `data.group`, and whether train and test share some; empty
            for none.
        test_digest: of the images and labels of its test split; empty for runs before version 0.2.
        val_accuracy: the best one, or None without a validation split.
        parameters: number of parameters of its network.
        steps: number of training steps.
        training_seconds: time of the training steps.
        total_seconds: time from start to end.
        metrics: rows of `metrics.csv`.
        image_names: N paths or indices, in the order of the test split.
        true: N class names.
        predicted: N class names.
        folds: number of folds of a cross-validation, whose images are all out of fold; 0 for a run.
    """

    name: str
    path: Path
    recipe: Recipe
    settings: Mapping[str, object]
    evaluation: Evaluation
    dataset: str
    fingerprint: str
    grouped_by: str
    test_digest: str
    val_accuracy: float | None
    parameters: int
    steps: int
    training_seconds: float
    total_seconds: float
    metrics: Sequence[Mapping[str, float | int | None]]
    image_names: tuple[str, ...]
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    folds: int = 0

    @property
    def accuracy(self) -> float:
        """Accuracy on the test split, in [0, 1]."""
        return self.evaluation.accuracy

    @property
    def seed(self) -> int:
        """Seed of weights, order and augmentation."""
        return self.recipe.train.seed

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each test image was predicted correctly, bool [N]."""
        return np.array([true == predicted for true, predicted in zip(self.true, self.predicted, strict=True)], bool)


def pooled(folds: Sequence[ComparedRun], name: str, path: Path, interval: tuple[float, float]) -> ComparedRun:
    """Returns the folds of a cross-validation as one run.

    Args:
        folds: its K runs, in order.
        name: of the cross-validation.
        path: of its folder.
        interval: of its accuracy.
    """
    first, total = folds[0], sum(fold.evaluation.total for fold in folds)
    correct = sum(fold.evaluation.correct for fold in folds)
    confusion = torch.stack([fold.evaluation.confusion for fold in folds]).sum(0)
    classes = [result.name for result in first.evaluation.per_class]
    evaluation = Evaluation(
        accuracy=correct / total,
        interval=interval,
        correct=correct,
        total=total,
        top5=None,
        loss=sum(fold.evaluation.loss * fold.evaluation.total for fold in folds) / total,
        confusion=confusion,
        per_class=per_class_results(confusion, classes),
        estimates=mean_of_classes(confusion),
    )
    return replace(
        first,
        name=name,
        path=path,
        settings={key: value for key, value in first.settings.items() if key != "data.fold"},
        evaluation=evaluation,
        fingerprint=hashlib.sha256(" ".join(fold.fingerprint for fold in folds).encode()).hexdigest(),
        test_digest="",
        val_accuracy=None,
        training_seconds=sum(fold.training_seconds for fold in folds),
        total_seconds=sum(fold.total_seconds for fold in folds),
        image_names=tuple(chain.from_iterable(fold.image_names for fold in folds)),
        true=tuple(chain.from_iterable(fold.true for fold in folds)),
        predicted=tuple(chain.from_iterable(fold.predicted for fold in folds)),
        folds=len(folds),
    )
