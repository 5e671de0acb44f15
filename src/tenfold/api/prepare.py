"""What runs and sweeps do before training: recipe, dataset, messages."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from tenfold.api.data import DataSource, absolute_paths, given_dataset, request_of
from tenfold.api.weights import enlarged_text, with_weights
from tenfold.core.devices import choose_device
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.text import plural, size_text
from tenfold.data.build import build_dataset
from tenfold.data.types import Dataset, Leak
from tenfold.engine import preflight
from tenfold.engine.plan import make_plan
from tenfold.engine.target import settings_for_target
from tenfold.inspect.balance import label_warnings
from tenfold.inspect.drawn_splits import drawn_leaks
from tenfold.inspect.groups import group_lines, group_warnings
from tenfold.models.build import check_names
from tenfold.recipes.load import key_of, load_recipe, resolve
from tenfold.recipes.schema import HEAD_KEYS, Recipe
from tenfold.runs.folders import check_new_folder

_SAME_STEP = (
    *("train.seed", "train.duration", "train.min_steps", "train.log_every", "train.checkpoint_every"),
    *("data.source", "data.data_dir", "data.val_fraction", "data.test_fraction", "data.split_seed"),
)
"""Keys that leave the training step of a run's recipe as it is."""

_STEP_KEYS = tuple(
    f"train.{name}" for name in ("early_stop", "evaluate_every", "frozen_batch_norm", "execution", "fuse")
)


def recipe_with_target(
    recipe: str | Path | Recipe,
    overrides: Sequence[str],
    progress: Progress,
    varied: Collection[str] = (),
) -> tuple[Recipe, list[str]]:
    """Returns the recipe with overrides and what its target needs, and both as `section.key=value` lines.

    What a target needs is reported. The execution that a run has recorded is left open again where another training
    is asked for, which may not be possible that way.

    Args:
        recipe: name, file or folder, or a recipe.
        overrides: `"section.key=value"` each.
        progress: receives messages.
        varied: keys that the trials of a sweep change.
    """
    keys = {key_of(line) for line in overrides}
    changed = sorted(key for key in keys | set(varied) if not key.startswith(_SAME_STEP))
    if changed and "train.execution" not in keys and not isinstance(recipe, Recipe) and _is_of_run(Path(recipe)):
        progress.message(f"train.execution = auto, because {changed[0]} is not the run's")
        overrides = ["train.execution=auto", *overrides]
    if isinstance(recipe, Recipe):  # keeps apart what was set and what is a default
        chosen = resolve(recipe.model_dump(exclude_unset=True), overrides)
    else:
        chosen = load_recipe(recipe, overrides)
    if chosen.train.layers == "head" and (unused := sorted(key for key in keys if has_no_effect_on_a_head(key))):
        verb = "has" if len(unused) == 1 else "have"
        progress.message(
            f"{', '.join(unused)} {verb} no effect: train.layers = head fits the head without training steps"
        )
    evaluate_every_set = "evaluate_every" in chosen.train.model_fields_set
    settings = settings_for_target(chosen, evaluate_every_set=evaluate_every_set)
    if settings:
        listed = ", ".join(f"{key} = {value}" for key, value in settings.items())
        progress.message(f"target: {listed} (defaults)")
    return resolve(chosen, settings), [*overrides, *(f"{key}={value}" for key, value in settings.items())]


def has_no_effect_on_a_head(key: str) -> bool:
    """Returns whether a recipe key is about training steps, which a head that is fitted to features does without."""
    return key in _STEP_KEYS or (key.startswith("optim.") and key.removeprefix("optim.") not in HEAD_KEYS)


def is_futile_to_vary(key: str) -> bool:
    """Returns whether heads that are fitted with several values of a recipe key are all the same."""
    return key == "train.batch_size" or has_no_effect_on_a_head(key)  # features are computed in batches


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


def _is_of_run(recipe: Path) -> bool:
    """Returns whether a recipe is that of a run or the best of a sweep, which hold what ran."""
    folder = recipe if recipe.is_dir() else recipe.parent
    return recipe.exists() and (folder / "env.json").is_file()


class OnlyPreparation(SilentProgress):
    """Passes on how far the preparation of data is, and leaves out messages and warnings, which were shown before."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def warn(self, text: str) -> None:
        """Does nothing."""

    def prepare(self, description: str, done: int, total: int) -> None:
        """Passes on the progress."""
        self._progress.prepare(description, done, total)


class Task(NamedTuple):
    """What a run trains.

    Args:
        name: of the recipe, as run folders have it.
        recipe: complete, with what `auto` became.
        dataset: see `Dataset`.
        leaks: see `drawn_leaks`; None where nobody has looked yet.
        seconds: that preparing the dataset and the search for near duplicates took; 0 if both were done before.
    """

    name: str
    recipe: Recipe
    dataset: Dataset
    leaks: Mapping[str, Leak] | None = None
    seconds: float = 0.0


def prepared_task(
    name: str,
    recipe: Recipe,
    data: DataSource | None,
    progress: Progress,
    *,
    is_own: bool = False,
) -> Task:
    """Returns a recipe with its dataset, reported and checked: what does not fit together must not leave a run folder.

    Args:
        name: of the recipe.
        recipe: complete.
        data: as for `train`.
        progress: receives messages and the progress of the preparation.
        is_own: whether the user's own network replaces the recipe's.

    Raises:
        TenfoldError: one line with what was found, what was expected and what to do.
    """
    is_source = isinstance(data, str | Path | None)
    recipe = with_weights(recipe, progress, is_own=is_own, in_memory=not is_source)
    given = given_dataset(data, recipe.data)
    if data is not None and not isinstance(data, Dataset):
        recipe = resolve(recipe, {"data.source": str(data) if given is None else given.name})
    dataset, leaks, seconds = _prepared_dataset(recipe, progress) if given is None else (given, None, 0.0)
    report_dataset(dataset, progress, recipe)
    recipe = with_actual_data(recipe, dataset)
    make_plan(recipe, dataset)
    if not is_own:
        preflight.check_network(recipe, dataset)
        preflight.check_execution(recipe, dataset)
    return Task(name, recipe, dataset, leaks, seconds)


class Preparation:
    """Times what prepares data: 0 seconds where it was all there before. A `ProgressCallback` that passes reports on.

    Args:
        progress: receives the reports.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress, self._has_worked, self._began = progress, False, perf_counter()

    def __call__(self, description: str, done: int, total: int) -> None:
        self._has_worked = True
        self._progress.prepare(description, done, total)

    def seconds(self) -> float:
        """Returns the seconds since the start, if anything was reported."""
        return perf_counter() - self._began if self._has_worked else 0.0


def _prepared_dataset(recipe: Recipe, progress: Progress) -> tuple[Dataset, Mapping[str, Leak], float]:
    """Returns a recipe's dataset, the near duplicates in it, and the seconds that it took to make both."""
    preparation = Preparation(progress)
    dataset = build_dataset(request_of(recipe.data), preparation)
    leaks = drawn_leaks(dataset, preparation)
    return dataset, leaks, preparation.seconds()


def report_dataset(dataset: Dataset, progress: Progress, recipe: Recipe) -> None:
    """Reports name and size of a dataset, its notes, what is unusual about its labels, and files that were left out."""
    counts = " · ".join(f"{len(split):,} {name}" for name, split in dataset.splits().items() if len(split))
    progress.message(f"data: {dataset.name}, {len(dataset.classes)} classes, {counts}, {size_text(dataset.image_size)}")
    if dataset.layout:
        progress.message(dataset.layout)
    balanced = recipe.optim.class_weights != "none" or recipe.data.balance > 0
    for note in (*dataset.notes, *group_lines(dataset), *label_warnings(dataset, balanced=balanced)):
        progress.message(note)
    if (enlarged := enlarged_text(recipe, dataset)) is not None:
        progress.message(enlarged)
    for warning in group_warnings(dataset, in_folds=recipe.data.folds > 0):
        progress.warn(warning)
    if dataset.skipped:
        first = dataset.skipped[0]
        progress.warn(f"{plural(len(dataset.skipped), 'file')} left out, the first: {first.path} ({first.reason})")


def with_actual_data(recipe: Recipe, dataset: Dataset) -> Recipe:
    """Returns the recipe with what `auto` became and with absolute paths, so that it repeats the run from anywhere."""
    settings = {**absolute_paths(recipe.data), "data.image_size": list(dataset.image_size)}
    return resolve(recipe, settings | ({"data.source": dataset.name} if recipe.data.source == "auto" else {}))
