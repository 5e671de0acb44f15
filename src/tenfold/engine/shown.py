"""Features of the training images as the epochs of a run show them to a frozen network."""

from collections.abc import Iterator

import torch

from tenfold.core.progress import Progress
from tenfold.data.loader import Loader
from tenfold.engine.agreement import agree
from tenfold.engine.cross_fit import Shown
from tenfold.engine.dealt import feature_extractor
from tenfold.engine.plan import Plan
from tenfold.engine.precision import Hardware
from tenfold.engine.setup import Setup
from tenfold.engine.signals import StopRequest
from tenfold.runs.artifact import Classifier
from tenfold.runs.features import FeatureExtractor

_PROGRESS_EVERY = 64


def show_images(setup: Setup, plan: Plan, loader: Loader, stop: StopRequest) -> tuple[Shown, int]:
    """Returns features of the training images as the epochs of a run show them, and the number of batches.

    Args:
        setup: of the run.
        plan: how many batches are shown.
        loader: of the training images.
        stop: whether a signal asked for a stop.

    Raises:
        Stopped: when one did; the features so far are kept.
        ModelError: when the network does not end in one linear layer.
    """
    batches: list[Shown] = []
    for shown in shown_batches(setup.classifier, plan, loader, setup.hardware, setup.progress):
        batches.append(shown)
        agree(setup.processes, stop)
        if stop.due:
            break
    if stop.due:
        raise stop.error(f"stopped; the features so far are kept; resume with: {setup.folder.resume_command()}")
    return Shown(*map(torch.cat, zip(*batches, strict=True))), len(batches)


def shown_batches(
    classifier: Classifier, plan: Plan, loader: Loader, hardware: Hardware, progress: Progress
) -> Iterator[Shown]:
    """Yields features of the training images, batch by batch, as the epochs of a run show them: at least one epoch.

    Steps decide how many: the recipe of a fitted head has no duration in seconds.
    """
    assert plan.steps is not None
    extractor = feature_extractor(classifier, hardware.autocast)
    count = loader.order.num_images
    total = round(plan.steps / plan.steps_per_epoch * count)
    last = max(plan.steps, plan.steps_per_epoch)
    steps = num_images = 0
    try:
        while steps < last:
            for batch in loader.epoch(steps // plan.steps_per_epoch):
                images = batch.images.permute(0, 2, 3, 1).cpu().numpy()  # B H W 3
                yield Shown(extractor(images), batch.labels.cpu(), batch.indices.cpu())
                steps, num_images = steps + 1, num_images + len(images)
                over = steps >= plan.steps
                if over or num_images // _PROGRESS_EVERY != (num_images - len(images)) // _PROGRESS_EVERY:
                    progress.prepare(_description(extractor), num_images, total)
                if steps >= last:
                    break
    finally:
        extractor.flush()
    new = extractor.num_computed
    progress.message(f"features: {new:,} computed, {num_images - new:,} known")


def _description(extractor: FeatureExtractor) -> str:
    """Returns what is done: features are read until the first image that is not in the cache."""
    return f"{'Computing' if extractor.num_computed else 'Reading'} features"
