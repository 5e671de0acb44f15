"""Training with frozen layers: features of the training images are computed once, and the head is fitted to them."""

from collections.abc import Callable, Iterator
from time import perf_counter

import torch

from tenfold.core.progress import Progress
from tenfold.data.loader import Loader
from tenfold.data.types import Dataset
from tenfold.engine.cross_fit import Shown
from tenfold.engine.head import fit_head
from tenfold.engine.loop import Trained
from tenfold.engine.plan import Plan, make_plan
from tenfold.engine.precision import Hardware, choose_hardware
from tenfold.engine.recording import clear_errors, evaluate_now, save_checkpoint, shown_progress
from tenfold.engine.repeat import record_execution
from tenfold.engine.running_metrics import RunningMetrics
from tenfold.engine.setup import Setup, memory_format, training_loader
from tenfold.engine.signals import StopRequest
from tenfold.engine.state import State
from tenfold.engine.times import RunTimes
from tenfold.optim.averaging import WeightEMA
from tenfold.optim.build import CombinedOptimizer
from tenfold.recipes.schema import Recipe
from tenfold.runs.artifact import Classifier
from tenfold.runs.checkpoint import Checkpoint
from tenfold.runs.features import FeatureExtractor

_PROGRESS_EVERY = 64


def train_head(setup: Setup, checkpoint: Checkpoint | None = None) -> Trained:
    """Fits the head of `setup`'s model to features of the training images; the other layers stay as they are.

    Args:
        setup: its hardware must be active. `train.duration` is how often each image is shown, with its augmentation.
        checkpoint: of a run that is resumed; features are in the cache folder, so nothing else of it is needed.

    Raises:
        Stopped: when a signal asked for it; the features so far are saved.
        TrainingError: when memory runs out; see `train`.
        ModelError: when the network does not end in one linear layer.
        RunError: when the checkpoint does not fit.
    """
    recipe, hardware = setup.recipe, setup.hardware
    plan = make_plan(recipe, setup.dataset)
    model = setup.classifier.model.to(hardware.device, memory_format=memory_format(recipe))  # type: ignore[call-overload]
    loader = training_loader(recipe, setup.dataset, hardware)
    times = RunTimes(hardware.device, loader, setup.log.seconds)
    no_optimizer, metrics = CombinedOptimizer(()), RunningMetrics()
    state = State(model, no_optimizer, WeightEMA(model, 0.0), times, setup.dataset.fingerprint, metrics)
    if checkpoint is not None:
        state.load(checkpoint)
        state.rows, state.best = [], None
    setup = record_execution(setup, hardware)
    with StopRequest() as stop, shown_progress(setup, plan), clear_errors(setup, plan, state):
        times.start_training()
        batches: list[Shown] = []
        for shown in _shown(setup.classifier, plan, loader, hardware, setup.progress, times.elapsed):
            batches.append(shown)
            if stop.received:
                break
        if stop.received:
            raise stop.error(f"stopped; the features so far are kept; resume with: {setup.folder.resume_command()}")
        state.step = len(batches)
        fitted = fit_head(setup, Shown(*map(torch.cat, zip(*batches, strict=True))), plan.class_weights)
        times.pause_training()
        evaluate_now(setup, plan, state, fitted.metrics)
        save_checkpoint(setup, state)
    return Trained(setup, state, fitted)


def prepare_features(classifier: Classifier, recipe: Recipe, dataset: Dataset, progress: Progress) -> None:
    """Computes the features that runs of `recipe` need, for several processes that would each compute them.

    Args:
        classifier: of the recipe, not trained yet.
        recipe: complete, with `train.layers = "head"`.
        dataset: see `Dataset`.
        progress: is notified of what happens.

    Raises:
        TenfoldError: see `train_head`.
    """
    hardware = choose_hardware(recipe.train)
    with hardware.active():
        classifier.model.to(hardware.device)
        plan, loader, started = make_plan(recipe, dataset), training_loader(recipe, dataset, hardware), perf_counter()
        for _ in _shown(classifier, plan, loader, hardware, progress, lambda: perf_counter() - started):
            pass


def _shown(
    classifier: Classifier,
    plan: Plan,
    loader: Loader,
    hardware: Hardware,
    progress: Progress,
    elapsed: Callable[[], float],
) -> Iterator[Shown]:
    """Yields features of the training images, batch by batch, as the epochs of a run show them: at least one epoch."""
    extractor = FeatureExtractor(classifier, hardware.autocast)
    count = loader.order.num_images
    total = 0 if plan.steps is None else round(plan.steps / plan.steps_per_epoch * count)
    steps = num_images = 0
    try:
        while steps < plan.steps_per_epoch or not plan.is_over(steps, elapsed):
            for batch in loader.epoch(steps // plan.steps_per_epoch):
                images = batch.images.permute(0, 2, 3, 1).cpu().numpy()  # B H W 3
                yield Shown(extractor(images), batch.labels.cpu(), batch.indices.cpu())
                steps, num_images = steps + 1, num_images + len(images)
                over = plan.is_over(steps, elapsed)
                if over or num_images // _PROGRESS_EVERY != (num_images - len(images)) // _PROGRESS_EVERY:
                    progress.prepare("Computing features", num_images, total)
                if over and steps >= plan.steps_per_epoch:
                    break
    finally:
        extractor.flush()
