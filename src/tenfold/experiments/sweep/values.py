"""Reads the values of `--vary` and `--search`."""

import json
import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from tenfold.core.errors import RecipeError, SettingError
from tenfold.core.text import one_line
from tenfold.recipes.load import parse_value
from tenfold.recipes.messages import field_at
from tenfold.recipes.schema import Recipe

Value = bool | int | float | str | list[Any]
"""Value of a recipe key."""

RECIPE_KEY = "recipe"
"""Not a key of a recipe, but varied like one: the recipe that a trial starts from."""

MAX_TRIALS = 10_000
"""A larger sweep is most likely a typing error and would fill the disk."""


def parse_vary(line: str) -> tuple[str, tuple[Value, ...]]:
    """Reads a key and its values.

    Args:
        line: `section.key=value,value,…`; a value is what `--set` accepts, or a range of integers such as `0..4`, both
            ends included.

    Raises:
        RecipeError: when there is no key or no value, or a value is repeated.

    Example:
        >>> parse_vary("model.channels=[64,128],[32,64]")
        ('model.channels', ([64, 128], [32, 64]))
        >>> parse_vary("train.seed=0..3")
        ('train.seed', (0, 1, 2, 3))
    """
    key, text = split_assignment("--vary", line, "model.width=30,50,70")
    where = f"--vary {key}"
    return key, distinct(where, [value for part in split_values(where, text) for value in _values(where, key, part)])


def split_assignment(flag: str, line: str, example: str) -> tuple[str, str]:
    """Returns the key and the text after `=`.

    Args:
        flag: command-line option, for messages.
        line: `section.key=text`.
        example: of a valid line.

    Raises:
        RecipeError: when there is no `=`, no dotted key or no text.
    """
    key, _, text = (part.strip() for part in line.partition("="))
    if ("." not in key and key != RECIPE_KEY) or not all(key.split(".")) or not text:
        raise SettingError(f"{flag} {one_line(line)}: expected section.key=values, e.g. {flag} {example}")
    return key, text


def split_values(where: str, text: str) -> Iterator[str]:
    """Yields the values between commas; brackets and quotes stay together.

    Args:
        where: flag and key, for messages.
        text: one or more values.

    Raises:
        RecipeError: when a value beside a comma is empty, or a bracket or quote is not closed.

    Example:
        >>> list(split_values("--vary data.source", '[1, 2], "a,b", bare'))
        ['[1, 2]', '"a,b"', 'bare']
    """
    part = ""
    for piece in text.split(","):
        part = f"{part},{piece}" if part else piece.lstrip()
        if not part:
            shown = one_line(text)
            raise RecipeError(f"{where}={shown}: a value is missing beside a comma; expected values such as 30,50,70")
        if _is_closed(part):
            yield part.strip()
            part = ""
    if part:
        shown, opened = one_line(text), one_line(part)
        raise RecipeError(f'{where}={shown}: {opened} is not closed; expected e.g. [64,128],[32,64] or "a,b","c"')


def parse_literal(where: str, key: str, text: str) -> Value:
    """Returns the value of `text`, read as `--set` reads it.

    Args:
        where: flag and key, for messages.
        key: dotted.
        text: a TOML literal or bare text.

    Raises:
        RecipeError: when no key accepts such a value: a date, a table, infinity.
    """
    value = parse_value(key, text)
    finite = not isinstance(value, float) or math.isfinite(value)
    if not finite or not isinstance(value, bool | int | float | str | list):
        raise RecipeError(f"{where}={one_line(text)}: expected numbers, true or false, text or lists")
    return value


def distinct(where: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """Returns `values` as a tuple, if there is at least one and none is repeated.

    Raises:
        RecipeError: when there is no value, or for the first repeated one.
    """
    if not values:
        raise RecipeError(f"{where}: there is no value; expected at least one")
    for index, value in enumerate(values):
        if value in values[:index]:
            raise RecipeError(f"{where}: {format_value(value)} is given twice; expected each value once")
    return tuple(values)


def format_value(value: Value) -> str:
    """Returns a value as a user writes it on the command line.

    Example:
        >>> format_value(True), format_value([64, 128]), format_value("sgd")
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
    """Returns one value, or the integers of a range."""
    ends = re.fullmatch(r"(-?\d+)\.\.(-?\d+)", text)
    field = field_at(key, Recipe)
    if not ends or (field is not None and field.annotation is str):
        return [parse_literal(where, key, text)]
    first, last = map(int, ends.groups())
    if not first <= last < first + MAX_TRIALS:
        raise RecipeError(f"{where}={text}: expected an ascending range of at most {MAX_TRIALS:,} numbers")
    return range(first, last + 1)
