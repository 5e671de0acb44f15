"""What a page says about a run: data, recipe, times, hardware, use of the test images, commands to repeat it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenfold.core.errors import RunError, TenfoldError
from tenfold.core.text import count, duration, epochs_text, percent, plural, printable, size_text
from tenfold.data.sampling import Order
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe
from tenfold.runs.changes import Change
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder

_TIMES = {2: "twice", 3: "three times", 4: "four times"}
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
    """Returns the header of a run's page; that of an unfinished run says what was asked for.

    Raises:
        RunError: when a file is damaged.
        RecipeError: when the recipe is damaged.
    """
    summary, environment = folder.read_summary() if folder.is_finished else {}, _environment(folder)
    recipe = load_recipe(folder.recipe)
    facts = {
        "Data": _data(summary.get("dataset", {})) or recipe.data.source,
        "Recipe": _recipe(recipe, summary),
        "Training": training_text(recipe, summary) if summary else f"{recipe.train.duration} asked for",
        "Not as asked for": _changes(summary, resumed=False),
        "Changed by a resume": _changes(summary, resumed=True),
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
    size = size_text(dataset["image_size"]) if "image_size" in dataset else ""
    return " · ".join(filter(None, [dataset.get("name"), images, size and f"{size} pixels", _groups(dataset)]))


def _groups(dataset: Mapping[str, Any]) -> str:
    """Returns which groups the splits keep together, and how many images share one with train."""
    found = dataset.get("groups")
    if not found:
        return ""
    torn = {split: number for split, number in found["shared"].items() if number}
    shared = [f"{plural(number, f'{split} image')} with a group in train" for split, number in torn.items()]
    return f"groups by {found['by']}: {', '.join(shared) or 'none in two splits'}"


def _recipe(recipe: Recipe, summary: Mapping[str, Any]) -> str:
    parts = [
        f"network {recipe.model.name}",
        f"{count(summary['parameters'])} parameters" if summary.get("parameters") else None,
        _rule(recipe, summary),
        f"seed {recipe.train.seed}",
    ]
    return " · ".join(filter(None, parts))


def _times_text(times: float) -> str:
    return _TIMES.get(round(times), f"{round(times)} times") if times > 1 else "once"


def _rule(recipe: Recipe, summary: Mapping[str, Any]) -> str:
    head = summary.get("head") or {}
    if recipe.train.layers == "head":
        return "frozen but for its head" + (f", L2 strength {head['l2']:g}" if head else "")
    return f"{recipe.optim.name}, learning rate {recipe.optim.lr:g}"


def training_text(recipe: Recipe, summary: Mapping[str, Any]) -> str:
    """Returns how long a finished run trained, and with which batches: `8 epochs · 250 steps of 36 images`.

    What the recipe asks for is said only where it differs. A run of a version that did not record the batch size says
    only its steps.
    """
    steps, batch_size, alone = summary.get("steps"), summary.get("batch_size"), _head_alone(summary)
    num_images = summary.get("dataset", {}).get("pictures", {}).get("train")
    if not steps:
        return alone
    text = plural(steps, "step")
    if recipe.train.layers == "head" and num_images and batch_size:
        return f"each of {plural(num_images, 'image')} shown {_times_text(steps / -(-num_images // batch_size))}"
    if not batch_size or not num_images:
        return text
    text += f" of {plural(batch_size, 'image')}"
    per_epoch = Order(num_images, batch_size, recipe.train.seed, drop_last=recipe.train.drop_last).num_batches
    request = _request(recipe, summary, steps, per_epoch)
    return " · ".join(filter(None, [epochs_text(steps / per_epoch), text + request, alone]))


def _head_alone(summary: Mapping[str, Any]) -> str:
    """Returns that the model is the head alone although all layers were trained after it; empty where it is not."""
    head = summary.get("head")
    if not isinstance(head, Mapping) or not head.get("kept"):
        return ""
    if not summary.get("steps"):
        return "the model is the head alone, before any step"
    return "the model is the head alone, fitted before: all layers were no better on the validation images"


def _request(recipe: Recipe, summary: Mapping[str, Any], steps: int, steps_per_epoch: int) -> str:
    """Returns the duration that the recipe asks for with the reason why another one ran; empty where it ran."""
    duration_asked, target = recipe.train.duration, summary.get("target")
    asked = duration_asked.steps(steps_per_epoch)
    if asked is None:
        return f" · planned for {duration_asked}"
    if steps > asked:
        is_told = any(
            change.get("key") in ("train.duration", "train.min_steps") for change in summary.get("changes") or ()
        )
        return "" if is_told else f" · {duration_asked} asked for, but at least {count(recipe.train.min_steps)} steps"
    if steps == asked:
        return ""
    reason = "as the validation accuracy no longer improved"
    if isinstance(target, Mapping) and target.get("reached"):
        reason = "as the target was reached"
    return f" · stopped before the {duration_asked} asked for, {reason}"


def _changes(summary: Mapping[str, Any], *, resumed: bool) -> str:
    changes = [Change(**change) for change in summary.get("changes") or ()]
    return " · ".join(str(change) for change in changes if change.is_of_resume == resumed)


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
        f"in {sessions} sessions" if (sessions := summary.get("sessions") or 1) > 1 else None,
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


def use_of_test_images(folder: RunFolder, summary: Mapping[str, Any]) -> str:
    """Returns how often training evaluated the test images, and whether they chose among runs; empty if unknown.

    Args:
        folder: of a finished run. Without `evaluations` in its summary, the log is counted.
        summary: its `summary.json`.
    """
    return " ".join(filter(None, (_evaluations_text(_evaluations(folder, summary)), _sweep_text(folder, summary))))


def _evaluations(folder: RunFolder, summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "evaluations" in summary:
        return list(summary["evaluations"] or [])
    try:
        return [event for event in read_log(folder.log) if event.get("event") == "finished"]
    except TenfoldError:
        return []  # unknown, so nothing is claimed


def _evaluations_text(evaluations: Sequence[Mapping[str, Any]]) -> str:
    if len(evaluations) < 2:
        return "The test images were used once, after training." * len(evaluations)
    epochs = [f"{one['epochs']:g}" if one.get("epochs") is not None else "" for one in evaluations]
    unit, ends = "epochs", epochs
    if "" in epochs or len(set(epochs)) < len(epochs):
        unit, ends = "steps", [count(one.get("step", 0)) for one in evaluations]
    times = _TIMES.get(len(ends), f"{len(ends)} times")
    return (
        f"The test images were evaluated {times}: after {', '.join(ends[:-1])} and {ends[-1]} {unit}. Whoever trained "
        "on could see the earlier result, so this figure is not from untouched images."
    )


def _sweep_text(folder: RunFolder, summary: Mapping[str, Any]) -> str:
    """Returns a sentence for a trial of a sweep whose settings are compared by their test accuracy."""
    sweep = folder.path.absolute().parent.parent
    is_trial = folder.path.absolute().parent.name == "trials" and SweepFolder.is_sweep(sweep)
    if not is_trial or summary.get("val_accuracy") is not None:
        return ""
    try:
        is_choice = SweepFolder.open(sweep).plan().get("kind") != "seeds"
    except TenfoldError:
        return ""
    if not is_choice:
        return ""
    return (
        f"This run is one of the sweep {sweep.name}, which compares its settings on these test images: the accuracy of "
        "the best one is optimistic."
    )
