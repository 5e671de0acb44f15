"""What a sweep varies: from `--vary` lines to checked trials, before the first of them starts."""

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

from tenfold.core.errors import ModelError, RecipeError
from tenfold.recipes.load import _value as read_value
from tenfold.recipes.load import resolve
from tenfold.recipes.messages import field_at, join_findings
from tenfold.recipes.schema import ModelSection, Recipe
from tenfold.runs.sweepfolder import Trial

Value = bool | int | float | str | list[Any]
"""What a key of a recipe may be set to."""

MOST_TRIALS = 10_000
"""A sweep of more is a slip of the hand, and would fill the disk before anyone looked."""

_LONGEST_NAME = 60
_LARGEST_SIDE = 1024


def parse_vary(line: str) -> tuple[str, tuple[Value, ...]]:
    """Reads a key and the values that it takes in turn.

    Args:
        line: `section.key=value,value,…`; a value is what `--set` takes, or a range of whole numbers such as
            `0..4`, both ends included.

    Raises:
        RecipeError: when there is no key, no value, or one value twice.

    Example:
        >>> parse_vary("model.channels=[64,128],[32,64]")
        ('model.channels', ([64, 128], [32, 64]))
        >>> parse_vary("train.seed=0..3")
        ('train.seed', (0, 1, 2, 3))
    """
    key, text = split_line("--vary", line, "model.width=30,50,70")
    where = f"--vary {key}"
    return key, distinct(where, [value for part in split_values(where, text) for value in _values(where, key, part)])


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


def check_all(
    base: Recipe, trials: Sequence[Trial], *, image_size: tuple[int, int] | None = None, flag: str = "--vary"
) -> list[Recipe]:
    """Returns the complete recipe of each trial, its seed included; all that is refused comes in one message.

    Where the network varies, each is built without weights, so that its own refusals are among them.

    Args:
        base: what all trials share.
        trials: what each changes.
        image_size: height and width of the pictures, where they are known already.
        flag: behind which the user wrote the settings.

    Raises:
        RecipeError: in one line that names each refused setting once.
    """
    recipes = []
    refused: dict[str, Trial] = {}  # by reason, the first trial of each
    for trial in trials:
        try:
            recipes.append(_complete(base, _settings(trial), image_size))
        except RecipeError as error:
            refused.setdefault(str(error), trial)
    if refused:
        findings = [f for reason, trial in refused.items() for f in _findings(base, trial, reason, image_size)]
        raise RecipeError(join_findings(f"{flag} {finding}" for finding in dict.fromkeys(findings)))
    return recipes


def split_line(flag: str, line: str, example: str) -> tuple[str, str]:
    """Returns the key and the text behind `=`.

    Args:
        flag: behind which the user wrote the line.
        line: `section.key=text`.
        example: of what would have been right.

    Raises:
        RecipeError: when there is no `=`, no dotted key or no text.
    """
    key, _, text = (part.strip() for part in line.partition("="))
    if "." not in key or not all(key.split(".")) or not text:
        raise RecipeError(f"{flag} {' '.join(line.split())}: expected section.key=values, e.g. {flag} {example}")
    return key, text


def split_values(where: str, text: str) -> Iterator[str]:
    """Yields what lies between commas, brackets and quotes kept together.

    Args:
        where: flag and key, for messages.
        text: one or more values.

    Raises:
        RecipeError: when there is nothing beside a comma, or a bracket or quote stays open.

    Example:
        >>> list(split_values("--vary data.source", '[1, 2], "a,b", bare'))
        ['[1, 2]', '"a,b"', 'bare']
    """
    part = ""
    for piece in text.split(","):
        part = f"{part},{piece}" if part else piece.lstrip()
        if not part:
            raise RecipeError(f"{where}={text}: a value is missing beside a comma; expected values such as 30,50,70")
        if _is_closed(part):
            yield part.strip()
            part = ""
    if part:
        raise RecipeError(f'{where}={text}: {part} is not closed; expected e.g. [64,128],[32,64] or "a,b","c"')


def literal(where: str, key: str, text: str) -> Value:
    """Returns the value that `--set` reads from `text`.

    Args:
        where: flag and key, for messages.
        key: dotted.
        text: a TOML literal or bare text.

    Raises:
        RecipeError: when no key takes such a value: a date, a table, infinity.
    """
    value = read_value(key, text)
    finite = not isinstance(value, float) or math.isfinite(value)
    if not finite or not isinstance(value, bool | int | float | str | list):
        raise RecipeError(f"{where}={text}: expected numbers, true or false, text or lists")
    return value


def distinct(where: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """Returns `values`: at least one, and none twice.

    Raises:
        RecipeError: when there is none, or with the first that appears again.
    """
    if not values:
        raise RecipeError(f"{where}: there is no value; expected at least one")
    for place, value in enumerate(values):
        if value in values[:place]:
            raise RecipeError(f"{where}: {written(value)} is given twice; expected each value once")
    return tuple(values)


def written(value: Value) -> str:
    """Returns a value as a user writes it.

    Example:
        >>> written(True), written([64, 128]), written("sgd")
        ('true', '[64, 128]', 'sgd')
    """
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _is_closed(text: str) -> bool:
    if text[:1] not in ("[", "{", '"', "'"):
        return True
    try:
        return bool(tomllib.loads(f"value = {text}"))
    except (ValueError, RecursionError):
        return False


def _values(where: str, key: str, text: str) -> Sequence[Value]:
    """Returns one value, or those of a range of whole numbers."""
    ends = re.fullmatch(r"(-?\d+)\.\.(-?\d+)", text)
    field = field_at(key, Recipe)
    if not ends or (field is not None and field.annotation is str):
        return [literal(where, key, text)]
    first, last = map(int, ends.groups())
    if not first <= last < first + MOST_TRIALS:
        raise RecipeError(f"{where}={text}: expected a range that rises, of at most {MOST_TRIALS:,} numbers")
    return range(first, last + 1)


def _in_name(value: Value) -> str:
    if isinstance(value, list):
        return "x".join(map(_in_name, value))
    return f"{value:.4g}" if isinstance(value, float) and len(str(value)) > 6 else written(value)


def _settings(trial: Trial) -> dict[str, Value]:
    return {"train.seed": trial.seed, **trial.settings}


def _complete(base: Recipe, settings: Mapping[str, Value], image_size: tuple[int, int] | None) -> Recipe:
    """Returns `base` with `settings` in it, whose network can be built; raises RecipeError."""
    recipe = resolve(base, settings)
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
    """Returns why no network can be built from `[model]`, as JSON, or an empty string."""
    import torch

    from tenfold.models.build import build_model

    model = ModelSection.model_validate_json(section)
    try:
        with torch.device("meta"):  # no memory, and no random numbers are drawn
            build_model(model.name, model.arguments, classes=10, image_size=image_size)
    except (RecipeError, ModelError) as error:
        return str(error)
    return ""


def _findings(base: Recipe, trial: Trial, reason: str, image_size: tuple[int, int] | None) -> list[str]:
    """Returns a finding for each setting that is refused by itself, or one for what does not go together."""
    found = []
    for key, value in _settings(trial).items():
        try:
            _complete(base, {key: value}, image_size)
        except RecipeError as error:
            if str(error) in reason:
                found.append(f"{key}={written(value)}: {error}")
    together = " ".join(f"{key}={written(value)}" for key, value in trial.settings.items())
    return [finding.replace("overrides: ", "") for finding in found or [f"{together}: {reason}"]]
