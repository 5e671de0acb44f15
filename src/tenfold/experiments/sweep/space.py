"""What a sweep varies: from the values of each key to checked trials, before the first of them starts."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product

from tenfold.core.errors import ModelError, RecipeError
from tenfold.experiments.sweep.values import MOST_TRIALS, RECIPE, Value, distinct, written
from tenfold.recipes.load import Overrides, load_recipe, resolve
from tenfold.recipes.messages import join_findings
from tenfold.recipes.schema import ModelSection, Recipe
from tenfold.runs.sweep_folder import Trial

_LONGEST_NAME = 60
_LARGEST_SIDE = 1024


def expand(base: Recipe, vary: Mapping[str, Sequence[Value]], seeds: Sequence[int] = ()) -> list[Trial]:
    """Returns every combination of the values with every seed, in the order given, seeds fastest.

    Args:
        base: gives the seed where none is given.
        vary: values by dotted key; `train.seed` may be one of them.
        seeds: of each combination's runs.

    Raises:
        RecipeError: when a value or seed is repeated, a key has none, or there are more than `MOST_TRIALS` trials.

    Example:
        >>> [trial.name for trial in expand(Recipe(), {"optim.lr": [0.1, 1.0]}, seeds=[0, 1])]
        ['000-lr=0.1-seed=0', '001-lr=0.1-seed=1', '002-lr=1.0-seed=0', '003-lr=1.0-seed=1']
    """
    if "train.seed" in vary and len(seeds) > 1:
        raise RecipeError("--vary train.seed and --seeds both say which seeds to take; drop one")
    seeds = distinct("--seeds", seeds or [base.train.seed])
    vary = {key: distinct(f"--vary {key}", values) for key, values in vary.items()}
    count = math.prod(map(len, vary.values())) * len(seeds)
    if count > MOST_TRIALS:
        raise RecipeError(f"this sweep has {count:,} trials; expected at most {MOST_TRIALS:,}: vary fewer values")
    trials = []
    for number, (*values, seed) in enumerate(product(*vary.values(), seeds)):
        settings = dict(zip(vary, values, strict=True))
        name = trial_name(number, settings, seed if len(seeds) > 1 else None, count=count)
        trials.append(Trial(name, settings, settings.get("train.seed", seed), number))
    return trials


def trial_name(number: int, settings: Mapping[str, Value], seed: int | None = None, *, count: int = 1) -> str:
    """Returns a name that every file system takes, of at most 80 signs or so; its number makes it unique.

    Args:
        number: the trial's place in its sweep, from 0.
        settings: what the trial changes, by dotted key.
        seed: of the run, where that tells it from others.
        count: trials in the whole sweep; from 1,001 on their numbers have more than three digits.

    Example:
        >>> trial_name(3, {"model.width": 90, "model.channels": [64, 128]}, seed=1)
        '003-width=90-channels=64x128-seed=1'
    """
    lasts = [key.rpartition(".")[2] for key in settings]
    keys = [last if lasts.count(last) == 1 else key for key, last in zip(settings, lasts, strict=True)]
    parts = [f"{key}={_in_name(value)}" for key, value in zip(keys, settings.values(), strict=True)]
    stem = "-".join([f"{number:0{max(3, len(str(count - 1)))}}", *parts])
    name = re.sub(r"[^A-Za-z0-9_.=+-]+", "-", stem)[:_LONGEST_NAME].rstrip("-.=+")
    return name if seed is None else f"{name}-seed={seed}"


def complete(base: Recipe, settings: Mapping[str, Value], overrides: Overrides = ()) -> Recipe:
    """Returns the complete recipe of a trial.

    Args:
        base: what all trials share; where `settings` names another recipe, only its pictures are shared.
        settings: what the trial changes, by dotted key; `recipe` names the recipe to begin with.
        overrides: what the user changed in the base recipe, and means for the other recipes too.

    Raises:
        RecipeError: in one line, when a key, a value or a recipe is refused.

    Example:
        >>> complete(Recipe(), {"recipe": "deep3", "optim.lr": 0.01}).model.name
        'deep3'
    """
    own = {key: value for key, value in settings.items() if key != RECIPE}
    if RECIPE in settings:
        size = base.data.image_size
        pictures = {
            "data.source": base.data.source,
            "data.data_dir": base.data.data_dir,
            "data.exclude": base.data.exclude,
            "data.relabel": base.data.relabel,
            "data.image_size": list(size) if isinstance(size, tuple) else size,
        }
        base = resolve(load_recipe(str(settings[RECIPE]), overrides), pictures)
    return resolve(base, own)


def check_all(
    base: Recipe,
    trials: Sequence[Trial],
    *,
    overrides: Overrides = (),
    image_size: tuple[int, int] | None = None,
    flag: str = "--vary",
) -> list[Recipe]:
    """Returns the complete recipe of each trial, its seed included; all that is refused comes in one message.

    Where the network varies, each is built without weights, so that its own refusals are among them.

    Args:
        base: what all trials share.
        trials: what each changes.
        overrides: see `complete`.
        image_size: height and width of the pictures, where they are known already.
        flag: behind which the user wrote the settings.

    Raises:
        RecipeError: in one line that names each refused setting once.
    """
    recipes = []
    refused: dict[str, Trial] = {}  # by reason, the first trial of each
    for trial in trials:
        try:
            recipes.append(_buildable(complete(base, _settings(trial), overrides), trial.settings, image_size))
        except RecipeError as error:
            refused.setdefault(str(error), trial)
    if refused:
        findings = [
            f for reason, trial in refused.items() for f in _findings(base, trial, reason, overrides, image_size)
        ]
        raise RecipeError(join_findings(f"{flag} {finding}" for finding in dict.fromkeys(findings)))
    return recipes


def _in_name(value: Value) -> str:
    if isinstance(value, list):
        return "x".join(map(_in_name, value))
    return f"{value:.4g}" if isinstance(value, float) and len(str(value)) > 6 else written(value)


def _settings(trial: Trial) -> dict[str, Value]:
    return {"train.seed": trial.seed, **trial.settings}


def _buildable(recipe: Recipe, settings: Mapping[str, Value], image_size: tuple[int, int] | None) -> Recipe:
    """Returns `recipe`, whose network can be built where `settings` touch it; raises RecipeError."""
    if any(key.startswith("model.") or key == "data.image_size" for key in settings):
        size = recipe.data.image_size
        if size == "auto":
            # As large as pictures get: what is refused here is refused everywhere.
            size = image_size or _LARGEST_SIDE
        reason = _why_no_network(recipe.model.model_dump_json(), (size, size) if isinstance(size, int) else size)
        if reason:
            raise RecipeError(reason)
    return recipe


@lru_cache(maxsize=MOST_TRIALS)
def _why_no_network(section: str, image_size: tuple[int, int]) -> str:
    """Returns why no network can be built from `[model]`, as JSON, or an empty string.

    One of timm is left for later: building it tries it out on a picture, which must not be larger than the real ones.
    """
    from tenfold.models.build import check_model
    from tenfold.models.timm_bridge import PREFIX

    model = ModelSection.model_validate_json(section)
    if model.name.startswith(PREFIX):
        return ""
    try:
        check_model(model.name, model.arguments, classes=10, image_size=image_size)
    except (RecipeError, ModelError) as error:
        return str(error)
    return ""


def _findings(
    base: Recipe, trial: Trial, reason: str, overrides: Overrides, image_size: tuple[int, int] | None
) -> list[str]:
    """Returns a finding for each setting that is refused by itself, or one for what does not go together."""
    found = []
    for key, value in _settings(trial).items():
        try:
            _buildable(complete(base, {key: value}, overrides), {key: value}, image_size)
        except RecipeError as error:
            if str(error) in reason:
                found.append(f"{key}={written(value)}: {error}")
    together = " ".join(f"{key}={written(value)}" for key, value in trial.settings.items())
    return [finding.replace("overrides: ", "") for finding in found or [f"{together}: {reason}"]]
