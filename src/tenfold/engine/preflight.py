"""What can be known of a trial before it starts: that it can run, and about how much work it is."""

import torch
from torch import nn

from tenfold.core.errors import RecipeError
from tenfold.data.resizing import smaller
from tenfold.data.types import Dataset
from tenfold.engine.plan import make_plan
from tenfold.models.build import build_model, check_model
from tenfold.models.summary import summarize
from tenfold.optim.build import OptimizerSettings, build_optimizer
from tenfold.recipes.schema import Recipe


def check(recipe: Recipe, dataset: Dataset) -> float:
    """Builds everything that a run needs, and returns multiply-adds of its forward passes.

    The process's random numbers stay as they are.

    Args:
        recipe: complete.
        dataset: that it is to be trained with.

    Raises:
        RecipeError: when the recipe does not fit the data, or an argument of the network is refused.
        ModelError: when no such network can exist for the data.
    """
    plan = make_plan(recipe, dataset)
    with torch.random.fork_rng(devices=[]):
        model = build_model(
            recipe.model.name, recipe.model.arguments, classes=len(dataset.classes), image_size=dataset.image_size
        )
    build_optimizer(model, OptimizerSettings.of(recipe.optim))
    for_one_picture = sum(layer.multiply_adds for layer in summarize(model, dataset.image_size))
    return float(for_one_picture * plan.batch_size * (plan.steps or 1))


def check_network(recipe: Recipe, dataset: Dataset) -> None:
    """Refuses a recipe whose network cannot be built for the data; see `check_model` for what that costs.

    Raises:
        RecipeError: when the network or an argument of it is unknown, or pictures are to grow and it takes one size.
        ModelError: when no such network can exist for the data.
    """
    name, arguments, classes = recipe.model.name, recipe.model.arguments, len(dataset.classes)
    check_model(name, arguments, classes=classes, image_size=dataset.image_size)
    if recipe.train.progressive:
        with torch.random.fork_rng(devices=[]):
            model = build_model(name, arguments, classes=classes, image_size=dataset.image_size).eval()
        _check_sizes(recipe, model, dataset.image_size)


@torch.inference_mode()
def _check_sizes(recipe: Recipe, model: nn.Module, own: tuple[int, int]) -> None:
    for _, share in recipe.train.progressive:
        height, width = smaller(own, share)
        try:
            model(torch.zeros(1, 3, height, width))
        except RuntimeError as error:
            raise RecipeError(
                f"train.progressive shrinks pictures to {height}×{width}, and the network '{recipe.model.name}' for "
                f"{own[0]}×{own[1]} does not take them; leave it out, or use a network such as quick or resnet18"
            ) from error
