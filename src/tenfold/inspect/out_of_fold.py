"""Out-of-fold predictions: each fold of the training images is predicted by a classifier trained on the others.

N images, C classes.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.errors import DataError, Stopped, TrainingError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.randomness import derive_seed
from tenfold.core.text import percent, plural
from tenfold.data.splits import stratified_folds
from tenfold.data.types import Dataset
from tenfold.engine.eager import LossNotFiniteError
from tenfold.engine.loop import train
from tenfold.engine.precision import choose_hardware
from tenfold.engine.run import make_classifier
from tenfold.engine.setup import Setup
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder

_OVERRIDES: dict[str, object] = {
    "train.early_stop": 0,
    "train.target": 0.0,
    "evaluate.unsure_below": 1.0,  # TTA for every image: a confident prediction may reveal a wrong label
    "optim.label_smoothing": 0.0,  # it would raise the small probabilities that reveal wrong labels
}
"""Changes to the recipe: there is no validation split, and the probabilities matter more than the accuracy."""


def out_of_fold_logits(
    recipe: Recipe, dataset: Dataset, folds: int, seed: int, progress: Progress
) -> NDArray[np.float32]:
    """Returns logits for every training image from a classifier that was not trained on it.

    The folds are trained one after another in a temporary folder, which is always removed. The same seed gives the
    same bits, as for runs.

    Args:
        recipe: complete; early stopping, a target and label smoothing are switched off.
        dataset: N images in `train`; the other splits are not used.
        folds: number of folds, in [2, N].
        seed: of the folds and of everything random in training.
        progress: receives messages and the progress of training.

    Returns:
        Logits, float32 [N, C].

    Raises:
        DataError: when there are fewer images than folds.
        Stopped: when a signal asked for it; nothing is kept.
        TenfoldError: see `engine.loop.train`.
    """
    labels = dataset.train.labels
    check_folds(folds, len(labels))
    fold_of = stratified_folds(labels, folds, seed)
    logits = np.empty((len(labels), len(dataset.classes)), np.float32)
    for fold in range(folds):
        held_out = np.flatnonzero(fold_of == fold)
        part = replace(
            dataset,
            train=dataset.train.subset(np.flatnonzero(fold_of != fold)),
            test=dataset.train.subset(held_out),
            val=None,
            fingerprint=f"{dataset.fingerprint} without fold {fold} of {folds}, {seed}",
        )
        fold_recipe = resolve(recipe, {**_OVERRIDES, "train.seed": derive_seed(seed, "fold", fold)})
        logits[held_out] = _train_and_predict(fold_recipe, part, _FoldProgress(progress, fold, folds))
        report_fold(progress, fold, folds, logits, labels, held_out)
    return logits


def check_folds(folds: int, num_images: int) -> None:
    """Raises DataError where images cannot be split into so many folds."""
    if not 2 <= folds <= num_images:
        raise DataError(f"{num_images} images cannot be split into {folds} folds; expected 2 to {num_images} folds")


def report_fold(
    progress: Progress,
    fold: int,
    folds: int,
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    held_out: NDArray[np.int64],
) -> None:
    """Reports how many images of a fold are predicted as labeled.

    Args:
        progress: receives the message.
        fold: index of the fold.
        folds: number of folds.
        logits: float32 [N, C], of all images.
        labels: int64 [N], of all images.
        held_out: int64, indices of the images of the fold.
    """
    accuracy = float((logits[held_out].argmax(1) == labels[held_out]).mean())
    progress.message(
        f"fold {fold + 1} of {folds}: {percent(accuracy)} of {plural(len(held_out), 'image')} predicted as labeled"
    )


def scale_duration(recipe: Recipe, factor: float) -> Recipe:
    """Returns the recipe with `train.duration` and `train.min_steps` multiplied by `factor`.

    Example:
        >>> recipe = scale_duration(Recipe(), 6)
        >>> recipe.train.duration.amount / Recipe().train.duration.amount
        6.0
    """
    duration, min_steps = recipe.train.duration, recipe.train.min_steps
    amount = duration.amount * factor
    scaled = replace(duration, amount=ceil(amount) if duration.unit == "steps" else amount)
    return resolve(recipe, {"train.duration": scaled, "train.min_steps": ceil(min_steps * factor)})


def _train_and_predict(recipe: Recipe, dataset: Dataset, progress: Progress) -> NDArray[np.float32]:
    """Returns logits for `dataset.test` from a classifier trained on `dataset.train`, float32 [test images, C]."""
    hardware = choose_hardware(recipe.train)
    gpus = [hardware.device] if hardware.device.type == "cuda" else []
    temporary = tempfile.TemporaryDirectory(prefix="tenfold-fold-")
    with temporary as path, hardware.active(), torch.random.fork_rng(devices=gpus):
        folder = RunFolder(Path(path))
        classifier = make_classifier(recipe, dataset, None)
        setup = Setup(recipe, dataset, classifier, hardware, folder, progress, Log(folder.log))
        try:
            train(setup)
        except Stopped as error:
            raise type(error)("stopped: the folds are discarded, and nothing was written") from None
        except TrainingError as error:
            if not isinstance(error.__cause__, LossNotFiniteError):
                raise
            raise TrainingError(  # the folder that the message would resume is temporary
                f"the loss of a fold is not finite, expected a number; give a lower learning rate than "
                f"{recipe.optim.lr:g}: --set optim.lr={recipe.optim.lower_lr:.2g}"
            ) from error
        return classifier.logits(dataset.test.images).numpy()


class _FoldProgress(SilentProgress):
    """Reports the steps of one fold as preparation, and hides the start and end of its run.

    Args:
        outer: receives the progress.
        fold: index of the fold.
        folds: number of folds.
    """

    def __init__(self, outer: Progress, fold: int, folds: int) -> None:
        self._outer, self._fold, self._folds = outer, fold, folds
        self.message, self.warn = outer.message, outer.warn  # type: ignore[method-assign]

    def log(self, row: Mapping[str, float | int | None]) -> None:
        done, steps = int(row["step"] or 0), int(row["steps"] or 0)
        self._outer.prepare(f"Training fold {self._fold + 1} of {self._folds}, step", done, steps)
