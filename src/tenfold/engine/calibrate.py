"""The temperature of a run, which calibrates the probabilities of its model.

It is fitted to the validation images. A run without them uses training images under conditions that were measured to
work, see docs/experiments.md: the probabilities of a short training are far too small, and images that were seen once
or twice are not yet predicted much better than new ones. Networks that may be pretrained were not measured.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tenfold.core.randomness import generator_for
from tenfold.data.types import Dataset, Split
from tenfold.engine.head import FittedHead
from tenfold.engine.setup import Setup, training_order
from tenfold.evaluate.calibration import PRIOR_STD, fit_temperature
from tenfold.models.timm_bridge import PREFIX as TIMM_PREFIX
from tenfold.recipes.schema import Recipe

_MAX_TIMES_SEEN = 2
"""How often an image may have been trained on: with four times, the calibration error is a third larger."""

_MIN_TRAIN = 5000
"""Smallest training split that was measured to work, in round numbers: few images are soon remembered."""

_MAX_FITTED = 2000
"""Number of training images that suffice: 500 already come within 0.2 % of the lowest loss."""


def fit_calibration(
    setup: Setup, steps: int, val_logits: Tensor | None, head: FittedHead | None = None
) -> dict[str, Any] | None:
    """Fits the temperature of the evaluated model.

    Args:
        setup: of the run; its model is the one that was evaluated on the test split.
        steps: number of steps taken.
        val_logits: float [V, C], of the validation images; None without a validation split.
        head: the head that was fitted, whose cross-validation has predicted training images out of fold.

    Returns:
        The `calibration` of `summary.json`: `temperature`, the number of images it was fitted to (`pictures`), their
        split (`source`; `out of fold` for training images that a cross-validation of the head held out), and for
        training images how often they were seen at most (`views`). None without validation images, unless training
        images can serve.
    """
    classifier, recipe, dataset = setup.classifier, setup.recipe, setup.dataset
    if dataset.val is not None and val_logits is not None:
        return {"temperature": _fit(val_logits, dataset.val), "pictures": len(dataset.val), "source": "val"}
    if head is not None and (held_out := head.cross_fit) is not None:
        return {"temperature": held_out.temperature, "pictures": len(held_out.labels), "source": "out of fold"}
    count = 0 if setup.is_custom else num_training_images(recipe, dataset)
    times_seen = _times_seen(recipe, dataset, steps) if count else None
    if times_seen is None:
        return None
    shuffled = torch.randperm(len(times_seen), generator=generator_for(recipe.train.seed, "calibration")).numpy()
    least_seen = shuffled[np.argsort(times_seen[shuffled], kind="stable")]
    chosen = np.sort(least_seen[:count])
    fitted = dataset.train.subset(chosen)
    temperature = _fit(classifier.logits(fitted.images), fitted)
    return {
        "temperature": temperature,
        "pictures": len(chosen),
        "source": "train",
        "views": int(times_seen[chosen].max()),
    }


def num_training_images(recipe: Recipe, dataset: Dataset) -> int:
    """Returns how many training images a short run of `recipe` fits a temperature to; 0 if they cannot serve.

    They are at most as many as the test images, so that they take no longer to evaluate.
    """
    may_be_pretrained = recipe.model.starts_from_weights or recipe.model.name.startswith(TIMM_PREFIX)
    repeats_images = recipe.data.pruning > 0 or recipe.data.balance > 0  # some several times in one epoch
    if dataset.val is not None or may_be_pretrained or repeats_images or len(dataset.train) < _MIN_TRAIN:
        return 0
    return min(_MAX_FITTED, len(dataset.test))


def _times_seen(recipe: Recipe, dataset: Dataset, steps: int) -> NDArray[np.int64] | None:
    """Returns how often each training image was seen, int64 [N]; None if some were seen too often."""
    order = training_order(recipe, dataset)
    epochs, rest = divmod(steps, order.num_batches)
    if epochs + bool(rest) > _MAX_TIMES_SEEN:
        return None
    counts = np.zeros(len(dataset.train), np.int64)
    for epoch in range(epochs + 1):
        shown = order.num_batches if epoch < epochs else rest
        counts[order.indices(epoch)[: shown * order.batch_size].numpy()] += 1
    return counts


def _fit(logits: Tensor, split: Split) -> float:
    return fit_temperature(logits, torch.from_numpy(split.labels), prior_std=PRIOR_STD)
