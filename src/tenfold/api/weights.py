"""Recipes whose networks start from weights: what the weights decide about the images, and `--from`."""

from collections.abc import Sequence
from pathlib import Path

from tenfold.api.evaluate import model_file
from tenfold.api.runs import RunSource, path_of
from tenfold.core.disk import display_path, expanded
from tenfold.core.errors import ModelError, UsageError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.text import escaped, size_text
from tenfold.data.types import Dataset
from tenfold.models.weights import WeightsRecord
from tenfold.recipes.auto import AUTO, SMALL
from tenfold.recipes.load import key_of, load_recipe, resolve
from tenfold.recipes.schema import Recipe
from tenfold.runs.artifact import CUSTOM_ARCHITECTURE, Classifier
from tenfold.runs.model_file import load_model
from tenfold.runs.starting_weights import needed_record, sha256_of, weights_record


def with_weights(
    recipe: Recipe, progress: Progress | None = None, *, in_memory: bool = False, is_own: bool = False
) -> Recipe:
    """Returns the recipe with what the weights that its network starts from decide: how images are prepared.

    Image size, fit and normalization become those of the record of the weights where the recipe leaves them open, so
    that the recipe of a run says them itself. The file becomes an absolute path with its SHA-256. A recipe without
    weights, or one that is complete already, stays as it is.

    Args:
        recipe: complete or not.
        progress: receives a line about what the weights decide.
        in_memory: whether the images have their size already.
        is_own: whether the user's own network replaces the recipe's.

    Raises:
        UsageError: when the recipe names weights for the user's own network.
        TenfoldError: when the weights are missing or damaged; see `weights_record`.
    """
    model, data = recipe.model, recipe.data
    if not model.starts_from_weights:
        return recipe
    if is_own:
        raise UsageError("the recipe names weights to start from, but your own network has its own; leave them out")
    progress = progress or SilentProgress()
    settings: dict[str, object] = {}
    record = needed_record(model) if data.normalize == "weights" else weights_record(model)
    if model.weights:
        path = expanded(model.weights).absolute()
        settings |= {"model.weights": str(path), "model.weights_sha256": sha256_of(path)}
    if data.fit == "weights":
        settings["data.fit"] = "crop" if record is None or in_memory else record.fit
    if record is not None:
        if data.image_size == "auto" and not in_memory:
            settings["data.image_size"] = list(record.image_size)
        if data.normalize == "weights":
            settings["data.normalize"] = _normalization(record)
        elif data.normalize != _normalization(record):
            progress.message(
                f"data.normalize = {data.normalize}, but the weights were trained with {_channels(record)}"
            )
    # The values come after `model.weights`, whose override alone would ask for the weights' normalization again.
    found = resolve(recipe, {"data.normalize": data.normalize, **settings})
    if record is not None and found.data != data:
        size = "" if found.data.image_size == "auto" else f"{_size(found)}, "
        progress.message(f"images as the weights expect them: {size}fit {found.data.fit}, {_channels(record)}")
    return found


def starting_from(source: RunSource, recipe: str | Path | Recipe, overrides: Sequence[str]) -> tuple[Recipe, list[str]]:
    """Returns a recipe whose network is that of another run and starts from its weights, and the overrides for it.

    Args:
        source: run, run folder or model file.
        recipe: for everything but the network.
        overrides: `"section.key=value"` each, none of them of `[model]`.

    Raises:
        UsageError: when an override is about the network.
        ModelError: when the model file is damaged, or holds a network of the user's own.
        RunError: when the run holds no model.
        RecipeError: see `load_recipe`.
    """
    taken = next((key_of(line) for line in overrides if key_of(line).startswith("model.")), None)
    if taken is not None:
        raise UsageError(f"{taken} was given beside the model to start from, which has its own network; leave it out")
    path = model_file(path_of(source, "run")).absolute()
    card = load_model(path)[1]
    if card.architecture == CUSTOM_ARCHITECTURE:
        raise ModelError(
            f"{escaped(display_path(path))} holds the weights of your own network, which Tenfold cannot build; "
            "load them into it and give it as model= in Python"
        )
    Classifier.load(path)  # a description that does not fit the weights is refused before it becomes a recipe
    base = recipe if isinstance(recipe, Recipe) else load_recipe(SMALL if recipe == AUTO else recipe)
    tables = base.model_dump(exclude_unset=True)
    tables["model"] = {"name": card.architecture, **card.arguments}
    weights = f"model.weights={path}"
    return resolve(tables, [weights, *overrides]), [weights, *overrides]


def enlarged_text(recipe: Recipe, dataset: Dataset) -> str | None:
    """Returns a line where images are much enlarged for the weights that the network starts from, else None."""
    if not recipe.model.starts_from_weights or dataset.typical_size is None:
        return None
    if min(dataset.typical_size) * 1.5 >= min(dataset.image_size):
        return None
    return (
        f"images of about {size_text(dataset.typical_size)} are enlarged to {size_text(dataset.image_size)}, which the "
        "weights were trained on or the recipe asks for; --set data.image_size=… trains smaller ones faster"
    )


def _normalization(record: WeightsRecord) -> dict[str, tuple[float, float, float]]:
    return {"mean": record.mean, "std": record.std}


def _channels(record: WeightsRecord) -> str:
    mean, std = ("/".join(f"{value:g}" for value in values) for values in (record.mean, record.std))
    return f"mean {mean}, std {std}"


def _size(recipe: Recipe) -> str:
    size = recipe.data.image_size
    return size_text((size, size) if isinstance(size, int) else size) if not isinstance(size, str) else size
