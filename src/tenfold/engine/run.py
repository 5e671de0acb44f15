"""A whole run: from a recipe and a dataset to a finished run folder."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tenfold.core.errors import ModelError
from tenfold.core.progress import Progress
from tenfold.core.randomness import derive_seed
from tenfold.data.decode.preprocessing import Channels, Preprocessing, channel_statistics
from tenfold.data.loader import image_batches
from tenfold.data.types import Dataset, Leak
from tenfold.engine.changes import recipe_changes
from tenfold.engine.conclude import conclude, conclude_untested
from tenfold.engine.dealt import DealtClassifier
from tenfold.engine.distributed import ALONE, Processes
from tenfold.engine.frozen import train_head
from tenfold.engine.loop import train
from tenfold.engine.precision import Hardware, own_hardware
from tenfold.engine.setup import Setup
from tenfold.evaluate.logits import evaluation_mode
from tenfold.models.build import build_model
from tenfold.models.weights import load_weights
from tenfold.recipes.schema import Recipe
from tenfold.runs.artifact import Classifier
from tenfold.runs.checkpoint import Checkpoint
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.starting_weights import needed_record, starting_weights

_HALF = (0.5, 0.5, 0.5)
_FIT_PIXELS = 1000 * 32 * 32
"""Number of training pixels that suffice for what a network derives from its data, such as whitening filters."""


def run(
    recipe: Recipe,
    dataset: Dataset,
    folder: RunFolder,
    progress: Progress,
    *,
    model: nn.Module | None = None,
    checkpoint: Checkpoint | None = None,
    near_duplicates: Leak | None = None,
    metrics: Mapping[str, Any] | None = None,
    started: float | None = None,
    processes: Processes = ALONE,
) -> dict[str, Any]:
    """Trains, evaluates once on the test split, and writes everything to the run folder.

    Args:
        recipe: complete.
        dataset: see `Dataset`.
        folder: exists and holds `recipe.toml`; rank 0 alone touches it.
        progress: is notified of what happens.
        model: the user's own network, which replaces the recipe's.
        checkpoint: to resume from.
        near_duplicates: the test images with a duplicate in train, for `summary.json`; None where nobody looked.
        metrics: what is known of the model already, from a cross-validation: no image is tested then, there is no
            summary, and the model file holds this.
        started: `time.perf_counter()` at the start of the command, from which this session's time counts. This call's
            start by default.
        processes: that train the network together; each calls this function with the same recipe, data and checkpoint.

    Returns:
        The content of `summary.json`, see `conclude`; empty except on rank 0.

    Raises:
        TenfoldError: see `train`; everything saved before stays.
    """
    started = perf_counter() if started is None else started
    hardware = own_hardware(recipe.train, processes)
    if checkpoint is not None:
        # Another number of threads adds up in another order, which rounds differently.
        hardware = replace(hardware, threads=int(checkpoint.state["threads"]))
        if processes.is_main:
            folder.reopen()
    progress.message(f"device: {hardware}")
    for change in recipe_changes(recipe, dataset):
        progress.message(str(change))
    with hardware.active(), _random_state_restored(hardware):
        # The weights of a resumed run are in its checkpoint; the file that it started from may be gone.
        # Rank 0 gives its weights to the others, whose machines may not have the file.
        resumed = checkpoint is not None or not processes.is_main
        classifier = make_classifier(recipe, dataset, model, hardware.device, progress.message, resumed=resumed)
        if processes.is_several:
            classifier = DealtClassifier.of(classifier, processes)
            processes.broadcast_tensors([*classifier.model.parameters(), *classifier.model.buffers()])
        earlier = 0.0 if checkpoint is None else float(checkpoint.state["seconds"])
        log = Log(folder.log if processes.is_main else None, spent=perf_counter() - started, earlier=earlier)
        log.write("resumed" if checkpoint else "started", step=checkpoint.step if checkpoint else 0)
        setup = Setup(recipe, dataset, classifier, hardware, folder, progress, log, model is not None, processes)
        trained = train_head(setup, checkpoint) if recipe.train.layers == "head" else train(setup, checkpoint)
        return conclude(trained, near_duplicates) if metrics is None else conclude_untested(trained, metrics)


def make_classifier(
    recipe: Recipe,
    dataset: Dataset,
    model: nn.Module | None,
    device: torch.device | None = None,
    report: Callable[[str], None] = lambda line: None,
    *,
    resumed: bool = False,
) -> Classifier:
    """Returns the untrained classifier of `recipe`, on the CPU.

    Its weights are a function of the recipe's seed, and of the weights that the recipe names to start from.

    Args:
        recipe: complete.
        dataset: its training split is used.
        model: the user's own network, which replaces the recipe's.
        device: computes what the network derives from the images (default: the CPU).
        report: receives a line about the weights to start from.
        resumed: whether a checkpoint will replace the weights, so that those to start from are not needed.

    Raises:
        RecipeError: when the network's name or arguments are refused.
        ModelError: when no such network can exist for the data, the user's own does not fit the classes, or the weights
            to start from are missing or do not fit.
    """
    preprocessing = make_preprocessing(recipe, dataset)
    if model is None:
        torch.manual_seed(derive_seed(recipe.train.seed, "weights"))
        model = build_model(
            recipe.model.name,
            recipe.model.arguments,
            num_classes=len(dataset.classes),
            image_size=dataset.image_size,
        )
        fit_to = getattr(model, "fit_to", None)
        if callable(fit_to):
            fit_to(_sample(dataset, preprocessing, _FIT_PIXELS // prod(dataset.image_size), device))
        weights = None if resumed else starting_weights(recipe.model, dataset.image_size)
        for line in load_weights(model, weights, dataset.classes) if weights is not None else ():
            report(line)
    else:
        _check_output(model, _sample(dataset, preprocessing, 2), dataset.classes)
    return Classifier(
        model,
        dataset.classes,
        preprocessing,
        **recipe.evaluate.model_dump(),
        recipe=recipe.model_dump(mode="json"),
    )


def _sample(dataset: Dataset, preprocessing: Preprocessing, count: int, device: torch.device | None = None) -> Tensor:
    """Returns normalized training images from all over the split, float [count, 3, H, W]."""
    count = max(1, min(count, len(dataset.train)))
    indices = np.linspace(0, len(dataset.train) - 1, count).astype(np.int64)
    images = next(image_batches(dataset.train.subset(indices).images, count, device or torch.device("cpu")))
    return preprocessing.normalize(images)


def _check_output(model: nn.Module, images: Tensor, classes: tuple[str, ...]) -> None:
    """Raises ModelError when the user's own network does not return one logit per class."""
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    with evaluation_mode(model), torch.inference_mode():
        logits = model(images.to(device))
    if not isinstance(logits, Tensor) or logits.shape != (len(images), len(classes)):
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"{type(model).__name__} returned {found} for {len(images)} images; "
            f"expected [{len(images)}, {len(classes)}], one logit for each of {len(classes)} classes"
        ).everywhere()


def make_preprocessing(recipe: Recipe, dataset: Dataset) -> Preprocessing:
    """Returns the preprocessing of a run, with the mean and std that its recipe asks for.

    Raises:
        RecipeError: when the recipe asks for those of weights that do not say how images were normalized.
        ModelError: when these weights are missing or damaged.
    """
    mean, std = _mean_and_std(recipe, dataset)
    return Preprocessing(dataset.image_size, dataset.fit, mean, std, dataset.typical_size)


def _mean_and_std(recipe: Recipe, dataset: Dataset) -> tuple[Channels, Channels]:
    normalize = recipe.data.normalize
    if isinstance(normalize, dict):
        return normalize["mean"], normalize["std"]
    if normalize == "half":
        return _HALF, _HALF
    if normalize == "data":
        return channel_statistics(dataset.train.images)
    record = needed_record(recipe.model)
    return record.mean, record.std


@contextmanager
def _random_state_restored(hardware: Hardware) -> Iterator[None]:
    """Restores the process's random generators at the end: a run seeds them for itself."""
    devices = [hardware.device] if hardware.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
