"""The header of a page: data, recipe, times, hardware, and the commands that repeat the run."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenfold.core.errors import RunError
from tenfold.core.text import count, duration, percent, plural, printable
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe
from tenfold.runs.run_folder import RunFolder

_SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Header:
    """The header of a page, without the accuracy.

    Args:
        name: run name.
        facts: pairs of a label and a text.
        commands: pairs of a label and a command line.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]


def run_header(folder: RunFolder) -> Header:
    """Returns the header of a finished run's page.

    Raises:
        RunError: when the run is not finished or a file is damaged.
        RecipeError: when the recipe is damaged.
    """
    summary, environment = folder.read_summary(), _environment(folder)
    recipe = load_recipe(folder.recipe)
    facts = {
        "Data": _data(summary.get("dataset", {})),
        "Recipe": _recipe(recipe, summary),
        "Evaluation": _test_time_augmentation(recipe, summary),
        "Time": _times(summary),
        "Hardware": _hardware(summary, environment),
        "Versions": _versions(environment),
        "Started": str(environment.get("started_utc") or "").replace("T", " ").replace("+00:00", " UTC"),
    }
    known = tuple((label, printable(text)) for label, text in facts.items() if text)
    return Header(printable(folder.path.absolute().name), known, _commands(folder, environment))


def _environment(folder: RunFolder) -> Mapping[str, Any]:
    try:
        return folder.read_environment()
    except RunError:
        return {}  # the page is complete without it


def _data(dataset: Mapping[str, Any]) -> str:
    counts = dataset.get("pictures", {})
    splits = [f"{count(counts[split])} {word}" for split, word in _SPLITS.items() if split in counts]
    images = f"{', '.join(splits)} images" if splits else ""
    size = "×".join(map(str, dataset.get("image_size", ())))
    return " · ".join(filter(None, [dataset.get("name"), images, size and f"{size} pixels"]))


def _recipe(recipe: Recipe, summary: Mapping[str, Any]) -> str:
    parts = [
        f"network {recipe.model.name}",
        f"{count(summary['parameters'])} parameters" if summary.get("parameters") else None,
        f"{recipe.optim.name}",
        f"duration {recipe.train.duration}",
        f"{count(summary['steps'])} steps of {count(recipe.train.batch_size)} images" if summary.get("steps") else None,
        f"seed {recipe.train.seed}",
    ]
    return " · ".join(filter(None, parts))


def _test_time_augmentation(recipe: Recipe, summary: Mapping[str, Any]) -> str:
    plain = summary.get("evaluation", {}).get("plain_accuracy")
    if plain is None:
        return ""
    return f"test-time augmentation (TTA): {recipe.evaluate.views}; accuracy without TTA: {percent(plain)}"


def _times(summary: Mapping[str, Any]) -> str:
    training, total = summary.get("training_seconds"), summary.get("total_seconds")
    compiling = summary.get("compile_seconds")
    parts = [
        f"training {duration(training)}" if training is not None else None,
        f"compiling {duration(compiling)}" if compiling else None,
        f"total {duration(total)}" if total is not None else None,
    ]
    return " · ".join(filter(None, parts))


def _hardware(summary: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    cores = environment.get("cores")
    parts = [
        environment.get("gpu"),
        environment.get("cpu"),
        plural(cores, "core") if cores else None,
        summary.get("hardware"),
    ]
    return " · ".join(filter(None, parts))


def _versions(environment: Mapping[str, Any]) -> str:
    names = {"tenfold": "Tenfold", "python": "Python", "torch": "PyTorch", "numpy": "NumPy", "timm": "timm"}
    return " · ".join(f"{word} {environment[name]}" for name, word in names.items() if environment.get(name))


def _commands(folder: RunFolder, environment: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    commands = [("Repeat this run from its recipe", shlex.join(["tenfold", "train", "--recipe", str(folder.recipe)]))]
    if environment.get("command"):
        commands.append(("Original command", shlex.join(map(str, environment["command"]))))
    return tuple((label, printable(command)) for label, command in commands)
