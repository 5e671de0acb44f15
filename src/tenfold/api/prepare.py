"""What runs and sweeps do before training: recipe, dataset, messages."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from tenfold.api.data import request_of
from tenfold.core.progress import Progress
from tenfold.core.text import plural, size_text
from tenfold.data.build import build_dataset
from tenfold.data.types import Dataset
from tenfold.engine.target import settings_for_target
from tenfold.inspect.balance import label_warnings
from tenfold.inspect.drawn_splits import drawn_leaks
from tenfold.recipes.load import load_recipe, resolve
from tenfold.recipes.schema import Recipe


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
    """Returns the recipe with the source and image size that `auto` became, so that it repeats the run."""
    source = dataset.name if recipe.data.source == "auto" else recipe.data.source
    return resolve(recipe, {"data.source": source, "data.image_size": list(dataset.image_size)})
