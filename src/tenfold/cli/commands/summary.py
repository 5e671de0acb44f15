"""`tenfold summary`: what a network is made of."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from torch import nn

    from tenfold.recipes.schema import Recipe

_CIFAR_SIZE = (32, 32)


def summary(
    source: Annotated[str, typer.Argument(metavar="RECIPE|RUN|MODEL", help="Whose network.")] = "quick",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the recipe, e.g. data.image_size=64."),
    ] = None,
    classes: Annotated[int, typer.Option(min=2, metavar="N", help="Classes of a recipe's network.")] = 10,
) -> None:
    """Prints a network layer by layer.

    Each layer with its output shape, its parameters and its multiply-adds for one picture.

    \b
    Examples:
      tenfold summary tutorial
      tenfold summary quick --set data.image_size=[48,64]
      tenfold summary runs/cifar10-quick-20260101-120000
    """
    model, size = _network(source, settings or [], classes)

    from tenfold.cli.output import show
    from tenfold.models.summary import summarize
    from tenfold.report.tables.run_tables import layer_table

    show(f"for a picture of 3 × {size[0]} × {size[1]}", layer_table(summarize(model, size)))


def _network(source: str, settings: list[str], classes: int) -> "tuple[nn.Module, tuple[int, int]]":
    """Returns the network of a run or model file, else of a recipe, and the size of its pictures."""
    path = Path(source)
    if path.suffix == ".safetensors" or (path / "last.safetensors").is_file():
        from tenfold.api import evaluate as api

        predictor = api.load(path, device="cpu")
        return predictor.model, predictor.classifier.preprocessing.image_size
    from tenfold.recipes.load import load_recipe

    recipe = load_recipe(source, settings)

    from tenfold.models.build import build_model

    size = _size_of(recipe)
    return build_model(recipe.model.name, recipe.model.arguments, classes=classes, image_size=size), size


def _size_of(recipe: "Recipe") -> tuple[int, int]:
    size = recipe.data.image_size
    if size == "auto":
        return _CIFAR_SIZE
    return (size, size) if isinstance(size, int) else size
