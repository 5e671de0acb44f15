"""What networks cost on this machine, found out in about a second by the engine's own steps."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from tenfold.core.clock import Stopwatch, synchronize
from tenfold.data.loader import pixels
from tenfold.data.types import Dataset, Split
from tenfold.engine.precision import choose_hardware
from tenfold.engine.run import make_classifier, make_preprocessing
from tenfold.engine.setup import training_loader
from tenfold.engine.step_timing import endless, training_step
from tenfold.experiments.budget.budget_plan import Cost
from tenfold.models.build import build_model
from tenfold.models.summary import summarize
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import save_checkpoint

_SECONDS = 1.0
"""Of measuring, for all networks together, about."""

_BATCHES = 8  # of the sample that is trained on, at most
_JUDGED = 500  # pictures of the sample that is judged, where the recipe leaves open how many at once


def calibrate(recipes: Sequence[Recipe], dataset: Dataset, seconds: float = _SECONDS) -> list[Cost]:
    """Returns what a step and a judgement of each recipe's network cost, and what compiling the step does.

    Networks are measured from the smallest up while there is time; what a larger one costs is then scaled by
    multiply-adds from the largest that was measured.

    Args:
        recipes: at least one; batch size, precision, optimiser and augmentation of each count.
        dataset: a sample of its pictures is used; those of the test split are timed, and their labels not looked at.
        seconds: of measuring, about; above 0.

    Raises:
        RecipeError: when a network's arguments or the augmentation are refused.
        ModelError: when no such network can exist for the pictures.
        DeviceError: when the device is not there.
    """
    work = [_multiply_adds(recipe, dataset) for recipe in recipes]
    costs: dict[int, Cost] = {}
    began, largest = perf_counter(), 0
    for place in sorted(range(len(recipes)), key=work.__getitem__):
        left = seconds - (perf_counter() - began)
        if not costs or left > 0:
            costs[place] = _measure(recipes[place], dataset, left / (len(recipes) - len(costs)))
            largest = place
        else:
            costs[place] = _scaled(costs[largest], work[place] / work[largest], recipes[place], recipes[largest])
    return [costs[place] for place in range(len(recipes))]


def time_setup(recipe: Recipe, dataset: Dataset) -> float:
    """Returns the seconds that lie between plan and first step: what depends on the pictures is done once to see."""
    began = perf_counter()
    make_preprocessing(recipe, dataset)
    pixels(dataset.train)
    with torch.random.fork_rng(devices=[]):
        make_classifier(recipe, _sample(dataset, recipe), None)
    return perf_counter() - began


def time_checkpoint(recipe: Recipe, dataset: Dataset, folder: Path) -> float:
    """Returns the seconds that writing a checkpoint takes: one is written, with an optimiser as large as the network.

    Args:
        recipe: of the network.
        dataset: that it is to learn.
        folder: an empty one, on the disk that the run will be written to.

    Raises:
        StorageError: when the disk refuses.
    """
    with torch.random.fork_rng(devices=[]):
        state = make_classifier(recipe, _sample(dataset, recipe), None).model.state_dict()
    began = perf_counter()
    save_checkpoint(folder / "checkpoints", 0, {"model": state, "optimizer": state}, {})
    return perf_counter() - began


def _multiply_adds(recipe: Recipe, dataset: Dataset) -> float:
    """Returns multiply-adds of one picture's forward pass; on the CPU, for the meta device takes 2 s to get ready."""
    with torch.random.fork_rng(devices=[]):
        model = build_model(
            recipe.model.name, recipe.model.arguments, classes=len(dataset.classes), image_size=dataset.image_size
        )
    return float(sum(layer.multiply_adds for layer in summarize(model, dataset.image_size))) or 1.0


def _measure(recipe: Recipe, dataset: Dataset, seconds: float) -> Cost:
    hardware = choose_hardware(recipe.train)
    sample = _sample(dataset, recipe)
    devices = [hardware.device] if hardware.device.type == "cuda" else []
    with hardware.active(), torch.random.fork_rng(devices=devices):
        classifier = make_classifier(recipe, sample, None)
        batches = endless(training_loader(recipe, sample, hardware))
        began = perf_counter()
        step, _ = training_step(recipe, classifier.model, classifier.preprocessing, hardware, next(batches))

        def timed(steps: int) -> float:
            watch = Stopwatch(hardware.device)
            watch.start()
            for batch in islice(batches, steps):
                step(batch)
            watch.stop()
            return watch.seconds()

        timed(1)  # loads libraries, claims memory and, where the recipe says so, compiles
        ready = perf_counter() - began
        steps, spent = 1, timed(1)
        while spent < seconds / 3:
            steps *= 2
            spent = timed(steps)
        synchronize(hardware.device)
        classifier.logits(sample.test.subset(np.arange(min(2, len(sample.test)))))
        began = perf_counter()
        classifier.logits(sample.test)
        judging = (perf_counter() - began) / len(sample.test)
    compiling = 0.0 if recipe.train.execution == "eager" else max(0.0, ready - spent / steps)
    return Cost(spent / steps, judging, compiling)


def _scaled(cost: Cost, factor: float, recipe: Recipe, measured: Recipe) -> Cost:
    batches = recipe.train.batch_size / measured.train.batch_size
    return Cost(cost.step * factor * batches, cost.picture * factor, cost.compiling)


def _sample(dataset: Dataset, recipe: Recipe) -> Dataset:
    """Returns some batches of training pictures, and one judged at once, from all over the splits."""
    train = _some(dataset.train, _BATCHES * recipe.train.batch_size)
    test = _some(dataset.test, recipe.evaluate.batch_size or _JUDGED)
    return replace(dataset, train=train, test=test, val=None)


def _some(split: Split, count: int) -> Split:
    return split.subset(np.linspace(0, len(split) - 1, min(count, len(split))).astype(np.int64))
