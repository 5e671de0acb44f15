"""Where the value of a key is searched: from `--search` lines to ranges and choices."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tenfold.core.errors import RecipeError
from tenfold.experiments.sweep.space import check_all
from tenfold.experiments.sweep.values import Value, distinct, literal, split_line, split_values
from tenfold.recipes.messages import field_at
from tenfold.recipes.schema import Recipe
from tenfold.runs.sweep_folder import Trial

if TYPE_CHECKING:
    import optuna

_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"((?:int:|log:)*)({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?")
_EXAMPLE = "optim.lr=log:1e-4..1"
_LARGEST = 2**53
"""Storages keep every number as a float of 64 bits, which counts no further in ones."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where the ends are of type int.

    Args:
        low: below `high`; above 0 if `log`.
        high: the largest number.
        log: whether each order of magnitude is as likely as the next.
        step: between two neighbours, or None for any number (any whole one).
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def corners(self) -> tuple[Value, ...]:
        """The values at the ends: if a key takes these, it takes what lies between."""
        return self.low, self.high

    def propose(self, trial: "optuna.Trial", key: str) -> Value:
        """Returns what `trial` is to try for `key`."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(key, self.low, self.high, step=int(self.step or 1), log=self.log)
        value = trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)
        return value if self.step is None else float(f"{value:.12g}")  # 0.3, not 0.30000000000000004

    def __str__(self) -> str:
        """Returns what `parse_search` reads back to an equal range."""
        kind = "int:" if isinstance(self.low, int) else ""
        step = "" if self.step is None else f"..{self.step}"
        return f"{kind}{'log:' if self.log else ''}{self.low}..{self.high}{step}"


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Args:
        values: at least two, none twice.
    """

    values: tuple[Value, ...]

    @property
    def corners(self) -> tuple[Value, ...]:
        """Every value."""
        return self.values

    def propose(self, trial: "optuna.Trial", key: str) -> Value:
        """Returns what `trial` is to try for `key`."""
        # A storage takes no lists.
        labels: list[Any] = [_quoted(value) if isinstance(value, list) else value for value in self.values]
        return self.values[labels.index(trial.suggest_categorical(key, labels))]

    def __str__(self) -> str:
        """Returns what `parse_search` reads back to an equal choice."""
        return ",".join(map(_quoted, self.values))


Distribution = Range | Choice


def parse_search(line: str) -> tuple[str, Distribution]:
    """Reads a key and where its value is to be searched.

    Args:
        line: `section.key=` and then `lo..hi`, `lo..hi..step`, either with `log:` or `int:` before it, or
            `value,value,…`. Whole ends mean whole numbers, except for a key that is known to take any number.

    Raises:
        RecipeError: when there is no key, or nothing to choose from.

    Example:
        >>> parse_search("optim.lr=log:1e-4..1")
        ('optim.lr', Range(low=0.0001, high=1.0, log=True, step=None))
        >>> parse_search("optim.name=sgd,muon")
        ('optim.name', Choice(values=('sgd', 'muon')))
    """
    key, text = split_line("--search", line, _EXAMPLE)
    where = f"--search {key}"
    match = _RANGE.fullmatch(text)
    if match:
        return key, _range(f"{where}={text}", key, *match.groups())
    if re.match(r"(log|int):", text) or ("," not in text and ".." in text):
        raise RecipeError(f"{where}={text}: expected a range of numbers lo..hi or lo..hi..step, e.g. {_EXAMPLE}")
    values = distinct(where, [literal(where, key, part) for part in split_values(where, text)])
    if len(values) == 1:
        raise RecipeError(f"{where}={text}: one value leaves nothing to search; set it with --set, or give a range")
    return key, Choice(values)


def check_space(base: Recipe, space: Mapping[str, Distribution], *, image_size: tuple[int, int] | None = None) -> None:
    """Refuses a search whose ends or choices the recipe would refuse, each tried by itself.

    Args:
        base: what all trials share.
        space: where each key is searched.
        image_size: height and width of the pictures, where they are known already.

    Raises:
        RecipeError: in one line that names each refused setting.
    """
    corners = [(key, value) for key, distribution in space.items() for value in distribution.corners]
    trials = [Trial("", {key: value}, base.train.seed, number) for number, (key, value) in enumerate(corners)]
    check_all(base, trials, image_size=image_size, flag="--search")


def _range(where: str, key: str, kind: str, low: str, high: str, step: str | None) -> Range:
    """Returns a range from its parts; raises RecipeError."""
    ends = [low, high] if step is None else [low, high, step]
    whole = "int:" in kind or (_takes_whole(key) and all(map(_is_whole, ends)))
    if whole and not all(map(_is_whole, ends)):
        raise RecipeError(f"{where}: 'int:' means whole numbers; expected whole ends such as int:16..512")
    read = int if whole else float
    found = Range(read(low), read(high), "log:" in kind, None if step is None else read(step))
    reason = _why_no_range(found)
    if reason:
        raise RecipeError(f"{where}: {reason}")
    return found


def _why_no_range(found: Range) -> str:
    """Returns what is wrong with a range, or an empty string."""
    low, high, step = found.low, found.high, found.step
    if max(abs(low), abs(high)) > _LARGEST:
        return f"the ends are too large; expected at most {_LARGEST:,}"
    if low >= high:
        return f"{low} is not below {high}; expected lo..hi, the smaller end first"
    if found.log and low <= 0:
        return f"'log:' begins at {low}; expected an end above 0, e.g. {_EXAMPLE}"
    if step is None:
        return ""
    if found.log:
        return "'log:' takes no step; leave out one of the two"
    if not 0 < step <= high - low:
        return (
            f"the step {step} does not fit between {low} and {high}; expected one above 0 and of at most {high - low}"
        )
    rest = (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step))
    return f"steps of {step} do not end at {high}; the last ends at {Decimal(str(high)) - rest}" if rest else ""


def _takes_whole(key: str) -> bool:
    """Returns whether whole ends mean whole numbers: not where the recipe is known to take any number."""
    field = field_at(key, Recipe)
    return field is None or field.annotation is not float


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", text) is not None


def _quoted(value: Value) -> str:
    """Returns a value so that it reads back as itself: text is quoted unless it is a plain word."""
    if isinstance(value, str) and re.fullmatch(r"(?!(true|false|inf|nan)$)[A-Za-z]\w*", value):
        return value
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
