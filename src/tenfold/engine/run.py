"""A whole run: from a recipe and its data to a run folder that holds all that comes after training needs."""

from collections.abc import Iterator
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
from tenfold.data.decode.preprocessing import Preprocessing, channel_statistics
from tenfold.data.loader import in_order
from tenfold.data.types import Dataset
from tenfold.engine.conclude import conclude
from tenfold.engine.loop import train
from tenfold.engine.precision import Hardware, choose_hardware
from tenfold.engine.setup import Setup
from tenfold.engine.state import Best
from tenfold.evaluate.logits import evaluation_mode
from tenfold.models.build import build_model
from tenfold.recipes.schema import Recipe
from tenfold.runs.artifact import CUSTOM, Classifier
from tenfold.runs.checkpoint import Checkpoint
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder

_HALF = (0.5, 0.5, 0.5)
_FITTED_PIXELS = 1000 * 32 * 32
"""Training pixels that are enough to fit what a network derives from its data."""


def run(
    recipe: Recipe,
    dataset: Dataset,
    folder: RunFolder,
    progress: Progress,
    *,
    model: nn.Module | None = None,
    checkpoint: Checkpoint | None = None,
    began: float | None = None,
) -> dict[str, Any]:
    """Trains, judges once on the test split, writes everything down.

    Args:
        recipe: complete.
        dataset: see `Dataset`.
        folder: exists and holds `recipe.toml`.
        progress: is told what happens.
        model: a network of the user's own, in the place of the recipe's.
        checkpoint: to go on from.
        began: reading of `time.perf_counter` from which the seconds in all count; this call's by default.

    Returns:
        What `summary.json` holds; see `conclude`.

    Raises:
        TenfoldError: see `train`; whatever was saved before stays.
    """
    began = perf_counter() if began is None else began
    hardware = choose_hardware(recipe.train)
    if checkpoint is not None:
        # Another number of threads adds up in another order, and would round differently.
        hardware = replace(hardware, threads=int(checkpoint.state["threads"]))
        folder.reopen()
    progress.message(f"device: {hardware}")
    with hardware.active(), _own_randomness(hardware):
        classifier = make_classifier(recipe, dataset, model)
        architecture = CUSTOM if model is not None else recipe.model.name

        def save(name: str, metrics: dict[str, Any]) -> None:
            classifier.save(
                getattr(folder, name),
                architecture=architecture,
                arguments={} if model is not None else recipe.model.arguments,
                metrics=metrics,
            )

        def save_best(best: Best) -> None:
            save("best", {"val_accuracy": best.accuracy, "epoch": best.epoch})

        log = Log(folder.log)
        setup = Setup(recipe, dataset, classifier, hardware, folder, progress, log, save_best)
        log.write("resumed" if checkpoint else "started", step=checkpoint.step if checkpoint else 0)
        state = train(setup, checkpoint)
        return conclude(setup, state, save, seconds=lambda: perf_counter() - began)


def make_classifier(recipe: Recipe, dataset: Dataset, model: nn.Module | None) -> Classifier:
    """Returns the untrained classifier that `recipe` describes, its weights a function of the recipe's seed.

    Raises:
        RecipeError: when the network's name or arguments are refused.
        ModelError: when no such network can exist for the data, or a user's own does not fit the classes.
    """
    preprocessing = make_preprocessing(recipe, dataset)
    if model is None:
        torch.manual_seed(derive_seed(recipe.train.seed, "weights"))
        model = build_model(
            recipe.model.name,
            recipe.model.arguments,
            classes=len(dataset.classes),
            image_size=dataset.image_size,
        )
        fit_to = getattr(model, "fit_to", None)
        if callable(fit_to):
            fit_to(_sample(dataset, preprocessing, _FITTED_PIXELS // prod(dataset.image_size)))
    else:
        _try_out(model, _sample(dataset, preprocessing, 2), dataset.classes)
    return Classifier(
        model,
        dataset.classes,
        preprocessing,
        **recipe.evaluate.model_dump(),
        recipe=recipe.model_dump(mode="json"),
    )


def _sample(dataset: Dataset, preprocessing: Preprocessing, count: int) -> Tensor:
    """Returns some training pictures from all over the split, as the network sees them: float [count, 3, H, W]."""
    count = max(1, min(count, len(dataset.train)))
    places = np.linspace(0, len(dataset.train) - 1, count).astype(np.int64)
    images = next(in_order(dataset.train.subset(places), count, torch.device("cpu")))
    return preprocessing.normalize(images)


def _try_out(model: nn.Module, images: Tensor, classes: tuple[str, ...]) -> None:
    """Raises ModelError where a user's own network does not turn pictures into one logit for each class."""
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    with evaluation_mode(model), torch.inference_mode():
        logits = model(images.to(device))
    if not isinstance(logits, Tensor) or logits.shape != (len(images), len(classes)):
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"{type(model).__name__} returned {found} for {len(images)} pictures; "
            f"expected [{len(images)}, {len(classes)}], one logit for each of {len(classes)} classes"
        )


def make_preprocessing(recipe: Recipe, dataset: Dataset) -> Preprocessing:
    """Returns what turns a picture into the model's input, with the training pixels' statistics where asked for."""
    if recipe.data.normalize == "half":
        return Preprocessing(dataset.image_size, dataset.fit, _HALF, _HALF)
    mean, deviation = channel_statistics(dataset.train.images)
    return Preprocessing(dataset.image_size, dataset.fit, mean, deviation)


@contextmanager
def _own_randomness(hardware: Hardware) -> Iterator[None]:
    """Leaves the process's random generators as they were: a run seeds them for itself."""
    devices = [hardware.device] if hardware.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
