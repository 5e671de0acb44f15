"""Measures what networks cost on this machine, in about a second, with the engine's own training steps."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.clock import Stopwatch, synchronize
from tenfold.data.loader import image_tensor
from tenfold.data.store.shards import sharded
from tenfold.data.types import Dataset, Split
from tenfold.engine.cross_fit import DEFAULT_STRENGTH, FOLDS, STRENGTHS, max_rows
from tenfold.engine.precision import Hardware, choose_hardware
from tenfold.engine.run import make_classifier, make_preprocessing
from tenfold.engine.setup import memory_format, training_loader
from tenfold.engine.step_timing import endless, timed_step
from tenfold.experiments.budget.budget_plan import Cost, HeadCost
from tenfold.models.build import build_model
from tenfold.models.summary import summarize
from tenfold.optim.logistic import Standardized, fit_logistic
from tenfold.recipes.schema import Recipe
from tenfold.runs.artifact import Classifier
from tenfold.runs.checkpoint import save_checkpoint
from tenfold.runs.features import FeatureExtractor

_MEASURING_SECONDS = 1.0  # for all networks together
_MAX_TRAIN_BATCHES = 8  # in the sample of the training split
_TEST_SAMPLE = 500  # images of the test split, if the recipe sets no batch size for evaluation
_TEST_PIXELS = 500 * 40 * 40  # of these images together
_FEATURE_SECONDS = 1.5  # for measuring the features of a frozen network
_FEATURE_BATCH = 8  # images between two looks at the clock
_FINAL_FITS = 5  # fits of that many rows in 32 bits that take as long as the last one in 64 bits


def calibrate(recipes: Sequence[Recipe], dataset: Dataset, seconds: float = _MEASURING_SECONDS) -> list[Cost]:
    """Returns the cost of each recipe's network: of a training step, of an evaluation, and of compilation.

    Networks are measured in order of size while there is time. The cost of a larger network is extrapolated by its
    multiply-adds from the largest network that was measured.

    Args:
        recipes: at least one; their batch size, precision, optimizer and augmentation are used.
        dataset: a sample of its images is used; test images are timed, but their labels are not read.
        seconds: approximate measuring time, above 0.

    Raises:
        RecipeError: when the arguments of a network or the augmentation are invalid.
        ModelError: when no such network can exist for the images.
        DeviceError: when the device does not exist.
    """
    multiply_adds = [_multiply_adds(recipe, dataset) for recipe in recipes]
    costs: dict[int, Cost] = {}
    started, largest = perf_counter(), 0
    for index in sorted(range(len(recipes)), key=multiply_adds.__getitem__):
        left = seconds - (perf_counter() - started)
        if not costs or left > 0:
            costs[index] = _measure(recipes[index], dataset, left / (len(recipes) - len(costs)))
            largest = index
        else:
            factor = multiply_adds[index] / multiply_adds[largest]
            costs[index] = _extrapolate(costs[largest], factor, recipes[index], recipes[largest])
    return [costs[index] for index in range(len(recipes))]


def head_cost(recipe: Recipe, dataset: Dataset, passes: int) -> HeadCost:
    """Returns what it costs to fit the recipe's head to features of the training images.

    Args:
        recipe: with `train.layers` of `head` or `head-then-all`.
        dataset: a sample of its images is used; test images are timed, but their labels are not read.
        passes: how often each training image is shown, at least 1.

    Raises:
        ModelError: when the network does not end in one linear layer, or its weights are missing.
        DeviceError: when the device does not exist.
    """
    hardware, sample = choose_hardware(recipe.train), _sample(dataset, recipe)
    with hardware.active(), torch.random.fork_rng(devices=_cuda(hardware)):
        classifier = make_classifier(recipe, sample, None)
        classifier.model.to(hardware.device, memory_format=memory_format(recipe))  # type: ignore[call-overload]
        extractor = FeatureExtractor(classifier, hardware.autocast)
        images = classifier.preprocessing.center(sample.train.images)
        extractor.computed(images[:1])  # loads libraries and allocates memory
        image_seconds = _time_features(extractor, images)
        fit_seconds = _time_fit(dataset.train, extractor.num_features, len(dataset.classes), passes)
        # Other programs only add to a time, and one that is much too long would refuse budgets that are not too short.
        evaluation_seconds = min(_time_evaluation(classifier, sample, hardware) for _ in range(2))
        return HeadCost(image_seconds, fit_seconds, evaluation_seconds)


def _time_features(extractor: FeatureExtractor, images: NDArray[np.uint8]) -> float:
    """Returns the seconds for the features of one image: those of the faster half of several batches.

    Other programs only add to a time; the plan keeps a reserve for them.
    """
    batches: list[float] = []
    while sum(batches) < _FEATURE_SECONDS and len(batches) * _FEATURE_BATCH < len(images):
        part = images[len(batches) * _FEATURE_BATCH :][:_FEATURE_BATCH]
        started = perf_counter()
        extractor.computed(part)
        batches.append((perf_counter() - started) * _FEATURE_BATCH / len(part))
    faster = sorted(batches)[: -(-len(batches) // 2)]
    return sum(faster) / len(faster) / _FEATURE_BATCH


def _time_fit(train: Split, num_features: int, num_classes: int, passes: int) -> float:
    """Returns the estimated seconds to choose a penalty and to fit a head, by one fit to made-up features.

    Features are standardized twice, and one fit after another starts close to its end.
    """
    num_rows = min(passes * len(train), max_rows(num_classes))
    labels = torch.from_numpy(train.labels[np.linspace(0, len(train) - 1, num_rows).astype(np.int64)])
    generator = torch.Generator().manual_seed(0)
    means = 0.1 * torch.randn(num_classes, num_features, generator=generator)
    fit_logistic(torch.eye(2), torch.arange(2), 2, DEFAULT_STRENGTH)  # loads libraries
    features = means[labels] + torch.randn(num_rows, num_features, generator=generator)
    standardizing, fitting = [], []
    for _ in range(3):
        started = perf_counter()
        rows = Standardized(features).rows.float()
        standardizing.append(perf_counter() - started)
        fit_logistic(rows, labels, num_classes, DEFAULT_STRENGTH)
        fitting.append(perf_counter() - started - standardizing[-1])
    fits = len(STRENGTHS) * FOLDS + _FINAL_FITS * passes * len(train) / num_rows
    return 2 * min(standardizing) + fits * min(fitting)


def time_setup(recipe: Recipe, dataset: Dataset) -> float:
    """Returns the seconds from the plan to the first step, by doing once what depends on the dataset."""
    started = perf_counter()
    make_preprocessing(recipe, dataset)
    if sharded(dataset.train.images) is None:
        image_tensor(dataset.train)
    with torch.random.fork_rng(devices=[]):
        make_classifier(recipe, _sample(dataset, recipe), None)
    return perf_counter() - started


def time_checkpoint(recipe: Recipe, dataset: Dataset, folder: Path) -> float:
    """Returns the seconds to write a checkpoint with an optimizer state as large as the network.

    Args:
        recipe: of the network.
        dataset: that the network is trained on.
        folder: an empty folder on the disk of the run.

    Raises:
        StorageError: when the checkpoint cannot be written.
    """
    with torch.random.fork_rng(devices=[]):
        state = make_classifier(recipe, _sample(dataset, recipe), None).model.state_dict()
    started = perf_counter()
    save_checkpoint(folder / "checkpoints", 0, {"model": state, "optimizer": state}, {})
    return perf_counter() - started


def _multiply_adds(recipe: Recipe, dataset: Dataset) -> float:
    """Returns the multiply-adds of one image's forward pass."""
    with torch.random.fork_rng(devices=[]):  # on the CPU: the first use of the meta device takes 2 s
        model = build_model(
            recipe.model.name, recipe.model.arguments, num_classes=len(dataset.classes), image_size=dataset.image_size
        )
    return float(sum(layer.multiply_adds for layer in summarize(model, dataset.image_size))) or 1.0


def _measure(recipe: Recipe, dataset: Dataset, seconds: float) -> Cost:
    hardware = choose_hardware(recipe.train)
    sample = _sample(dataset, recipe)
    with hardware.active(), torch.random.fork_rng(devices=_cuda(hardware)):
        classifier = make_classifier(recipe, sample, None)
        batches = endless(training_loader(recipe, sample, hardware))
        started = perf_counter()
        step = timed_step(recipe, classifier.model, classifier.preprocessing, hardware, next(batches)).step

        def time_steps(count: int) -> float:
            stopwatch = Stopwatch(hardware.device)
            stopwatch.start()
            for batch in islice(batches, count):
                step(batch)
            stopwatch.stop()
            return stopwatch.seconds()

        time_steps(1)  # loads libraries, allocates memory and compiles
        first_step = perf_counter() - started
        count, elapsed = 1, time_steps(1)
        while elapsed < seconds / 3:
            count *= 2
            elapsed = time_steps(count)
        image_seconds = _time_evaluation(classifier, sample, hardware)
    compiling = 0.0 if recipe.train.execution == "eager" else max(0.0, first_step - elapsed / count)
    return Cost(elapsed / count, image_seconds, compiling)


def _time_evaluation(classifier: Classifier, sample: Dataset, hardware: Hardware) -> float:
    """Returns the seconds to evaluate one image."""
    synchronize(hardware.device)
    classifier.logits(sample.test.images[:2])
    started = perf_counter()
    classifier.logits(sample.test.images)
    return (perf_counter() - started) / len(sample.test)


def _cuda(hardware: Hardware) -> list[torch.device]:
    return [hardware.device] if hardware.device.type == "cuda" else []


def _extrapolate(cost: Cost, factor: float, recipe: Recipe, measured: Recipe) -> Cost:
    batch_factor = recipe.train.batch_size / measured.train.batch_size
    return Cost(cost.step * factor * batch_factor, cost.image * factor, cost.compiling)


def _sample(dataset: Dataset, recipe: Recipe) -> Dataset:
    """Returns some training batches and one evaluation batch, spread evenly over the splits."""
    train = _subset(dataset.train, _MAX_TRAIN_BATCHES * recipe.train.batch_size)
    height, width = dataset.image_size
    count = min(_TEST_SAMPLE, max(2, _TEST_PIXELS // (height * width)))
    test = _subset(dataset.test, recipe.evaluate.batch_size or count)
    return replace(dataset, train=train, test=test, val=None)


def _subset(split: Split, count: int) -> Split:
    return split.subset(np.linspace(0, len(split) - 1, min(count, len(split))).astype(np.int64))
