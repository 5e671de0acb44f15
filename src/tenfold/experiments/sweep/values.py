"""Values as a user writes them behind `--vary` and `--search`."""

import json
import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from tenfold.core.errors import RecipeError
from tenfold.recipes.load import read_value
from tenfold.recipes.messages import field_at
from tenfold.recipes.schema import Recipe

Value = bool | int | float | str | list[Any]
"""What a key of a recipe may be set to."""

RECIPE = "recipe"
"""Not a key of a recipe, but varied like one: which recipe a trial begins with."""

MOST_TRIALS = 10_000
"""A sweep of more is a slip of the hand, and would fill the disk before anyone looked."""


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
    if ("." not in key and key != RECIPE) or not all(key.split(".")) or not text:
        raise RecipeError(f"{flag} {_in_one_line(line)}: expected section.key=values, e.g. {flag} {example}")
    return key, text


def _in_one_line(text: str) -> str:
    """Returns text fit for a message, whatever ends of lines it holds."""
    return " ".join(text.split())


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
            shown = _in_one_line(text)
            raise RecipeError(f"{where}={shown}: a value is missing beside a comma; expected values such as 30,50,70")
        if _is_closed(part):
            yield part.strip()
            part = ""
    if part:
        shown, opened = _in_one_line(text), _in_one_line(part)
        raise RecipeError(f'{where}={shown}: {opened} is not closed; expected e.g. [64,128],[32,64] or "a,b","c"')


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
        raise RecipeError(f"{where}={_in_one_line(text)}: expected numbers, true or false, text or lists")
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
