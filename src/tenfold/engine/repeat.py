"""What a run used, written into its folder, so that its own recipe repeats it to the bit."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from tenfold.core import durable
from tenfold.core.errors import RunError
from tenfold.engine.kernels import programs
from tenfold.engine.precision import Hardware
from tenfold.engine.setup import Setup
from tenfold.recipes.load import resolve, to_toml
from tenfold.recipes.schema import Recipe


def record_execution(setup: Setup, hardware: Hardware, reduce: str = "flat") -> Setup:
    """Fixes the recipe of a run, as soon as its step is prepared: without this, a measurement may choose otherwise.

    Args:
        setup: of the run.
        hardware: as used.
        reduce: how gradients of several processes were added up.

    Returns:
        The setup with the hardware and the recipe as used, which the model files hold too.

    Raises:
        StorageError: when the disk refuses.
    """
    recipe, folder = recipe_as_used(setup.recipe, hardware), setup.folder
    if setup.processes.is_several:
        recipe = resolve(recipe, {"train.reduce": reduce})
    if setup.processes.is_main:
        durable.write_text(folder.recipe, to_toml(recipe))
        environment: dict[str, Any] = {}
        with suppress(RunError):  # a missing or damaged description must not stop the training
            environment = folder.read_environment()
        execution = {**_description(hardware), "processes": setup.processes.world.size}
        durable.write_json(folder.env, {**environment, "execution": execution})
    classifier = replace(setup.classifier, recipe=recipe.model_dump(mode="json"))
    return replace(setup, recipe=recipe, hardware=hardware, classifier=classifier)


def recipe_as_used(recipe: Recipe, hardware: Hardware) -> Recipe:
    """Returns the recipe with threads, execution and precision as used, where it left the choice."""
    used = {
        "train.threads": hardware.threads,
        "train.execution": "compiled" if hardware.compiled else "eager",
        "train.precision": "float32" if hardware.autocast is None else "bfloat16",
    }
    return resolve(recipe, used)


def _description(hardware: Hardware) -> dict[str, Any]:
    return {
        "threads": hardware.threads,
        "compiled": hardware.compiled,
        "kernels": hardware.kernels,
        "processor": programs.processor(),
    }
