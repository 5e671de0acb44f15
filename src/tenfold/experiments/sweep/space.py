"""From the values of each varied key to checked trials, before the first trial starts."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product

from tenfold.core.errors import ModelError, RecipeError
from tenfold.experiments.sweep.values import MAX_TRIALS, RECIPE_KEY, Value, distinct, format_value
from tenfold.recipes.load import Overrides, load_recipe, resolve
from tenfold.recipes.messages import join_messages
from tenfold.recipes.schema import ModelSection, Recipe
from tenfold.runs.sweep_folder import Trial

_MAX_NAME_LENGTH = 60
_MAX_IMAGE_SIDE = 1024


def expand_grid(base: Recipe, vary: Mapping[str, Sequence[Value]], seeds: Sequence[int] = ()) -> list[Trial]:
    """Returns every combination of the values with every seed, in the given order; the seed changes fastest.

    Args:
        base: its seed is used if `seeds` is empty.
        vary: values by dotted key; `train.seed` may be one of them.
        seeds: of the runs of each combination.

    Raises:
        RecipeError: when a value or seed is repeated, a key has no value, or there are more than `MAX_TRIALS` trials.

    Example:
        >>> [trial.name for trial in expand_grid(Recipe(), {"optim.lr": [0.1, 1.0]}, seeds=[0, 1])]
        ['000-lr=0.1-seed=0', '001-lr=0.1-seed=1', '002-lr=1.0-seed=0', '003-lr=1.0-seed=1']
    """
    if "train.seed" in vary and len(seeds) > 1:
        raise RecipeError("--vary train.seed and --seeds both set the seeds; drop one")
    seeds = distinct("--seeds", seeds or [base.train.seed])
    vary = {key: distinct(f"--vary {key}", values) for key, values in vary.items()}
    count = math.prod(map(len, vary.values())) * len(seeds)
    if count > MAX_TRIALS:
        raise RecipeError(f"this sweep has {count:,} trials; expected at most {MAX_TRIALS:,}: vary fewer values")
    trials = []
    for number, (*values, seed) in enumerate(product(*vary.values(), seeds)):
        settings = dict(zip(vary, values, strict=True))
        name = trial_name(number, settings, seed if len(seeds) > 1 else None, count=count)
        trials.append(Trial(name, settings, settings.get("train.seed", seed), number))
    return trials


def trial_name(number: int, settings: Mapping[str, Value], seed: int | None = None, *, count: int = 1) -> str:
    """Returns a name that every file system accepts, of about 80 characters at most; its number makes it unique.

    Args:
        number: the trial's index in its sweep, from 0.
        settings: what the trial changes, by dotted key.
        seed: of the run; None leaves it out.
        count: number of trials of the sweep; from 1,001 trials on, their numbers have more than three digits.

    Example:
        >>> trial_name(3, {"model.width": 90, "model.channels": [64, 128]}, seed=1)
        '003-width=90-channels=64x128-seed=1'
    """
    lasts = [key.rpartition(".")[2] for key in settings]
    keys = [last if lasts.count(last) == 1 else key for key, last in zip(settings, lasts, strict=True)]
    parts = [f"{key}={_name_part(value)}" for key, value in zip(keys, settings.values(), strict=True)]
    stem = "-".join([f"{number:0{max(3, len(str(count - 1)))}}", *parts])
    name = re.sub(r"[^A-Za-z0-9_.=+-]+", "-", stem)[:_MAX_NAME_LENGTH].rstrip("-.=+")
    return name if seed is None else f"{name}-seed={seed}"


def complete_recipe(base: Recipe, settings: Mapping[str, Value], overrides: Overrides = ()) -> Recipe:
    """Returns the complete recipe of a trial.

    Args:
        base: what all trials share; if `settings` names another recipe, only the dataset of `base` is used.
        settings: what the trial changes, by dotted key; the key `recipe` names the recipe to start from.
        overrides: the user's changes to the base recipe; they also apply to other recipes.

    Raises:
        RecipeError: when a key, a value or a recipe name is invalid.

    Example:
        >>> complete_recipe(Recipe(), {"recipe": "deep3", "optim.lr": 0.01}).model.name
        'deep3'
    """
    changes = {key: value for key, value in settings.items() if key != RECIPE_KEY}
    if RECIPE_KEY in settings:
        size = base.data.image_size
        dataset_keys = {
            "data.source": base.data.source,
            "data.data_dir": base.data.data_dir,
            "data.labels": base.data.labels,
            "data.splits": base.data.splits,
            "data.classes_are_folders": base.data.classes_are_folders,
            "data.group": base.data.group,
            "data.folds": base.data.folds,
            "data.exclude": base.data.exclude,
            "data.relabel": base.data.relabel,
            "data.image_size": list(size) if isinstance(size, tuple) else size,
        }
        base = resolve(load_recipe(str(settings[RECIPE_KEY]), overrides), dataset_keys)
    return resolve(base, changes)


def check_trials(
    base: Recipe,
    trials: Sequence[Trial],
    *,
    overrides: Overrides = (),
    flag: str = "--vary",
) -> None:
    """Checks the settings of all trials; reports all invalid ones at once.

    If the network varies, each network is built without weights, to find invalid arguments too.

    Args:
        base: what all trials share.
        trials: what each trial changes.
        overrides: see `complete_recipe`.
        flag: command-line option that set the values, for messages.

    Raises:
        RecipeError: one line that names each invalid setting once.
    """
    errors: dict[str, Trial] = {}  # the first trial with each message
    for trial in trials:
        try:
            _check_network(complete_recipe(base, _settings(trial), overrides), trial.settings)
        except RecipeError as error:
            errors.setdefault(str(error), trial)
    if errors:
        findings = [
            finding
            for message, trial in errors.items()
            for finding in _invalid_settings(base, trial, message, overrides)
        ]
        raise RecipeError(join_messages(f"{flag} {finding}" for finding in dict.fromkeys(findings)))


def _name_part(value: Value) -> str:
    if isinstance(value, list):
        return "x".join(map(_name_part, value))
    return f"{value:.4g}" if isinstance(value, float) and len(str(value)) > 6 else format_value(value)


def _settings(trial: Trial) -> dict[str, Value]:
    return {"train.seed": trial.seed, **trial.settings}


def _check_network(recipe: Recipe, settings: Mapping[str, Value]) -> None:
    """Raises RecipeError when `settings` change the network and it cannot be built."""
    if any(key.startswith("model.") or key == "data.image_size" for key in settings):
        size = recipe.data.image_size
        if size == "auto":
            size = _MAX_IMAGE_SIDE  # a network that is too deep for these is too deep for all
        message = _network_error(recipe.model.model_dump_json(), (size, size) if isinstance(size, int) else size)
        if message:
            raise RecipeError(message)


@lru_cache(maxsize=MAX_TRIALS)
def _network_error(section: str, image_size: tuple[int, int]) -> str:
    """Returns why no network can be built from the `[model]` section (JSON), or an empty string.

    timm networks are not checked here: building one runs it on an image, which must not be larger than the real ones.
    """
    from tenfold.models.build import check_model
    from tenfold.models.timm_bridge import PREFIX

    model = ModelSection.model_validate_json(section)
    if model.name.startswith(PREFIX):
        return ""
    try:
        check_model(model.name, model.arguments, num_classes=10, image_size=image_size)
    except (RecipeError, ModelError) as error:
        return str(error)
    return ""


def _invalid_settings(base: Recipe, trial: Trial, message: str, overrides: Overrides) -> list[str]:
    """Returns a message for each setting that is invalid by itself, or one for the combination."""
    found = []
    for key, value in _settings(trial).items():
        try:
            _check_network(complete_recipe(base, {key: value}, overrides), {key: value})
        except RecipeError as error:
            if str(error) in message:
                found.append(f"{key}={format_value(value)}: {error}")
    combination = " ".join(f"{key}={format_value(value)}" for key, value in trial.settings.items())
    return [finding.replace("overrides: ", "") for finding in found or [f"{combination}: {message}"]]
