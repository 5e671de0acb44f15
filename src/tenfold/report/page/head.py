"""Where a run's figures come from: data, recipe, time, hardware, and the command that repeats it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenfold.core.errors import RunError
from tenfold.core.text import count, duration, percent, printable
from tenfold.recipes.load import load_recipe
from tenfold.runs.run_folder import RunFolder

_SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Head:
    """What the top of a page says beside the accuracy.

    Args:
        name: of the run.
        facts: pairs of a word and what it is.
        commands: pairs of a sentence and a command line.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]


def head_of(folder: RunFolder) -> Head:
    """Returns the head of a finished run's page.

    Raises:
        RunError: when the run is not finished or a file is damaged.
        RecipeError: when its recipe is.
    """
    summary, environment = folder.read_summary(), _environment(folder)
    facts = {
        "Data": _data(summary.get("dataset", {})),
        "Recipe": _recipe(folder, summary),
        "Judged by": _views(folder, summary),
        "Time": _times(summary),
        "Hardware": _hardware(summary, environment),
        "Versions": _versions(environment),
        "Started": str(environment.get("started_utc") or "").replace("T", " ").replace("+00:00", " UTC"),
    }
    named = tuple((name, printable(text)) for name, text in facts.items() if text)
    return Head(printable(folder.path.absolute().name), named, _commands(folder, environment))


def _environment(folder: RunFolder) -> Mapping[str, Any]:
    try:
        return folder.read_environment()
    except RunError:
        return {}  # the page says less, and is no less true


def _data(dataset: Mapping[str, Any]) -> str:
    numbers = dataset.get("pictures", {})
    splits = [f"{count(numbers[split])} {word}" for split, word in _SPLITS.items() if split in numbers]
    pictures = f"{', '.join(splits)} pictures" if splits else ""
    size = "×".join(map(str, dataset.get("image_size", ())))
    return " · ".join(filter(None, [dataset.get("name"), pictures, size and f"{size} pixels"]))


def _recipe(folder: RunFolder, summary: Mapping[str, Any]) -> str:
    recipe = load_recipe(folder.recipe)
    parts = [
        f"network {recipe.model.name}",
        f"{count(summary['parameters'])} parameters" if summary.get("parameters") else None,
        f"{recipe.optim.name}",
        f"{recipe.train.duration}, {count(summary['steps'])} steps of {count(recipe.train.batch_size)} pictures"
        if summary.get("steps")
        else str(recipe.train.duration),
        f"seed {recipe.train.seed}",
    ]
    return " · ".join(filter(None, parts))


def _views(folder: RunFolder, summary: Mapping[str, Any]) -> str:
    plain = summary.get("evaluation", {}).get("plain_accuracy")
    if plain is None:
        return ""
    views = load_recipe(folder.recipe).evaluate.views
    return f"the average over several views of a picture ({views}); from one view {percent(plain)}"


def _times(summary: Mapping[str, Any]) -> str:
    training, total = summary.get("training_seconds"), summary.get("total_seconds")
    compiling = summary.get("compile_seconds")
    parts = [
        f"training {duration(training)}" if training is not None else None,
        f"compiling {duration(compiling)}" if compiling else None,
        f"all together {duration(total)}" if total is not None else None,
    ]
    return " · ".join(filter(None, parts))


def _hardware(summary: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    cores = environment.get("cores")
    parts = [
        environment.get("gpu"),
        environment.get("cpu"),
        f"{cores} core{'s' * (cores != 1)}" if cores else None,
        summary.get("hardware"),
    ]
    return " · ".join(filter(None, parts))


def _versions(environment: Mapping[str, Any]) -> str:
    names = {"tenfold": "Tenfold", "python": "Python", "torch": "PyTorch", "numpy": "NumPy", "timm": "timm"}
    return " · ".join(f"{word} {environment[name]}" for name, word in names.items() if environment.get(name))


def _commands(folder: RunFolder, environment: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    again = shlex.join(["tenfold", "train", "--recipe", str(folder.recipe)])
    commands = [("The same run again, from its own recipe", again)]
    if environment.get("command"):
        commands.append(("As it was started", shlex.join(map(str, environment["command"]))))
    return tuple((sentence, printable(command)) for sentence, command in commands)
