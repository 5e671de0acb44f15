"""Checks before a run starts: that it can run, and about how much work it is."""

import torch
from torch import nn

from tenfold.core.errors import RecipeError
from tenfold.core.text import size_text
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.resizing import scaled_size
from tenfold.data.types import Dataset
from tenfold.engine.plan import make_plan
from tenfold.engine.precision import choose_hardware
from tenfold.engine.setup import memory_format
from tenfold.engine.step_context import StepContext
from tenfold.models.build import build_model, check_model
from tenfold.models.summary import summarize
from tenfold.models.weights import load_weights
from tenfold.optim.build import OptimizerSettings, build_optimizer
from tenfold.recipes.schema import Recipe
from tenfold.runs.starting_weights import starting_weights


def check(recipe: Recipe, dataset: Dataset) -> float:
    """Builds everything that a run needs and returns the multiply-adds of its forward passes.

    The process's random state does not change.

    Args:
        recipe: complete.
        dataset: that the run will train on.

    Raises:
        RecipeError: when the recipe does not fit the data, or the network refuses an argument.
        ModelError: when no such network can exist for the data.
    """
    plan = make_plan(recipe, dataset)
    with torch.random.fork_rng(devices=[]):
        model = build_model(
            recipe.model.name, recipe.model.arguments, num_classes=len(dataset.classes), image_size=dataset.image_size
        )
    build_optimizer(model, OptimizerSettings.from_section(recipe.optim))
    check_execution(recipe, dataset)
    per_image = sum(layer.multiply_adds for layer in summarize(model, dataset.image_size))
    return float(per_image * plan.batch_size * (plan.steps or 1))


def check_execution(recipe: Recipe, dataset: Dataset) -> None:
    """Refuses a recipe that asks for compiled steps where its step cannot be compiled.

    Raises:
        RecipeError: with the reason.
        DeviceError: when the device is missing.
    """
    if recipe.train.execution != "compiled" or recipe.train.layers == "head":  # which has no steps
        return
    name, arguments = recipe.model.name, recipe.model.arguments
    with torch.random.fork_rng(devices=[]):
        model = build_model(name, arguments, num_classes=len(dataset.classes), image_size=dataset.image_size)
    model.to(memory_format=memory_format(recipe))  # type: ignore[call-overload]
    optimizer = build_optimizer(model, OptimizerSettings.from_section(recipe.optim))
    preprocessing = Preprocessing(dataset.image_size, dataset.fit, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    context = StepContext(model, optimizer, preprocessing, choose_hardware(recipe.train))
    augment = recipe.data.augment
    mixed = bool(augment.mixup or augment.cutmix)
    context.check_compiled(make_plan(recipe, dataset).batch_size, mixed=mixed)


def check_network(recipe: Recipe, dataset: Dataset) -> None:
    """Refuses a recipe whose network cannot be built for the data, or whose weights to start from do not fit it.

    `check_model` says what that costs.

    Raises:
        RecipeError: when the network or one of its arguments is unknown, or image sizes change in training and it
            takes one size.
        ModelError: when no such network can exist for the data, or its weights are missing or do not fit.
    """
    name, arguments, num_classes = recipe.model.name, recipe.model.arguments, len(dataset.classes)
    check_model(name, arguments, num_classes=num_classes, image_size=dataset.image_size)
    weights = starting_weights(recipe.model, dataset.image_size)
    if weights is None and not recipe.train.progressive:
        return
    with torch.random.fork_rng(devices=[]):
        model = build_model(name, arguments, num_classes=num_classes, image_size=dataset.image_size).eval()
    if weights is not None:
        load_weights(model, weights, dataset.classes)
    if recipe.train.progressive:
        _check_sizes(recipe, model, dataset.image_size)


@torch.inference_mode()
def _check_sizes(recipe: Recipe, model: nn.Module, image_size: tuple[int, int]) -> None:
    for _, fraction in recipe.train.progressive:
        height, width = scaled_size(image_size, fraction)
        try:
            model(torch.zeros(1, 3, height, width))
        except RuntimeError as error:
            raise RecipeError(
                f"train.progressive shrinks images to {size_text((height, width))}, and the network "
                f"'{recipe.model.name}' for {size_text(image_size)} does not accept them; remove it, or use a network "
                "such as quick or resnet18"
            ) from error
