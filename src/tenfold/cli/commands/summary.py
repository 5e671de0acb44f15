"""`tenfold summary`: the layers of a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tenfold.cli.last_run import last_of
from tenfold.cli.options import SetOption, argument, either, option, recipe_option

if TYPE_CHECKING:
    from torch import nn

_CIFAR_SIZE = (32, 32)


def summary(
    source: Annotated[
        str | None,
        argument("RECIPE|RUN|MODEL", "Recipe, run folder or model file", default="quick", callback=last_of("run")),
    ] = None,
    recipe: Annotated[str | None, recipe_option("quick")] = None,
    settings: SetOption = None,
    classes: Annotated[
        int, option("--classes", metavar="N", help_text="Number of classes of a recipe's network", default=10, min=2)
    ] = 10,
) -> None:
    """Prints a network layer by layer.

    Each layer with its output shape, its parameters and its multiply-adds for one image.

    \b
    Examples:
      tenfold summary tutorial
      tenfold summary quick --set data.image_size=[48,64]
      tenfold summary runs/cifar10-quick-20260101-120000
    """
    model, size = _network(either(source, recipe, "RECIPE") or "quick", settings or [], classes)

    from tenfold.cli.output import render
    from tenfold.models.summary import summarize
    from tenfold.report.tables.run_tables import layer_table

    render(f"for an image of 3 × {size[0]} × {size[1]}", layer_table(summarize(model, size)))


def _network(source: str, settings: list[str], classes: int) -> "tuple[nn.Module, tuple[int, int]]":
    """Returns the network of a run, model file or recipe, and its image size."""
    path = Path(source)
    if path.suffix == ".safetensors" or (path / "last.safetensors").is_file():
        from tenfold.api import evaluate as api

        predictor = api.load(path, device="cpu")
        return predictor.model, predictor.classifier.preprocessing.image_size
    from tenfold.recipes.load import load_recipe

    recipe = load_recipe(source, settings)

    from tenfold.api.weights import with_weights
    from tenfold.models.build import build_model

    recipe = with_weights(recipe)  # which may decide the size of the images

    size = recipe.data.image_size
    if size == "auto":
        size = _CIFAR_SIZE
    if isinstance(size, int):
        size = (size, size)
    return build_model(recipe.model.name, recipe.model.arguments, num_classes=classes, image_size=size), size
