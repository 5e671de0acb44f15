"""What classifiers say of pictures that they have not learnt from: each fold is judged by one trained on the others.

Shapes: N pictures, C classes.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.errors import DataError, Stopped
from tenfold.core.progress import Progress, Silent
from tenfold.core.randomness import derive_seed, generator_for
from tenfold.data.types import Dataset
from tenfold.engine.loop import train
from tenfold.engine.precision import choose_hardware
from tenfold.engine.run import make_classifier
from tenfold.engine.setup import Setup
from tenfold.engine.state import Best
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder

_TO_JUDGE: dict[str, object] = {
    "train.early_stop": 0,
    "train.target": 0.0,
    "evaluate.unsure_below": 1.0,  # a sure answer may be the one that betrays a wrong label
    "optim.label_smoothing": 0.0,  # it keeps small probabilities, by which suspicion goes, from getting smaller
}


def out_of_fold_logits(
    recipe: Recipe, dataset: Dataset, folds: int, seed: int, progress: Progress
) -> NDArray[np.float32]:
    """Returns logits for every training picture, by a classifier that has not learnt from it.

    The folds are trained one after another in a temporary folder, which is gone in the end, however that comes. The
    same seed gives the same bits, as it does for runs.

    Args:
        recipe: complete; early stopping and a target are left out, for there is nothing to validate by, and so is the
            smoothing of labels.
        dataset: N pictures in its `train`; the other splits are not touched.
        folds: 2 or more, at most N.
        seed: of the folds, and of all that is random in training.
        progress: is told what happens.

    Returns:
        Logits, float32 [N, C].

    Raises:
        DataError: when there are fewer pictures than folds.
        Stopped: when a signal asked for it; nothing is kept.
        TenfoldError: see `engine.loop.train`.
    """
    labels = dataset.train.labels
    if not 2 <= folds <= len(labels):
        raise DataError(f"{len(labels)} pictures cannot be dealt to {folds} folds; expected 2 to {len(labels)} folds")
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
        seeded = resolve(recipe, {**_TO_JUDGE, "train.seed": derive_seed(seed, "fold", fold)})
        logits[held_out] = judged = _trained_and_judged(seeded, part, _FoldProgress(progress, fold, folds))
        agreed = float((judged.argmax(1) == part.test.labels).mean())
        progress.message(f"fold {fold + 1} of {folds}: {agreed * 100:.1f} % of {len(held_out):,} pictures as labelled")
    return logits


def lengthened(recipe: Recipe, times: float) -> Recipe:
    """Returns the recipe with a training so many times as long, its fewest steps included.

    Example:
        >>> recipe = lengthened(Recipe(), 6)
        >>> recipe.train.duration.amount / Recipe().train.duration.amount
        6.0
    """
    duration, steps = recipe.train.duration, recipe.train.min_steps
    amount = duration.amount * times
    longer = replace(duration, amount=ceil(amount) if duration.unit == "steps" else amount)
    return resolve(recipe, {"train.duration": longer, "train.min_steps": ceil(steps * times)})


def stratified_folds(labels: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Deals pictures to folds like cards, class by class in a drawn order.

    Args:
        labels: int64 [N], at least 0.
        folds: at least 1.
        seed: at least 0.

    Returns:
        Each picture's fold, int64 [N] in [0, folds); folds differ by at most one picture, in all and in each class.

    Example:
        >>> np.bincount(stratified_folds(np.array([0, 0, 0, 0, 1, 1]), 2, seed=0)).tolist()
        [3, 3]
    """
    dealt: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = torch.randperm(len(members), generator=generator_for(seed, "folds", int(label)))
        dealt.append(members[order.numpy()])
    fold_of = np.empty(len(labels), np.int64)
    fold_of[np.concatenate(dealt)] = np.arange(len(labels)) % folds
    return fold_of


def _trained_and_judged(recipe: Recipe, dataset: Dataset, progress: Progress) -> NDArray[np.float32]:
    """Returns logits for `dataset.test` by a classifier trained on `dataset.train`, float32 [pictures, C]."""
    hardware = choose_hardware(recipe.train)
    gpus = [hardware.device] if hardware.device.type == "cuda" else []
    temporary = tempfile.TemporaryDirectory(prefix="tenfold-fold-")
    with temporary as path, hardware.active(), torch.random.fork_rng(devices=gpus):
        folder = RunFolder(Path(path))
        classifier = make_classifier(recipe, dataset, None)
        setup = Setup(recipe, dataset, classifier, hardware, folder, progress, Log(folder.log), _keep_nothing)
        try:
            train(setup)
        except Stopped as error:
            raise type(error)("stopped: the folds are gone, and nothing was written") from None
        return classifier.logits(dataset.test).numpy()


def _keep_nothing(best: Best) -> None:
    """Stands for saving the best model: there is no validation split by which one could be the best."""


class _FoldProgress(Silent):
    """Tells how far the training of all folds is: their run folders are of no interest to anyone.

    Args:
        outer: is told.
        fold: which one is trained, from 0.
        folds: how many there are.
    """

    def __init__(self, outer: Progress, fold: int, folds: int) -> None:
        self._outer, self._fold, self._folds = outer, fold, folds
        self.message, self.warn = outer.message, outer.warn  # type: ignore[method-assign]

    def log(self, row: Mapping[str, float | int | None]) -> None:
        done, steps = int(row["step"] or 0), int(row["steps"] or 0)
        self._outer.prepare(f"Training fold {self._fold + 1} of {self._folds}, step", done, steps)
