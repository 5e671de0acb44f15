"""What a run is built from, before its first step."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tenfold.core.progress import Progress
from tenfold.core.randomness import derive_seed
from tenfold.data.augment import Augmentation
from tenfold.data.loader import Loader
from tenfold.data.sampling import Order
from tenfold.data.share import WHOLE, Share
from tenfold.data.types import Dataset
from tenfold.engine.distributed import ALONE, Processes
from tenfold.engine.plan import effective_batch_size
from tenfold.engine.precision import Hardware
from tenfold.recipes.schema import Recipe
from tenfold.runs.artifact import CUSTOM_ARCHITECTURE, Classifier
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Setup:
    """What a run is built from.

    Args:
        recipe: complete.
        dataset: `train` is trained on, `val` evaluated now and then; training does not touch `test`.
        classifier: the network with its preprocessing and class names.
        hardware: as the recipe asks for it, and once the step is prepared, as used.
        folder: receives checkpoints, metrics and the log.
        progress: is notified of what happens.
        log: the run's `log.jsonl`.
        is_custom: whether the network is the user's own.
        processes: that train the network; rank 0 alone writes.
    """

    recipe: Recipe
    dataset: Dataset
    classifier: Classifier
    hardware: Hardware
    folder: RunFolder
    progress: Progress
    log: Log
    is_custom: bool = False
    processes: Processes = ALONE

    @property
    def share(self) -> Share:
        """Which rows of a batch this process trains."""
        return share_of(self.recipe, self.processes)

    def gather_batch(self, rows: Tensor, total: int) -> Tensor:
        """Returns the rows of all processes, [B, …], for those of this one's share of a batch of `total` images."""
        by_micro_batch = self.share.counts(total)
        return self.processes.gather_rows(rows, [sum(counts) for counts in zip(*by_micro_batch, strict=True)])

    def save_model(self, path: Path, metrics: Mapping[str, Any], temperature: float | None = None) -> None:
        """Writes the model's current weights to a model file.

        Args:
            path: the file, ending in `.safetensors`.
            metrics: results of the model, as plain numbers.
            temperature: fitted to these weights, if there is one.

        Raises:
            StorageError: when writing fails. The old file stays.
        """
        replace(self.classifier, temperature=temperature).save(
            path,
            architecture=CUSTOM_ARCHITECTURE if self.is_custom else self.recipe.model.name,
            arguments={} if self.is_custom else self.recipe.model.arguments,
            metrics=metrics,
        )


def share_of(recipe: Recipe, processes: Processes) -> Share:
    """Returns which rows of a batch this process trains."""
    return Share(processes.world.rank, processes.world.size, recipe.train.micro_batch)


def training_loader(recipe: Recipe, dataset: Dataset, hardware: Hardware, share: Share = WHOLE) -> Loader:
    """Returns the loader of the training split: the recipe's batches, order and augmentation.

    Args:
        recipe: complete.
        dataset: see `Dataset`.
        hardware: its device receives the batches.
        share: which rows of each batch are loaded.

    Raises:
        RecipeError: when the augmentation does not fit the images.
    """
    augmentation = Augmentation(**recipe.data.augment.model_dump(), image_size=dataset.image_size)
    augmentation.check(dataset.image_size)
    order = training_order(recipe, dataset)
    data, images = recipe.data, memory_format(recipe)
    return Loader(dataset.train, order, augmentation, hardware.device, images, data.pruning, data.balance, share)


def training_order(recipe: Recipe, dataset: Dataset) -> Order:
    """Returns which training images are in which batch."""
    train, labels = recipe.train, dataset.train.labels
    sorted_by_class = bool((labels[1:] >= labels[:-1]).all())
    batch_size = effective_batch_size(train.batch_size, len(labels))
    once, window = sorted_by_class, recipe.data.window
    return Order(len(labels), batch_size, train.seed, train.shuffle, train.drop_last, shuffle_once=once, window=window)


def in_training_mode(model: nn.Module, recipe: Recipe, device: torch.device) -> nn.Module:
    """Returns `model` on its device as `recipe` trains it: memory format and mode of each layer."""
    model = model.to(device, memory_format=memory_format(recipe)).train()  # type: ignore[call-overload]
    if recipe.train.frozen_batch_norm:
        for layer in batch_norms(model):
            layer.training = False  # not eval(), which some of timm pass on to a dropout inside
    return model


def seed_layers(seed: int, processes: Processes) -> None:
    """Seeds the generators that layers such as dropout draw from: each process drops others of its rows."""
    rank = processes.world.rank
    torch.manual_seed(derive_seed(seed, "layers", *([rank] if rank else [])))


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Returns the batch norms of a network."""
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]


def frozen_batch_norm_note(setup: Setup) -> str | None:
    """Returns what a user may not expect of `train.frozen_batch_norm` with this network, or None."""
    if not setup.recipe.train.frozen_batch_norm:
        return None
    norms, name = batch_norms(setup.classifier.model), type(setup.classifier.model).__name__
    if not norms:
        return f"train.frozen_batch_norm has no effect: {name} has no batch norm"
    if not any(norm.running_mean is not None and norm.running_mean.any() for norm in norms):
        return (
            f"train.frozen_batch_norm keeps the statistics that {name} has before any training, mean 0 and variance 1; "
            "it is meant for pretrained weights (model.pretrained, model.weights or --from)"
        )
    return None


def memory_format(recipe: Recipe) -> torch.memory_format:
    """Returns the memory format of a recipe's network and images."""
    return torch.channels_last if recipe.train.channels_last else torch.contiguous_format
