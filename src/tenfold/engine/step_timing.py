"""The engine's own step, ready to be timed, and the arithmetic in it.

Shapes: B pictures, H×W pixels.
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
from tenfold.engine.execution import Training, prepare
from tenfold.engine.precision import Hardware
from tenfold.engine.setup import memory_format
from tenfold.engine.step import Step
from tenfold.optim.build import OptimizerSettings, build_optimizer
from tenfold.recipes.schema import Recipe

_SAFE_RATE = 0.01
"""Factor on the learning rates: without the schedule a long measurement could diverge, and a rate costs no time."""


def training_step(
    recipe: Recipe, model: nn.Module, preprocessing: Preprocessing, hardware: Hardware, batch: Batch
) -> tuple[Step, Hardware]:
    """Returns the engine's step for `model`, which is moved to its device and put into training mode, ready to run.

    Args:
        recipe: its memory format, optimiser, label smoothing and execution count.
        model: float [B, 3, H, W] → logits.
        preprocessing: see `Preprocessing`.
        hardware: must be active, also when a step is taken.
        batch: of the pictures that will be learnt from.

    Returns:
        The step, and the hardware as it is used, compiled or not.

    Raises:
        RecipeError: when the step is to be compiled and cannot be.
        TrainingError: when the compiler fails.
    """
    model = model.to(hardware.device, memory_format=memory_format(recipe)).train()  # type: ignore[call-overload]
    optimizer = build_optimizer(model, OptimizerSettings.of(recipe.optim), hardware.autocast)
    training = Training(model, optimizer, preprocessing, hardware, recipe.optim.label_smoothing)
    prepared = prepare(recipe.train.execution, training, batch)
    optimizer.scale_lr(_SAFE_RATE)
    return Step(prepared.learn), prepared.hardware


def endless(loader: Loader) -> Iterator[Batch]:
    """Yields the batches of one epoch after the other."""
    return (batch for epoch in count() for batch in loader.epoch(epoch))


def flops_per_picture(model: nn.Module, image_size: tuple[int, int], *, backward: bool) -> float:
    """Returns the floating-point operations of convolutions and linear layers for one picture.

    A multiplication and an addition count as two. Nothing is computed: shapes alone are followed. What a frozen layer
    saves is left out, as is everything else: normalisation, activations, the update of the weights.

    Args:
        model: float [B, 3, H, W] → logits; it is left as it is.
        image_size: height and width, in pixels.
        backward: whether the gradients of a training step are counted too.

    Example:
        >>> flops_per_picture(nn.Conv2d(3, 8, 3, padding=1), (32, 32), backward=False) == 2 * 32 * 32 * 3 * 8 * 9
        True
    """
    shape_only = deepcopy(model).to("meta").train(backward)
    images = torch.empty(2, 3, *image_size, device="meta")  # B 3 H W; a single picture might not be normalised
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
        logits = shape_only(images)
        if backward:
            logits.sum().backward()
    return float(counter.get_total_flops()) / len(images)
