"""Training with frozen layers: features of the training images are computed once, and the head is fitted to them."""

import torch

from tenfold.core.text import plural
from tenfold.data.loader import Loader
from tenfold.engine.cross_fit import Shown
from tenfold.engine.head import fit_head
from tenfold.engine.loop import Trained
from tenfold.engine.plan import Plan, make_plan
from tenfold.engine.recording import clear_errors, evaluate_now, save_checkpoint, shown_progress
from tenfold.engine.repeat import record_execution
from tenfold.engine.running_metrics import RunningMetrics
from tenfold.engine.setup import Setup, memory_format, training_loader
from tenfold.engine.signals import StopRequest
from tenfold.engine.state import State
from tenfold.engine.times import RunTimes
from tenfold.optim.averaging import WeightEMA
from tenfold.optim.build import CombinedOptimizer
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
        shown, state.step = _show(setup, plan, loader, times, stop)
        fitted = fit_head(setup, shown, plan.class_weights)
        times.pause_training()
        evaluate_now(setup, plan, state, fitted.metrics)
        save_checkpoint(setup, state)
    return Trained(setup, state, fitted)


def _show(setup: Setup, plan: Plan, loader: Loader, times: RunTimes, stop: StopRequest) -> tuple[Shown, int]:
    """Returns features of the training images as the epochs of the run show them, and the number of batches."""
    extractor = FeatureExtractor(setup.classifier, setup.hardware.autocast)
    parts: list[Shown] = []
    total = 0 if plan.steps is None else round(plan.steps / plan.steps_per_epoch * len(setup.dataset.train))
    num_images = reported = 0
    while not parts or not plan.is_over(len(parts), times.elapsed):
        epoch = len(parts) // plan.steps_per_epoch
        for batch in loader.epoch(epoch):
            images = batch.images.permute(0, 2, 3, 1).cpu().numpy()  # B H W 3
            parts.append(Shown(extractor(images), batch.labels.cpu(), batch.indices.cpu()))
            num_images += len(images)
            if num_images - reported >= _PROGRESS_EVERY or plan.is_over(len(parts), times.elapsed):
                reported = num_images
                setup.progress.prepare("Computing features", num_images, total)
            if stop.received:
                extractor.flush()
                raise stop.error(
                    f"stopped after {plural(len(parts), 'batch')} of features, which are saved; "
                    f"resume with: {setup.folder.resume_command()}"
                )
            if plan.is_over(len(parts), times.elapsed) and epoch:
                break
    extractor.flush()
    return Shown(*(torch.cat(columns) for columns in zip(*parts, strict=True))), len(parts)
