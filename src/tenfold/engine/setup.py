"""What a run is made of, before its first step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tenfold.core.progress import Progress
from tenfold.data.augment import Augmentation
from tenfold.data.loader import Loader, Order
from tenfold.data.types import Dataset
from tenfold.engine.plan import batch_size_for
from tenfold.engine.precision import Hardware
from tenfold.engine.state import Best
from tenfold.recipes.schema import Recipe
from tenfold.runs.artifact import Classifier
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Setup:
    """What a run is made of.

    Args:
        recipe: complete.
        dataset: its `train` is learnt from, its `val` judged now and then; training does not touch its `test`.
        classifier: any network from normalised pictures to logits, with its preprocessing.
        hardware: see `Hardware`.
        folder: receives checkpoints, metrics and the log.
        progress: is told what happens.
        log: the run's `log.jsonl`.
        save_best: called with the epoch and accuracy whenever the validation accuracy is the best so far.
    """

    recipe: Recipe
    dataset: Dataset
    classifier: Classifier
    hardware: Hardware
    folder: RunFolder
    progress: Progress
    log: Log
    save_best: Callable[[Best], None]


def training_loader(recipe: Recipe, dataset: Dataset, hardware: Hardware) -> Loader:
    """Returns the training pictures in the recipe's batches, augmented as it says.

    Raises:
        RecipeError: when the augmentation does not fit the pictures.
    """
    train, labels = recipe.train, dataset.train.labels
    augmentation = Augmentation(**recipe.data.augment.model_dump())
    augmentation.check(dataset.image_size)
    by_class = bool((labels[1:] >= labels[:-1]).all())
    size = batch_size_for(train.batch_size, len(labels))
    order = Order(len(labels), size, train.seed, train.shuffle, train.drop_last, mixed=by_class)
    return Loader(dataset.train, order, augmentation, hardware.device, memory_format(recipe), recipe.data.pruning)


def memory_format(recipe: Recipe) -> torch.memory_format:
    """Returns how a recipe's network and pictures lie in memory."""
    return torch.channels_last if recipe.train.channels_last else torch.contiguous_format
