"""What runs and sweeps do before training: recipe, dataset, messages."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from tenfold.api.data import absolute_paths, request_of
from tenfold.core.devices import choose_device
from tenfold.core.progress import Progress
from tenfold.core.text import plural, size_text
from tenfold.data.build import build_dataset
from tenfold.data.types import Dataset
from tenfold.engine.target import settings_for_target
from tenfold.inspect.balance import label_warnings
from tenfold.inspect.drawn_splits import drawn_leaks
from tenfold.models.build import check_names
from tenfold.recipes.load import load_recipe, resolve
from tenfold.recipes.schema import Recipe
from tenfold.runs.folders import check_new_folder


def recipe_with_target(
    recipe: str | Path | Recipe, overrides: Sequence[str], progress: Progress
) -> tuple[Recipe, list[str]]:
    """Returns the recipe with overrides and what its target needs, and both as `section.key=value` lines.

    What a target needs is reported.
    """
    if isinstance(recipe, Recipe):  # keeps apart what was set and what is a default
        chosen = resolve(recipe.model_dump(exclude_unset=True), overrides)
    else:
        chosen = load_recipe(recipe, overrides)
    evaluate_every_set = "evaluate_every" in chosen.train.model_fields_set
    settings = settings_for_target(chosen, evaluate_every_set=evaluate_every_set)
    if settings:
        listed = ", ".join(f"{key} = {value}" for key, value in settings.items())
        progress.message(f"target: {listed} (defaults)")
    return resolve(chosen, settings), [*overrides, *(f"{key}={value}" for key, value in settings.items())]


def check_early(recipe: Recipe, runs: Path, name: str | None, *, check_network: bool = True) -> None:
    """Reports what is wrong without the data before they are prepared, which may take minutes.

    Args:
        recipe: complete.
        runs: folder for run folders.
        name: run folder name, if it was given.
        check_network: whether the recipe's network is used.

    Raises:
        RunError: when the run exists, or its name is no plain folder name.
        RecipeError: when the network or one of its arguments is unknown.
        DeviceError: when the device is missing.
    """
    choose_device(recipe.train.device)
    check_new_folder(runs, name)
    if check_network:
        check_names(recipe.model.name, recipe.model.arguments)


def timed_dataset(recipe: Recipe, progress: Progress) -> tuple[Dataset, float]:
    """Returns a recipe's dataset, and the seconds that preparing it took: 0 if it was prepared before.

    Preparing includes the search for near duplicates, whose result is remembered.
    """
    prepared_now = False

    def note(description: str, done: int, total: int) -> None:
        nonlocal prepared_now
        prepared_now = True
        progress.prepare(description, done, total)

    began = perf_counter()
    dataset = build_dataset(request_of(recipe.data), note)
    drawn_leaks(dataset, note)
    return dataset, perf_counter() - began if prepared_now else 0.0


def report_dataset(dataset: Dataset, progress: Progress) -> None:
    """Reports name and size of a dataset, its notes, and the files that were left out."""
    counts = " · ".join(f"{len(split):,} {name}" for name, split in dataset.splits().items())
    progress.message(f"data: {dataset.name}, {len(dataset.classes)} classes, {counts}, {size_text(dataset.image_size)}")
    for note in (*dataset.notes, *label_warnings(dataset)):
        progress.message(note)
    if dataset.skipped:
        first = dataset.skipped[0]
        progress.warn(f"{plural(len(dataset.skipped), 'file')} left out, the first: {first.path} ({first.reason})")


def with_actual_data(recipe: Recipe, dataset: Dataset) -> Recipe:
    """Returns the recipe with what `auto` became and with absolute paths, so that it repeats the run from anywhere."""
    settings = {**absolute_paths(recipe.data), "data.image_size": list(dataset.image_size)}
    return resolve(recipe, settings | ({"data.source": dataset.name} if recipe.data.source == "auto" else {}))
