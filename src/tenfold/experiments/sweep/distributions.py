"""Search spaces: reads `--search` lines into ranges and choices."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tenfold.core.errors import RecipeError
from tenfold.experiments.sweep.space import check_trials
from tenfold.experiments.sweep.values import Value, distinct, parse_literal, split_assignment, split_values
from tenfold.recipes.messages import field_at
from tenfold.recipes.schema import Recipe
from tenfold.runs.sweep_folder import Trial

if TYPE_CHECKING:
    import optuna

_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"((?:int:|log:)*)({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?")
_EXAMPLE = "optim.lr=log:1e-4..1"
_MAX_NUMBER = 2**53
"""Optuna's storages keep every number as a 64-bit float, which is exact for integers up to here."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; integers if `low` and `high` are of type int.

    Args:
        low: less than `high`; greater than 0 if `log`.
        high: the largest number.
        log: whether to sample on a logarithmic scale.
        step: distance between neighbors; None allows any number or integer in between.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Both ends: a key that accepts them accepts all values in between."""
        return self.low, self.high

    def suggest(self, trial: "optuna.Trial", key: str) -> Value:
        """Returns the value of `key` that Optuna suggests for `trial`."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(key, self.low, self.high, step=int(self.step or 1), log=self.log)
        value = trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)
        return value if self.step is None else float(f"{value:.12g}")  # 0.3, not 0.30000000000000004

    def __str__(self) -> str:
        """Returns text that `parse_search` reads as an equal range."""
        kind = "int:" if isinstance(self.low, int) else ""
        step = "" if self.step is None else f"..{self.step}"
        return f"{kind}{'log:' if self.log else ''}{self.low}..{self.high}{step}"


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Args:
        values: at least two different values.
    """

    values: tuple[Value, ...]

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Every value."""
        return self.values

    def suggest(self, trial: "optuna.Trial", key: str) -> Value:
        """Returns the value of `key` that Optuna suggests for `trial`."""
        # Optuna's storages accept no lists.
        labels: list[Any] = [_quoted(value) if isinstance(value, list) else value for value in self.values]
        return self.values[labels.index(trial.suggest_categorical(key, labels))]

    def __str__(self) -> str:
        """Returns text that `parse_search` reads as an equal choice."""
        return ",".join(map(_quoted, self.values))


Distribution = Range | Choice


def parse_search(line: str) -> tuple[str, Distribution]:
    """Reads a key and its search space.

    Args:
        line: `section.key=` followed by `lo..hi` or `lo..hi..step`, optionally after `log:` or `int:`, or by
            `value,value,…`. Integer ends mean integers, except for a key that accepts any number.

    Raises:
        RecipeError: when there is no key, or fewer than two values to choose from.

    Example:
        >>> parse_search("optim.lr=log:1e-4..1")
        ('optim.lr', Range(low=0.0001, high=1.0, log=True, step=None))
        >>> parse_search("optim.name=sgd,muon")
        ('optim.name', Choice(values=('sgd', 'muon')))
    """
    key, text = split_assignment("--search", line, _EXAMPLE)
    where = f"--search {key}"
    match = _RANGE.fullmatch(text)
    if match:
        return key, _range(f"{where}={text}", key, *match.groups())
    if re.match(r"(log|int):", text) or ("," not in text and ".." in text):
        raise RecipeError(f"{where}={text}: expected a range of numbers lo..hi or lo..hi..step, e.g. {_EXAMPLE}")
    values = distinct(where, [parse_literal(where, key, part) for part in split_values(where, text)])
    if len(values) == 1:
        raise RecipeError(f"{where}={text}: one value leaves nothing to search; set it with --set, or give a range")
    return key, Choice(values)


def check_space(base: Recipe, space: Mapping[str, Distribution]) -> None:
    """Checks that the recipe accepts both ends of every range and every choice, each by itself.

    Args:
        base: what all trials share.
        space: distributions by dotted key.

    Raises:
        RecipeError: one line that names each invalid setting.
    """
    extremes = [(key, value) for key, distribution in space.items() for value in distribution.extremes]
    trials = [Trial("", {key: value}, base.train.seed, number) for number, (key, value) in enumerate(extremes)]
    check_trials(base, trials, flag="--search")


def _range(where: str, key: str, kind: str, low: str, high: str, step: str | None) -> Range:
    """Returns a range from its parts, or raises RecipeError."""
    ends = [low, high] if step is None else [low, high, step]
    integers = "int:" in kind or (_accepts_integers(key) and all(map(_is_integer, ends)))
    if integers and not all(map(_is_integer, ends)):
        raise RecipeError(f"{where}: 'int:' means integers; expected integer ends such as int:16..512")
    convert = int if integers else float
    result = Range(convert(low), convert(high), "log:" in kind, None if step is None else convert(step))
    problem = _range_problem(result)
    if problem:
        raise RecipeError(f"{where}: {problem}")
    return result


def _range_problem(searched: Range) -> str:
    """Returns what is wrong with a range, or an empty string."""
    low, high, step = searched.low, searched.high, searched.step
    if max(abs(low), abs(high)) > _MAX_NUMBER:
        return f"the ends are too large; expected at most {_MAX_NUMBER:,}"
    if low >= high:
        return f"{low} is not less than {high}; expected lo..hi, the smaller end first"
    if searched.log and low <= 0:
        return f"'log:' starts at {low}; expected a number above 0, e.g. {_EXAMPLE}"
    if step is None:
        return ""
    if searched.log:
        return "'log:' allows no step; leave out one of the two"
    if not 0 < step <= high - low:
        return (
            f"the step {step} does not fit between {low} and {high}; expected one above 0 and of at most {high - low}"
        )
    rest = (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step))
    return f"steps of {step} do not end at {high}; the last ends at {Decimal(str(high)) - rest}" if rest else ""


def _accepts_integers(key: str) -> bool:
    """Returns whether integer ends mean integers: not for a key that accepts any number."""
    field = field_at(key, Recipe)
    return field is None or field.annotation is not float


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", text) is not None


def _quoted(value: Value) -> str:
    """Returns text that is read as the same value; a string is quoted unless it is a plain word."""
    if isinstance(value, str) and re.fullmatch(r"(?!(true|false|inf|nan)$)[A-Za-z]\w*", value):
        return value
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
