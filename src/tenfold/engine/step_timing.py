"""The training step, prepared for timing, and its number of floating-point operations.

Shapes: B images, H×W pixels.
"""

from collections.abc import Iterator
from copy import deepcopy
from itertools import count

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.loader import Loader
from tenfold.data.types import Batch
from tenfold.engine.distributed import ALONE, Processes
from tenfold.engine.execution import PreparedStep, prepare_step
from tenfold.engine.precision import Hardware
from tenfold.engine.setup import in_training_mode, share_of
from tenfold.engine.step_context import StepContext
from tenfold.optim.build import OptimizerSettings, build_optimizer
from tenfold.recipes.schema import Recipe

_LR_FACTOR = 0.01
"""Factor on the learning rates, which do not change the speed: without the schedule a long run could diverge."""


def timed_step(
    recipe: Recipe,
    model: nn.Module,
    preprocessing: Preprocessing,
    hardware: Hardware,
    batch: Batch,
    processes: Processes = ALONE,
) -> PreparedStep:
    """Returns the training step of `model`, which moves to its device and into training mode.

    Args:
        recipe: its memory format, batch norm, optimizer, label smoothing, micro-batches and execution are used.
        model: float [B, 3, H, W] → logits.
        preprocessing: see `Preprocessing`.
        hardware: must be active, also while steps run.
        batch: of the training images.
        processes: that train the network together.

    Raises:
        RecipeError: when the recipe asks for a compiled step and that is not supported.
        TrainingError: when the compiler fails.
    """
    model = in_training_mode(model, recipe, hardware.device)
    optimizer = build_optimizer(model, OptimizerSettings.from_section(recipe.optim), hardware.autocast)
    context = StepContext(
        model,
        optimizer,
        preprocessing,
        hardware,
        recipe.optim.label_smoothing,
        share=share_of(recipe, processes),
        clip_norm=recipe.optim.clip_norm,
        processes=processes,
        synchronized=recipe.train.batch_norm == "synchronized",
    )
    prepared = prepare_step(recipe.train.execution, context, batch)
    optimizer.scale_lr(_LR_FACTOR)
    return prepared


def endless(loader: Loader) -> Iterator[Batch]:
    """Yields the batches of one epoch after another, without end."""
    return (batch for epoch in count() for batch in loader.epoch(epoch))


def flops_per_image(model: nn.Module, image_size: tuple[int, int], *, backward: bool) -> float:
    """Returns the floating-point operations of convolutions and linear layers for one image.

    A multiply-add counts as two. Only shapes are computed. Frozen layers count as if they were trained; normalization,
    activations and the update are not counted.

    Args:
        model: float [B, 3, H, W] → logits; it does not change.
        image_size: height and width, in pixels.
        backward: whether the backward pass of a training step counts too.

    Example:
        >>> flops_per_image(nn.Conv2d(3, 8, 3, padding=1), (32, 32), backward=False) == 2 * 32 * 32 * 3 * 8 * 9
        True
    """
    shape_only = deepcopy(model).to("meta").train(backward)
    images = torch.empty(2, 3, *image_size, device="meta")  # B 3 H W; batch norm may refuse a single image
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
        logits = shape_only(images)
        if backward:
            logits.sum().backward()
    return float(counter.get_total_flops()) / len(images)
